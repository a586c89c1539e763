"""What the page of a task shows of each method beside its mean score, as data.

Keys are stable within `schema_version` of the board; numbers are finite; unknown values are null.
Scores are in the metric's unit; passes are forward-backward passes.
"""

from __future__ import annotations

from typing import Literal

from assay.space import Value
from pydantic import Field
from pydantic.dataclasses import dataclass

from assay_leaderboard.schema.values import SLOTTED, Comparison, Interval, PairFamily, Part


@dataclass(frozen=True, slots=True, config=SLOTTED)
class DrawnPoint:
    """The mean learning curve of the tuned repetitions at one evaluation point.

    Only completed repetitions count; where a task has several starts, a repetition is the mean of
    its starts.
    """

    batch: int
    """Batches after which a method of one pass a batch is evaluated here."""
    passes: float
    """Mean forward-backward passes so far."""
    seconds: float
    """Mean training time so far."""
    n: int
    val: float
    test: float
    interval: Interval | None
    """Student's t interval of the mean test score; None where n < 2."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class TargetReached:
    """How often and how soon the tuned repetitions reach a frozen target.

    Passes and seconds are per start, as in the curve; a repetition that did
    not complete is censored at what it spent.
    """

    name: Literal["easy", "reference", "stretch"]
    value: float
    split: Literal["val", "test"]
    """Whose scores reach it: "val", but "test" under noisy labels, because a target is a score on
    clean labels and the validation labels there are noisy too."""
    n: int
    reached: int
    rate: Interval
    """Wilson interval of the share of repetitions that reach the target."""
    passes: float | None
    """Expected running time: passes spent by all repetitions over the number that reached the
    target; None if none did. Those that never reach it count with all their passes."""
    seconds: float | None
    """The same in seconds of training; compare only on one machine."""
    survival: list[tuple[float, float]]
    """Kaplan-Meier estimate: (passes, share that has not reached the target yet), from (0, 1) on, a
    step at each event. Runs that did not complete stay among those that have not."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class BudgetPoint:
    """What tuning with k points gives."""

    k: int
    """1 is the defaults alone."""
    expected: float
    """Mean over repetitions of the expected test score of the point that validation picks among the
    defaults and k - 1 others (statistics.tuning_budgets)."""
    interval: Interval | None
    """From the means of all subsets of the repetitions, at the ruleset's confidence."""
    rank: tuple[int, int] | None
    """From the family of pairs at this budget; None where the method is not ranked."""
    versus_reference: Comparison | None = None
    """From the same family; None for the reference itself, and where the method is not ranked."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class TrialPoint:
    """One run of a cell."""

    repetition: int
    point: int
    hyperparameters: dict[str, Value]
    val: float
    test: float
    status: str
    selected: bool
    run: str


@dataclass(frozen=True, slots=True, kw_only=True, config=SLOTTED)
class RangeUse:
    """Where the selected points of a cell lie in the range of one tuned number.

    A selected point is the best of K quasi-random ones, so its value is coarse: K points over d
    decades lie about d / K decades apart.
    """

    low: float
    high: float
    log: bool
    """The range is searched on a log scale: shares of it are of its logarithm."""
    default: float
    n: int
    """Repetitions that count, each with one selected point, whose run completed."""
    median: float
    """Of the selected values, as the quartiles; on the range's scale."""
    lower_quartile: float
    upper_quartile: float
    at_low: int
    """Repetitions whose selected point lies near the lower end: in the outer tenth of the range."""
    at_high: int
    by_chance: float
    """Share of the repetitions that would have a point near an end if any of the points drawn had
    been as likely to be selected: the share of them that lies there. A repetition that selects the
    defaults counts with where these lie, which was not drawn."""
    flagged: bool
    """Points near an end are selected in more than a fifth of the repetitions beyond `by_chance`:
    the range may be too narrow."""
    flagged_by_chance: float
    """Probability that the range would be flagged if chance selected the points."""

    @property
    def at_edge(self) -> float:
        """Share of the repetitions whose selected point lies near an end."""
        return (self.at_low + self.at_high) / self.n


class Sensitivity(Part):
    """How much the hyperparameters matter, from the R x K runs of a cell."""

    n: int
    default_gap: float
    """Mean over repetitions of the selected point minus the defaults, on validation."""
    near_best: float
    """Share of the runs within the task's margin of the best run of their repetition, on
    validation; at least 1 / K."""
    lr_decades: float | None
    """Width in decades of the learning rates of these runs, of all repetitions together; None where
    no learning rate is tuned."""
    diverged: float
    """Share of the runs that diverged."""
    ranges: dict[str, RangeUse]
    """By hyperparameter: all that have a range of numbers; empty where no repetition counts, or
    the defaults alone were tried."""
    trials: list[TrialPoint]


class Cost(Part):
    """What a tuned repetition uses: medians over those that completed."""

    example_passes: float
    """Passes times the examples in each: what the budget counts."""
    passes: float
    """Forward-backward passes."""
    examples: float
    """Examples drawn, repeats included."""
    seconds: float
    ratio: float | None
    """CPU time of the whole run over the reference's on the same machine; of each the smallest,
    since other load makes times longer. None where the reference was not run on the machine."""
    peak_bytes: float
    optimizer_state_bytes: float


class Selection(Part):
    """Mean test score of the tuned repetitions by which snapshot is scored (protocol 3)."""

    selected: float
    """Of the snapshot selected on validation: the score that is ranked."""
    last: float
    """Of the last snapshot."""
    oracle: float
    """Of the snapshot that is best on test: only to show the gap, never a result."""


class Path(Part):
    """The way of one start over a function of one or two unknowns.

    Kept for the first repetitions only.
    """

    repetition: int
    start: int
    points: list[tuple[float, ...]]
    """(x,) or (x, y) at each evaluation point, in the function's own coordinates."""


class Detail(Part):
    """One method on one task."""

    method: str
    curve: list[DrawnPoint]
    targets: list[TargetReached]
    budget: list[BudgetPoint]
    """At every budget k = 1 .. K; empty while the cell is incomplete."""
    sensitivity: Sensitivity
    cost: Cost | None
    """None where no tuned repetition completed."""
    selection: Selection | None
    paths: list[Path]


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Pair:
    """Two ranked methods; the difference is positive where `a` is better."""

    a: str
    b: str
    comparison: Comparison


class TaskDetail(Part):
    """What the page of a task shows beside its table."""

    task: str
    details: list[Detail]
    """In the order of the table's rows, stale ones included."""
    pairs: list[Pair]
    """All pairs of ranked methods, `a` above `b` in the table."""
    families: list[PairFamily] = Field(default_factory=list)
    """The family of pairs at every budget k = 1 .. K; empty where fewer than two are ranked."""
    ecdf: dict[str, list[tuple[float, float]]]
    """Per method: (passes, share of (target, repetition) pairs reached), a step at each event."""
