"""Values as the pages say them: with a real minus sign, a word for each verdict, texts defused."""

from __future__ import annotations

import functools

from markupsafe import Markup, escape

from assay_leaderboard import format as texts
from assay_leaderboard.format import Format, plain
from assay_leaderboard.schema.board import Row, Sample
from assay_leaderboard.schema.values import Interval

NONE = "\N{EN DASH}"
MARKS = {"better": "▲", "worse": "▼", "equivalent": "≈", "undecided": "?"}
"""Beside the word, so that a glance along a column is enough; never alone."""


def said(text: object) -> Markup:
    """A text of a card or a record: its direction stays its own, and it controls nothing."""
    return _said(str(text))


@functools.lru_cache(maxsize=1024)
def _said(text: str) -> Markup:
    """Thousands of pages say the same of their machines and authors."""
    return Markup(f"<bdi>{escape(plain(text))}</bdi>")


def link(address: str | None, text: str | Markup) -> Markup:
    """A text that leads to a page, if it has one."""
    return Markup(f'<a href="{escape(address)}">{escape(text)}</a>') if address else escape(text)


def minus(text: str) -> str:
    """A number with a minus sign in place of the hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def number(form: Format, value: float | None, sign: str = "") -> str:
    """A score."""
    return NONE if value is None else minus(form.number(value, sign))


def span(form: Format, value: float | None, interval: Interval | None, sign: str = "") -> Markup:
    """A score and its interval, which never breaks in the middle."""
    if value is None:
        return Markup(NONE)
    # No number holds a character that needs escaping, and a board has a hundred thousand.
    if interval is None:
        return Markup(number(form, value, sign))
    low, high = form.number(interval.low, sign), form.number(interval.high, sign)
    return Markup(minus(f'{form.number(value, sign)} <span class="i">[{low}, {high}]</span>'))


def rank_text(rank: tuple[int, int] | None) -> str:
    """One number, or two with a dash between."""
    return texts.rank_text(rank).replace(texts.NONE, NONE)


def p_text(p: float | None) -> str:
    """A p value; "<0.0001" where four digits show nothing."""
    return texts.p_text(p, none=NONE)


@functools.cache
def verdict(word: str) -> Markup:
    """A verdict, or the state of what has none; one of a few words of ours."""
    mark = MARKS.get(word)
    if mark is None:
        return Markup(f'<span class="v none">{escape(word)}</span>')
    return Markup(f'<span class="v {word}"><span aria-hidden="true">{mark}</span> {word}</span>')


def verdict_word(row: Row) -> str:
    """What a row says in the column of verdicts."""
    word = texts.verdict_word(row)
    return NONE if word == texts.NONE else word


def runs_text(sample: Sample) -> str:
    """How many completed, and what became of the others."""
    parts = [f"{sample.completed} of {sample.planned}"]
    parts += [f"{count} {name.replace('_', ' ')}" for count, name in texts.lost(sample)]
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.3g} ms"


@functools.lru_cache(maxsize=256)
def size(n_bytes: float) -> str:
    """Bytes in a unit that suits them; an optimizer's state is as large in every run."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"
