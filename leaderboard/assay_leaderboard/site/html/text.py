"""Values as text of a page: numbers with a real minus sign, verdicts in words, harmless texts."""

from __future__ import annotations

from markupsafe import Markup, escape

from assay_leaderboard import format as texts
from assay_leaderboard.format import Format, plain
from assay_leaderboard.schema.board import Row, RunCounts
from assay_leaderboard.schema.values import Comparison, Interval, PairFamily

NONE = "\N{EN DASH}"
MARKS = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "≈",
    "better, negligible": "△",
    "worse, negligible": "▽",
    "undecided": "?",
    "neither completed": "∅",
}
"""Shown beside the word, never alone."""


def said(text: object) -> Markup:
    """A text of a card or a record, escaped; its writing direction ends where it ends."""
    return Markup(f"<bdi>{escape(plain(str(text)))}</bdi>")


def link(address: str | None, text: str | Markup) -> Markup:
    """A link to `address`; the text alone where there is no address.

    A text that is no markup, as the name of a method, may be broken after each underscore.
    """
    safe = text if isinstance(text, Markup) else breakable(escape(text))
    return Markup(f'<a href="{escape(address)}">{safe}</a>') if address else safe


def breakable(name: Markup) -> Markup:
    """A name that a narrow column breaks after an underscore and not within a word."""
    return name.replace("_", Markup("_<wbr>"))


def minus(text: str) -> str:
    """A number with a minus sign in place of the hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def number(form: Format, value: float | None, sign: str = "") -> str:
    """A score."""
    return NONE if value is None else minus(form.number(value, sign))


def span(form: Format, value: float | None, interval: Interval | None, sign: str = "") -> Markup:
    """A score and its interval, which is never broken across lines."""
    if value is None:
        return Markup(NONE)
    if interval is None:
        return Markup(number(form, value, sign))
    ends = minus(form.ends(interval, sign))
    return Markup(f'{minus(form.number(value, sign))} <span class="i">{ends}</span>')


def rank_text(rank: tuple[int, int] | None) -> str:
    """One number, or two with a dash between."""
    return texts.rank_text(rank).replace(texts.NONE, NONE)


def p_text(p: float | None) -> str:
    """A p value; "<0.0001" where four digits show nothing."""
    return texts.p_text(p, none=NONE)


def verdict(word: str) -> Markup:
    """A verdict with its mark, or the state of a row without a verdict."""
    mark = MARKS.get(word)
    if mark is None:
        return Markup(f'<span class="v none">{escape(word)}</span>')
    css = word.replace(",", "")
    return Markup(f'<span class="v {css}"><span aria-hidden="true">{mark}</span> {word}</span>')


def verdict_word(row: Row) -> str:
    """The word of a row in the column of verdicts."""
    word = texts.verdict_word(row)
    return NONE if word == texts.NONE else word


def needed(comparison: Comparison | None, family: PairFamily | None) -> str:
    """About how many repetitions would decide, where a comparison is undecided."""
    return texts.needed_text(comparison, family).replace(texts.NONE, NONE)


def runs_text(runs: RunCounts) -> str:
    """How many runs completed, and how the others ended."""
    planned = runs.completed + sum(count for count, _ in texts.lost(runs))
    parts = [f"{runs.completed:,} of {planned:,}"]
    parts += [f"{count:,} {name.replace('_', ' ')}" for count, name in texts.lost(runs)]
    if runs.failed_repetitions:
        parts.append(f"{runs.failed_repetitions} repetitions without a score")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """Seconds, in hours, minutes, seconds or milliseconds."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.3g} ms"


def size(n_bytes: float) -> str:
    """Bytes, in B to TB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"
