"""Scores, ranks, p values and verdicts in words: the same in a terminal and on a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from assay.cards import Family

from assay_leaderboard.schema.board import Replay, Row, RunCounts, Seeds, View
from assay_leaderboard.schema.values import Comparison, Interval, PairFamily

NONE = "-"
"""Stands where there is nothing to show."""
MOST_DIGITS = 12
"""Behind the point."""


class Format:
    """The scores of one task: shares as percent, with as many digits as the margin needs."""

    def __init__(self, unit: str, margin: float) -> None:
        self.scale = 100.0 if unit == "share" else 1.0
        self.unit = "%" if unit == "share" else unit
        self.digits = max(0, 1 - math.floor(math.log10(margin * self.scale)))
        self._bounds = (0.0, margin, -margin)
        self._narrow = {sign: f"%{sign}.{self.digits}f" for sign in ("", "+")}

    def number(self, value: float | None, sign: str = "") -> str:
        """`value` in the printed unit, "-" if there is none; with `sign` "+", a plus sign too."""
        if value is None:
            return NONE
        scaled = value * self.scale
        if abs(scaled) >= 1e5:
            return f"{scaled:{sign}.4g}"
        return self._narrow[sign] % scaled

    def span(self, value: float | None, interval: Interval | None, sign: str = "") -> str:
        """`value [low, high]`."""
        if interval is None:
            return self.number(value, sign)
        return f"{self.number(value, sign)} {self.ends(interval, sign)}"

    def ends(self, interval: Interval | None, sign: str = "") -> str:
        """`[low, high]`, "-" if there is none.

        The interval of a difference (`sign` "+") has as many digits more as it takes to read off
        the verdict: an end that is not 0 or +-margin is not printed as such.
        """
        if interval is None:
            return NONE
        return f"[{self._end(interval.low, sign)}, {self._end(interval.high, sign)}]"

    def _end(self, value: float, sign: str) -> str:
        text, digits = self.number(value, sign), self.digits
        while sign and digits < MOST_DIGITS and not self._telling(value, text):
            digits += 1
            text = f"{value * self.scale:{sign}.{digits}f}"
        return text

    def _telling(self, value: float, text: str) -> bool:
        """Whether a printed number lies on the same side of 0 and +-margin as its value."""
        printed = float(text) / self.scale
        return all(_side(printed, bound) == _side(value, bound) for bound in self._bounds)


def _side(value: float, bound: float) -> int:
    """1 above the bound, -1 below, 0 on it but for rounding."""
    if abs(value - bound) <= 1e-9 * abs(bound):
        return 0
    return 1 if value > bound else -1


NORMALISED = Format("", 0.01)
"""Normalised scores: three digits."""


def rank_text(rank: tuple[int, int] | None) -> str:
    """A rank interval: one number if both ends are equal, else "1-3"; "-" if there is none."""
    if rank is None:
        return NONE
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}-{rank[1]}"


def p_text(p: float | None, none: str = NONE) -> str:
    """A p value with four digits, "<0.0001" where they show nothing; `none` without a test."""
    if p is None:
        return none
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def two_digits(value: float) -> str:
    """A value of any size with two significant digits: "0.0032", "120", "3.2e-05"."""
    return f"{float(f'{value:.2g}'):g}"


class SplitWords(NamedTuple):
    """What the scores of a family are called, so that every caption names its split."""

    test: str
    """What is ranked; empty where nothing is hidden."""
    validation: str
    """What selects."""
    targets: str
    """Where targets are measured."""

    def scored(self, metric: str) -> str:
        """What is ranked, with its metric: "test accuracy"."""
        return f"{self.test} {metric.replace('_', ' ')}".strip()


def split_words(family: Family) -> SplitWords:
    """The names of a family's splits."""
    if family == "functions":
        return SplitWords("", "objective", "the objective")
    if family == "noisy_labels":
        clean = "the test set, as the validation labels are noisy"
        return SplitWords("test", "validation (noisy labels)", clean)
    return SplitWords("test", "validation", "validation")


COARSE = (
    "A repetition tries only a few quasi-random points, so the best learning rate is coarse: 8 "
    "points over a range of 1 to 1,000, say, lie about a factor of 2.4 apart."
)
"""Said where best learning rates are shown."""
OTHER_DRAWS = "Repetitions redraw splits and random numbers; the data stay the same."
"""Said where intervals over repetitions are shown."""


def level_text(level: float) -> str:
    """A confidence level in percent, with enough digits to tell it from 100 %."""
    error = 100 * (1 - level)
    digits = max(1, math.ceil(-math.log10(error))) if error > 0 else 0
    return f"{100 - error:.{digits}f}".removesuffix(".0") + " %"


def family_text(family: PairFamily) -> str:
    """What the level of the intervals of a family of pairs is, and why: a caption's sentence."""
    pairs = f"{family.pairs} pair" if family.pairs == 1 else f"{family.pairs:,} pairs"
    test = f"Benjamini-Hochberg, q = {100 * family.rate:g} % over {pairs}"
    level = f"intervals at level {level_text(family.level)}"
    if family.passed:
        return f"{level}, so that each excludes 0 exactly where its pair passed ({test})"
    return f"{level}; no pair passed ({test}), so no difference is shown"


def verdict_word(row: Row) -> str:
    """The verdict on a row against the reference, or why it has none."""
    if row.state != "ranked":
        return row.state
    if row.is_reference:
        return "reference"
    versus = row.versus_reference
    return versus.verdict or NONE if versus else NONE


def needed_text(comparison: Comparison | None, family: PairFamily | None) -> str:
    """About how many repetitions would decide an undecided comparison, for example "about 40".

    And why it is undecided, where its interval excludes 0.
    """
    if comparison is None or comparison.verdict != "undecided":
        return NONE
    n, interval = comparison.repetitions_needed, comparison.interval
    about = "over 1,000" if n is None else f"about {n:,}"
    if family and (interval.low > 0 or interval.high < 0):
        return f"{about}: R = {comparison.n} is too small for {family.pairs:,} pairs"
    return about


def seeds_text(seeds: Seeds) -> str:
    """Under which seeds ranks and verdicts stand, in words."""
    if seeds.epoch is None:
        return "public seeds"
    when = f"revealed {seeds.revealed[:10]}" if seeds.revealed else "not revealed yet"
    return f"hidden seeds of epoch {seeds.epoch}, {when}"


def hidden_text(hidden: Mapping[str, str]) -> str:
    """Under which seeds the ranks of several tasks stand; `hidden` has the epoch of some tasks."""
    if not hidden:
        return "public seeds"
    found = (f"{task} (epoch {epoch})" for task, epoch in sorted(hidden.items()))
    return f"hidden seeds on {', '.join(found)}; public seeds elsewhere"


def replay_text(replay: Replay, form: Format) -> str:
    """What came of repeating runs of a published result."""
    found = f"{replay.n} runs repeated by others: {replay.identical} bit for bit"
    if replay.within_tolerance:
        found += f", {replay.within_tolerance} within the tolerance of another machine"
    if replay.chaotic:
        found += f", {replay.chaotic} chaotic, which show nothing"
    if replay.mean_difference is not None:
        unit = f" {form.unit}" if form.unit else ""
        allowed = form.number(replay.allowed)
        found += (
            f"; recorded minus repeated {form.number(replay.mean_difference, '+')}{unit} on "
            f"average, at most {allowed}{unit} allowed"
        )
    return found


def tries_text(row: Row) -> str:
    """How often the method was submitted on the task."""
    refused = f", {row.refused} of them refused" if row.refused else ""
    return f"{row.tries} tries{refused}"


def view_text(view: View) -> str:
    """What ranks on a board, in a sentence."""
    if view == "local":
        return (
            "Your own view: every complete, current result ranks, also self-reported (T0) ones and "
            "those that nobody has repeated yet (T1). On the published board these do not rank."
        )
    return (
        "Published board: a result ranks if others have repeated some of its runs (T2, or T3 with "
        "hidden seeds), and if it was made in a sandbox on a CPU. Other results are shown without "
        "a rank and compared with nothing."
    )


def budget_text(k: int) -> str:
    """A tuning budget in words."""
    return "published defaults, no tuning" if k == 1 else f"tuned with {k} points"


def lost(runs: RunCounts) -> Iterator[tuple[int, str]]:
    """How many runs did not complete, by what became of them."""
    for name in ("diverged", "out_of_budget", "failed", "missing"):
        if count := getattr(runs, name):
            yield count, name


def plain(text: str) -> str:
    """`text` with "?" for control characters, which could steer a terminal or a page."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)
