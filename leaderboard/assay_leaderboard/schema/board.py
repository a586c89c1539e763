"""What a board holds: the keys of `assay board --json`, each documented under its field.

Keys are stable within `schema_version`; numbers are finite; unknown values are null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from assay.cards import Family
from assay.detectors import Flag
from assay.records.log import TrustTier
from assay.records.schema import Level
from assay.ruleset import Tier
from pydantic import Field
from pydantic.dataclasses import dataclass

from assay_leaderboard.schema.values import (
    SLOTTED,
    Comparison,
    Interval,
    PairFamily,
    Part,
    Problems,
)

State = Literal[
    "ranked", "preliminary", "incomplete", "stale", "not replayed", "unsealed", "other seeds"
]
View = Literal["local", "published"]
_NOT_RANKING: dict[State, str] = {
    "not replayed": "verified, not replayed yet: does not rank",
    "unsealed": "unsealed, made on a GPU or in no sandbox: does not rank",
    "other seeds": "made with other seeds than those that ranks here stand on: does not rank",
}


def not_ranking(state: State) -> str:
    """Why a current result does not rank on the published board, whatever its number of runs.

    Empty for the other states.
    """
    return _NOT_RANKING.get(state, "")


class Seeds(Part):
    """The seeds that the ranks and verdicts of a task stand on. Pairs have equal seeds only."""

    epoch: str | None = None
    """Hidden seeds of this epoch, which only the organisers knew; None: the public seeds."""
    revealed: str | None = None
    """When the epoch was revealed, UTC; None for the public seeds and for an open epoch."""

    @classmethod
    def of(cls, epoch: str | None, revealed: Mapping[str, str]) -> Seeds:
        """Those of an epoch, or the public ones; `revealed` says when each epoch was revealed."""
        return cls(epoch=epoch, revealed=revealed.get(epoch) if epoch else None)


class Withdrawn(Part):
    """A published result that does not count any more."""

    method: str
    state: Literal["superseded", "corrected", "retracted"]
    since: str
    """UTC, ISO 8601."""
    reason: str
    bundle: str
    """File name of the bundle, which stays in the folder."""
    n: int
    mean: float | None
    """Mean test score of the tuned point, as it was published."""


class Former(Part):
    """A result of an earlier ruleset, kept for reference: it is never compared with others."""

    method: str
    ruleset: int
    n: int
    mean: float | None
    """Mean test score of the tuned repetitions, as it was published."""


class Anchor(Part):
    """1 on the normalised scale: the tuned reference when this version of the task was frozen."""

    value: float
    n: int
    standard_error: float


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Sample:
    """A method's repetitions on one task, at one tuning budget."""

    n: int
    """Repetitions all of whose points have a record; the mean is over these."""
    planned: int
    """R of the task's tier."""
    mean: float | None
    """Mean test score of the selected points, in the metric's unit; a repetition all of whose
    points failed counts as the chance level. None without a repetition."""
    interval: Interval | None
    """Of the mean at the ruleset's confidence, from the means of all subsets; None where n < 2."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class RunCounts:
    """How the runs of a cell ended, of all repetitions and points."""

    completed: int
    diverged: int
    out_of_budget: int
    failed: int
    missing: int
    """Of the R x K that the ruleset plans."""
    failed_repetitions: int
    """Repetitions none of whose points completed."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Replay:
    """Runs of a published result that were done again and compared with their records."""

    n: int
    identical: int
    """Their weights came out bit for bit as recorded."""
    within_tolerance: int
    """On another kind of machine: their scores came close."""
    chaotic: int
    """On another kind of machine: rounding decides where they end, so they show nothing."""
    mean_difference: float | None
    """Mean of recorded minus replayed test scores over the runs replayed on other kinds of
    machines. Positive: the records claim better results, whatever the metric's direction."""
    allowed: float | None
    """Its size beyond which a replay counts as failed."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Row:
    """One method on one task."""

    method: str
    state: State
    """ "ranked": all R x K runs have a record; "preliminary": those of --quick have; "incomplete":
    fewer; "stale": made with other code or another ruleset. On the published board alone, whatever
    the number of runs: "not replayed": nobody has confirmed it yet; "unsealed": made on a GPU or
    in no sandbox; "other seeds": not made with the seeds that ranks here stand on. Only ranked rows
    have a rank and verdicts; preliminary rows have differences from the reference, others none."""
    note: str
    """Why the state is not "ranked", that some runs are local or stale, or that the machines of the
    runs differ; empty if nothing is to be said."""
    is_reference: bool
    local: bool
    """The method is not among the submissions of this checkout, so its code is not checked."""
    trust: TrustTier
    """T0 self-reported (local), T1 valid bundle, T2 replayed, T3 hidden seeds of the organisers."""
    isolation: Level | None
    """The weakest sandbox among its runs; None without runs."""
    epoch: str | None
    """Whose hidden seeds its runs have; None: the public seeds."""
    replay: Replay | None
    """The last one; None where nobody has repeated any of its runs."""
    tries: int
    """Bundles of this method on this task, of all versions, that were published or refused: many
    tries make a lucky result likely."""
    refused: int
    """Those of them that were refused."""
    k: int
    """Hyperparameter points of each repetition that the score is selected from."""
    runs: RunCounts
    tuned: Sample
    """At the board's budget."""
    defaults: Sample
    """At k = 1: the method's published defaults."""
    score: float | None
    """Normalised: 0 = chance, 1 = the task's anchor; None without an anchor."""
    versus_reference: Comparison | None
    """None for the reference itself, and where it has no current result."""
    rank: tuple[int, int] | None
    """(1 + methods with the verdict better than it, methods ranked - methods that it is better
    than). "Negligible" differences are ties."""
    flags: list[Flag]
    """Signs that the result may be false (assay.detectors); they change no number."""


class TaskTable(Part):
    """One task."""

    task: str
    version: int
    title: str
    family: Family
    tier: Tier
    metric: str
    direction: Literal["maximize", "minimize"]
    unit: str
    chance: float
    margin: float
    """Differences within +-margin are equivalent in practice."""
    deterministic: bool
    """Nothing varies, so there is one run, no rank and no verdict: for claims alone."""
    reference: str
    anchor: Anchor | None
    """None where this version of the task was not frozen yet: it counts in no summary."""
    seeds: Seeds = Seeds()
    """That ranks and verdicts stand on."""
    pairs: PairFamily | None
    """None where fewer than two methods are ranked."""
    rows: list[Row]
    """Ranked rows from best to worst mean, then the others by slug."""
    former: list[Former]
    """Results of earlier rulesets, best first; not among `rows`."""
    withdrawn: list[Withdrawn]
    """Results that were superseded, corrected or retracted, oldest first; not among `rows`."""
    notes: list[str]


class SummaryRow(Part):
    """One method over the tasks of a family, or over the families."""

    method: str
    n_tasks: int
    """Tasks with an anchor on which the method is ranked."""
    of_tasks: int
    """Tasks of the summary: "3 of 4 tasks"."""
    lacks: list[str]
    """Those that it may enter and is not ranked on: then it has no score and no rank here."""
    n: int
    """Repetitions on these tasks together."""
    score: float | None
    """A family: interquartile mean of the normalised scores over (task, repetition), tasks weighing
    the same. Overall: mean of the family scores, families weighing the same. None where the method
    lacks a task that it may enter, or can enter none (overall: none of some family)."""
    interval: Interval | None
    """Percentile interval of the bootstrap of repetitions within tasks."""
    interval_tasks: Interval | None
    """The same with the tasks resampled too, for other tasks of this kind; None for fewer than 8
    tasks."""
    range_tasks: tuple[float, float] | None
    """Smallest and largest mean normalised score over its tasks (overall: over the families)."""
    mean: float | None
    defaults: float | None
    """`score` at k = 1."""
    rank: tuple[int, int] | None
    """From pairwise differences on common tasks, Benjamini-Hochberg over all pairs."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Improvement:
    """Probability that a run of `a` beats a run of `b` on a task of the summary."""

    a: str
    b: str
    probability: float
    """Mann-Whitney share over all pairs of runs of a task, mean over tasks (Agarwal et al.)."""
    interval: Interval | None


class CriticalDifference(Part):
    """Friedman's test and Nemenyi's critical difference over tasks; not used for the ranking."""

    mean_ranks: dict[str, float]
    """Per method, 1 is best, ties share; by increasing rank."""
    n_tasks: int
    friedman_p: float
    difference: float
    """Methods whose mean ranks are closer than this do not differ at the ruleset's alpha."""
    groups: list[list[str]]
    """Maximal sets of methods, in order of rank, that do not differ."""


class FamilySummary(Part):
    """The tasks of a family and tier, or the families of a tier."""

    name: str
    """A family, or "overall"; followed by "_" and the tier's name where that is not lite."""
    tier: Tier
    families: list[Family]
    tasks: list[str]
    """Tasks with an anchor."""
    unanchored: list[str]
    """Tasks left out because this version of them has no anchor yet."""
    hidden: dict[str, str] = Field(default_factory=dict)
    """By task: the epoch whose hidden seeds its ranks stand on; the others stand on public seeds.
    """
    margin: float | None
    """Mean of the tasks' margins in normalised score; only larger differences count for ranks."""
    rows: list[SummaryRow]
    """Ranked methods from best to worst score, then the others by slug."""
    improvements: list[Improvement] = Field(default_factory=list)
    """All ordered pairs of methods that have all tasks, `a` above `b` in the rows."""
    profile: dict[str, list[tuple[float, float]]] = Field(default_factory=dict)
    """Performance profile per method that has all tasks: (tau, share of repetitions with a
    normalised score above tau), tasks weighing the same."""
    critical: CriticalDifference | None = None
    """None for fewer than ten tasks or three methods."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class BudgetRow:
    """One method at one tuning budget."""

    method: str
    n_tasks: int
    score: float
    interval: Interval | None
    rank: tuple[int, int]


class BudgetTable(Part):
    """A family, or "overall", at one tuning budget: one position of the slider.

    At k = K its numbers are those of the summary.
    """

    name: str
    k: int
    """1 (the defaults) to K."""
    rows: list[BudgetRow]
    """From best to worst."""


class Board(Part):
    """Everything `assay board` says."""

    schema_version: Literal[2] = 2
    view: View = "local"
    """ "published": only sealed results that were replayed (T2) or have hidden seeds (T3) rank.
    "local": every complete, current result ranks, your own (T0) and those not replayed (T1) too."""
    ruleset: int
    budget: int | None
    """Points k that each repetition's score is selected from: 1 is the defaults alone. None: all K
    of the task's tier."""
    confidence: float
    false_discovery_rate: float
    bootstrap_draws: int
    tasks: list[TaskTable]
    families: list[FamilySummary]
    overall: FamilySummary | None
    """None where there are fewer than two families."""
    problems: Problems
    """Records that were left out, and why."""
