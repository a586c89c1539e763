"""What a board holds: the keys of `assay board --json`, each documented under its field.

Keys are stable within `schema_version`; numbers are finite; unknown values are null.
"""

from __future__ import annotations

from typing import Literal

from assay.cards import Family
from assay.detectors import Flag
from assay.records.log import TrustTier
from assay.records.schema import Level
from assay.ruleset import Preset, Tier
from pydantic import Field
from pydantic.dataclasses import dataclass

from assay_leaderboard.schema.values import SLOTTED, Comparison, Interval, Part

Basis = Literal["tuned", "defaults"]
State = Literal["ranked", "incomplete", "stale"]


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


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Sample:
    """The repetitions of one hyperparameter point on one task."""

    n: int
    """Repetitions with a record; the mean is over these."""
    planned: int
    completed: int
    diverged: int
    out_of_budget: int
    failed: int
    missing: int
    mean: float | None
    """Mean test score in the metric's unit; a recorded repetition without a score (diverged, out
    of budget, failed) counts as the chance level. None without a recorded repetition."""
    interval: Interval | None
    """BCa bootstrap interval of the mean; None where n < 2."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Row:
    """One method on one task."""

    method: str
    state: State
    """ "ranked"; "incomplete": planned repetitions have no record yet; "stale": made with other
    code or another ruleset. Only ranked rows take part in tests, ranks and summaries."""
    note: str
    """Why the state is not "ranked"; empty if it is."""
    is_reference: bool
    local: bool
    """The method is not among the submissions of this checkout, so its code is not checked."""
    trust: TrustTier
    """T0 self-reported (local), T1 valid bundle, T2 replayed, T3 hidden seeds of the organisers."""
    isolation: Level | None
    """The weakest sandbox among its repetitions; None without repetitions."""
    preset: Preset
    """"quick" is preliminary."""
    k: int
    """Hyperparameter points tried."""
    study: str
    """Id of the study record."""
    tuned: Sample
    defaults: Sample | None
    """None where the study planned no repetitions of the defaults."""
    score: float | None
    """Normalised: 0 = chance, 1 = the reference's tuned mean on this task."""
    versus_reference: Comparison | None
    """Holm-adjusted over the methods of the task; None for the reference itself."""
    rank: tuple[int, int] | None
    """(1 + methods shown to be better, methods ranked - methods shown to be worse), from all pairs,
    Benjamini-Hochberg. Rows with the same first number are a tie group."""
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
    """There is one repetition, and rows are compared by the margin, without a test."""
    reference: str
    anchored: bool
    """The reference is complete and better than chance, so scores can be normalised."""
    rows: list[Row]
    """Ranked rows from best to worst mean, then the others by slug."""
    withdrawn: list[Withdrawn]
    """Results that were superseded, corrected or retracted, oldest first; not among `rows`."""
    notes: list[str]


class SummaryRow(Part):
    """One method over the tasks of a summary."""

    method: str
    n_tasks: int
    """Anchored tasks on which the method is ranked; it is summarised if it has all of them."""
    n: int
    """Repetitions on these tasks together."""
    preliminary: bool
    iqm: float | None
    """Interquartile mean of the normalised scores, tasks weighing the same."""
    iqm_interval: Interval | None
    """Percentile interval of the bootstrap within tasks; None where each task has one run."""
    mean: float | None
    mean_interval: Interval | None
    defaults_mean: float | None
    """Mean normalised score of the defaults, where they were run on all tasks."""
    rank: tuple[int, int] | None
    """As for a task, from paired bootstrap differences of the interquartile mean."""
    iqm_interval_tasks: Interval | None = None
    """`iqm_interval` with the tasks resampled too: for conclusions about other tasks of this kind;
    None for fewer than three tasks."""
    optimality_gap: float | None = None
    """Mean shortfall from the reference's score: mean of max(0, 1 - score) over all runs."""
    optimality_gap_interval: Interval | None = None
    rank_without_task: tuple[int, int] | None = None
    """Smallest and largest first rank if any one task is left out; None for one task."""
    rank_without_method: tuple[int, int] | None = None
    """The same if any one other method is left out of the correction for many comparisons."""


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
    """Several tasks."""

    name: str
    """A family, or "overall"; followed by "_" and the tier's name where that is not lite."""
    tasks: list[str]
    """Anchored tasks: those whose reference is complete and better than chance. No other entry
    changes which these are."""
    unanchored: list[str]
    """Tasks left out because their reference is not complete or not better than chance."""
    margin: float | None
    """Mean of the tasks' margins in normalised score; only larger differences count for ranks."""
    rows: list[SummaryRow]
    """Summarised methods from best to worst interquartile mean, then the others by slug."""
    improvements: list[Improvement] = Field(default_factory=list)
    """All ordered pairs of summarised methods, `a` above `b` in the rows."""
    profile: dict[str, list[tuple[float, float]]] = Field(default_factory=dict)
    """Performance profile per summarised method: (tau, share of runs with a normalised score above
    tau), tasks weighing the same."""
    critical: CriticalDifference | None = None
    """None for fewer than two tasks or three methods."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class BudgetRow:
    """One method at one tuning budget."""

    method: str
    score: float
    """Interquartile mean of the normalised scores."""
    interval: Interval | None
    rank: tuple[int, int]


class BudgetTable(Part):
    """A family, or "overall", at one tuning budget: one position of the slider."""

    name: str
    k: int
    basis: Literal["defaults", "trials", "tuned"]
    """Scores are of repetitions of the defaults (k = 0), expectations over the stored trials, or of
    repetitions of the tuned point (k = K)."""
    rows: list[BudgetRow]
    """From best to worst; methods that lack a task are left out."""


class Board(Part):
    """Everything `assay board` says."""

    schema_version: Literal[1] = 1
    ruleset: int
    basis: Basis
    """Which repetitions are ranked: those of the tuned point or those of the defaults."""
    confidence: float
    alpha: float
    bootstrap_draws: int
    tasks: list[TaskTable]
    families: list[FamilySummary]
    overall: FamilySummary | None
    """None where there are fewer than two families."""
    problems: list[str]
    """Records that were left out, and why."""
