"""Cells: the runs of one method on one task as arrays of repetitions and points.

`cells` decides which runs of a method count: those of one task version, method version, ruleset,
hardware setting, search space and epoch. It also decides what ranks, and under which seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

import numpy as np
from assay.cards import TaskCard
from assay.detectors import Flag
from assay.records.log import Standing, TrustTier
from assay.records.schema import Level, Status
from assay.ruleset import Ruleset
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from assay_leaderboard.evidence.environments import mixed
from assay_leaderboard.evidence.groups import RunGroup, largest
from assay_leaderboard.evidence.runs import Catalogue, Evidence, Run, Tries
from assay_leaderboard.schema.board import Replay, State
from assay_leaderboard.schema.values import MAX_REPETITIONS, MAX_SCORE, Floats
from assay_leaderboard.statistics import tuning_budgets

Grid = Annotated[
    NDArray[np.float64],
    PlainValidator(lambda value: np.array(value, dtype=np.float64)),
    PlainSerializer(lambda grid: grid.tolist()),
]
"""Numbers (R, K) of repetitions and points; NaN, in JSON null, where there is none."""


@dataclass(frozen=True, eq=False)
class CellEvidence:
    """One method on one task: a row for each repetition, a column for each point.

    There are at least the R rows and exactly the K columns that the ruleset plans; more repetitions
    make more rows.
    """

    method: str
    state: State
    k: int
    """Points of each repetition that count: the first k. All K where the state is "ranked"; a
    preliminary cell has fewer, down to those of --quick."""
    planned: int
    """R of the task's tier."""
    sign: float
    """1 where larger scores are better, -1 where smaller ones are."""
    val: Grid
    """Validation scores; the chance level of runs that did not complete; NaN without a record."""
    test: Grid
    """Test scores, likewise."""
    statuses: Sequence[Sequence[Status | None]]
    """How the runs ended; None without a record."""
    runs: Sequence[Sequence[str | None]]
    """Their ids."""
    secondary: Mapping[str, Grid] = field(default_factory=dict)
    """By secondary metric: its value; NaN where the run did not complete or does not say."""
    stale: str = ""
    """Why the runs may not be compared with current ones; empty if they may."""
    mixed: str = ""
    """What differs among the machines of the runs, and how many each has; empty if nothing."""
    left_out: str = ""
    """How many stale runs there are beside these, and why they do not count."""
    unknown: str = ""
    """Libraries of the runs that are not installed here, so that a change would not be seen."""
    local: bool = False
    """The method is not among the submissions of this checkout."""
    n_local: int = 0
    """Runs that are not published."""
    level: Level | None = None
    """The weakest sandbox among the runs."""
    epoch: str | None = None
    """Whose hidden seeds the runs have; None: the public seeds."""
    tier: TrustTier = "T0"
    """How far the results can be trusted: as far as the least trusted run."""
    replay: Replay | None = None
    """How many of the runs others have repeated; None: none of them."""
    tries: int = 0
    """Bundles of this method on this task, of all versions, published or refused."""
    refused: int = 0
    """Those of them that were refused."""
    flags: Sequence[Flag] = ()
    """Signs that the result may be false; they change no number."""
    since: str = ""
    """When the first of the runs was made, or a bundle of an earlier version published; UTC, ISO
    8601."""

    @property
    def preliminary(self) -> bool:
        """There are the runs of --quick, and not all."""
        return self.state == "preliminary"

    @property
    def planned_k(self) -> int:
        """K: points that the ruleset plans for this method; 1 where there is nothing to tune."""
        return int(self.val.shape[1])

    @cached_property
    def recorded(self) -> NDArray[np.bool_]:
        """(R, K): which runs have a record."""
        return ~np.isnan(self.test)

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """(R,): the repetitions all of whose first `k` points have a record."""
        return np.asarray(self.recorded[:, : self.k].all(axis=1))

    @property
    def n(self) -> int:
        """How many repetitions count."""
        return int(self.counted.sum())

    @cached_property
    def _by_budget(self) -> Floats:
        """(k, R): `scores` at each budget."""
        found = np.full((self.k, len(self.val)), np.nan)
        rows = self.counted
        if rows.any():
            found[:, rows] = tuning_budgets.expected_all(
                self.val[rows, : self.k], self.test[rows, : self.k], self.sign
            )
        return found

    def scores(self, budget: int | None = None) -> Floats:
        """(R,): expected test score of each repetition at a tuning budget; NaN if it counts not.

        Args:
            budget: points tried, the defaults among them. None: all `k`, whose score is that of the
                selected point. A method with fewer points is scored with all it has.
        """
        found: Floats = self._by_budget[min(budget or self.k, self.k) - 1]
        return found

    def values(self, budget: int | None = None) -> Floats:
        """(n,): `scores` of the repetitions that count, by their number."""
        return self.scores(budget)[self.counted]

    def metric(self, values: Floats, budget: int | None = None) -> Floats:
        """(R,): the same for other values (R, K) of the runs; NaN where one of them is missing."""
        k = min(budget or self.k, self.k)
        found = np.full(len(values), np.nan)
        rows = self.counted & ~np.isnan(values[:, : self.k]).any(axis=1)
        if rows.any():
            found[rows] = tuning_budgets.expected(
                self.val[rows, : self.k], values[rows, : self.k], k, self.sign
            )
        return found

    @cached_property
    def selected(self) -> NDArray[np.intp]:
        """(R,): the point of each repetition that counts: the best on validation, the earliest of
        equal ones (records.selection); meaningless where the repetition counts not.
        """
        known = np.where(np.isnan(self.val), -np.inf, self.sign * self.val)[:, : self.k]
        return np.asarray(known.argmax(axis=1))

    @property
    def selected_runs(self) -> list[str]:
        """Ids of the selected runs, by repetition."""
        rows = np.flatnonzero(self.counted).tolist()
        found = (self.runs[row][self.selected[row]] for row in rows)
        return [run for run in found if run is not None]

    @property
    def status_counts(self) -> Counter[Status]:
        """How many runs ended in each way."""
        return Counter(status for row in self.statuses for status in row if status)

    def completed(self, budget: int | None = None) -> bool:
        """Some run that counts at a tuning budget completed: with one point, of the defaults."""
        points = 1 if budget == 1 else self.planned_k
        return bool(self.completed_runs[:, :points].any())

    @cached_property
    def completed_runs(self) -> NDArray[np.bool_]:
        """(R, K): which runs completed."""
        return np.array([[status == "completed" for status in row] for row in self.statuses])


def run_command(method: str, task: str) -> str:
    """The command that makes (or completes) the records of a cell."""
    return f"assay run {method} --task {task}"


def cells(
    card: TaskCard, evidence: Evidence, catalogue: Catalogue, ruleset: Ruleset
) -> tuple[list[CellEvidence], list[str]]:
    """The cell of each method with runs on this task, by slug, and a line for each problem.

    Cells that rank all have the same seeds. On the published board these are the hidden seeds of
    the epoch under which most methods rank, the one revealed last of equal ones; where none ranks
    under hidden seeds, the public ones. A method that does not rank under them is shown with its
    results under others, the public ones first, and does not rank.
    """
    problems: list[str] = []
    by_epoch = {
        epoch: _under_seeds(card, runs, evidence, catalogue, ruleset, problems)
        for epoch, runs in _by_epoch(card.slug, evidence, problems).items()
    }
    chosen = _seeds(by_epoch, evidence)
    found = {m: cell for m, cell in by_epoch.get(chosen, {}).items() if cell.state == "ranked"}
    revealed = evidence.rules.revealed
    newest = sorted(revealed, key=lambda epoch: revealed[epoch], reverse=True)
    for epoch in (None, chosen, *newest):
        for method, cell in by_epoch.get(epoch, {}).items():
            found.setdefault(method, cell if epoch == chosen else _beside(cell))
    return [found[method] for method in sorted(found)], sorted(problems)


def _beside(cell: CellEvidence) -> CellEvidence:
    """A cell with other seeds than those that rank."""
    counts = cell.state in ("ranked", "preliminary")
    return replace(cell, state="other seeds") if counts else cell


def _by_epoch(
    task: str, evidence: Evidence, problems: list[str]
) -> dict[str | None, dict[str, list[Run]]]:
    """The runs on a task that may count, by epoch and method; None for the public seeds."""
    rules, found = evidence.rules, dict[str | None, dict[str, list[Run]]]()
    hidden: Counter[tuple[str, str]] = Counter()
    for run in filter(_planned, evidence.by_task.get(task, ())):
        if rules.published and run.epoch is not None and run.epoch not in rules.revealed:
            hidden[run.method.slug, run.epoch] += 1
        elif run.epoch == evidence.epoch or (rules.published and evidence.epoch is None):
            found.setdefault(run.epoch, {}).setdefault(run.method.slug, []).append(run)
    problems += [
        f"{method} on {task}: {n} runs have hidden seeds of the epoch {epoch}, which is not "
        "revealed: they do not count yet"
        for (method, epoch), n in hidden.items()
    ]
    return found


def _seeds(
    by_epoch: Mapping[str | None, Mapping[str, CellEvidence]], evidence: Evidence
) -> str | None:
    """The epoch whose hidden seeds ranks stand on; see `cells`."""
    if evidence.epoch is not None:
        return evidence.epoch
    n_ranked = {
        epoch: sum(cell.state == "ranked" for cell in found.values())
        for epoch, found in by_epoch.items()
    }
    revealed = evidence.rules.revealed
    hidden = [epoch for epoch, n in n_ranked.items() if epoch is not None and n]
    return max(hidden, key=lambda epoch: (n_ranked[epoch], revealed[epoch], epoch), default=None)


def _under_seeds(
    card: TaskCard,
    runs: Mapping[str, Sequence[Run]],
    evidence: Evidence,
    catalogue: Catalogue,
    ruleset: Ruleset,
    problems: list[str],
) -> dict[str, CellEvidence]:
    """The cell of each method, from its runs under the same seeds, by slug."""
    found = {}
    for method in sorted(runs):
        sound = [run for run in runs[method] if not _absurd(run, problems)]
        if sound:
            sealed = evidence.rules.published
            group = largest(card.slug, sound, catalogue, ruleset, problems, sealed=sealed)
            found[method] = _cell(card, group, evidence, ruleset, problems)
    return found


def _planned(run: Run) -> bool:
    """Whether a run may be one of a cell: not of the A/A control, not with chosen values."""
    return run.point is not None and run.repetition < MAX_REPETITIONS


def _absurd(run: Run, problems: list[str]) -> bool:
    """Whether a run has a number that is no score; it is named in `problems`."""
    for value in (run.val, run.test, *run.secondary.values()):
        if value is not None and not abs(value) <= MAX_SCORE:
            problems.append(
                f"{run.method.slug} on {run.task.slug}: run {run.id} has the score {value:g}, "
                "which is no score: it does not count"
            )
            return True
    return False


def _cell(
    card: TaskCard, group: RunGroup, evidence: Evidence, ruleset: Ruleset, problems: list[str]
) -> CellEvidence:
    """The arrays of the runs that count."""
    first = group.runs[0]
    fixed = card.deterministic
    r = ruleset.r(card.tier, deterministic=fixed)
    k = ruleset.k(card.tier, deterministic=fixed) if first.space.ranges else 1
    placed = _placed(group.runs, k, evidence, problems)
    height = max([r, *(repetition + 1 for repetition, _ in placed)])
    grids = {name: np.full((height, k), np.nan) for name in ("val", "test")}
    secondary: dict[str, Floats] = {}
    statuses: list[list[Status | None]] = [[None] * k for _ in range(height)]
    ids: list[list[str | None]] = [[None] * k for _ in range(height)]
    for place, run in placed.items():
        for name, value in (("val", run.val), ("test", run.test)):
            grids[name][place] = card.metric.chance if value is None else value
        for name, value in run.secondary.items():
            secondary.setdefault(name, np.full((height, k), np.nan))[place] = value
        statuses[place[0]][place[1]] = run.status
        ids[place[0]][place[1]] = run.id
    state, points = _state(~np.isnan(grids["test"]), r, k, card, ruleset)
    tries = evidence.tries.get((card.slug, first.method.slug), Tries())
    tiers: set[TrustTier] = {evidence.tiers.get(run.id, "T0") for run in placed.values()}
    tier: TrustTier = min(tiers, default="T0")
    if evidence.rules.published and state in ("ranked", "preliminary"):
        state = _barred(placed.values(), tier) or state
    return CellEvidence(
        method=first.method.slug,
        state="stale" if group.stale else state,
        k=points,
        planned=r,
        sign=1.0 if card.metric.direction == "maximize" else -1.0,
        **grids,
        statuses=statuses,
        runs=ids,
        secondary=secondary,
        stale=group.stale,
        mixed=mixed(run.environment for run in placed.values()),
        left_out=group.left_out,
        unknown=group.unknown,
        local=group.local,
        n_local=sum(run.id not in evidence.tiers for run in placed.values()),
        level=min((run.level for run in placed.values()), default=None),
        epoch=first.epoch,
        replay=_replay(evidence.bundles.get((first.task, first.method, first.epoch))),
        tries=tries.n,
        refused=tries.refused,
        tier=tier,
        flags=evidence.flags.get((first.task, first.method), ()),
        since=min([*(run.created_at for run in group.runs), *filter(None, [tries.first])]),
    )


def _replay(bundle: Standing | None) -> Replay | None:
    """What the log says of the last replay of a published bundle."""
    if bundle is None or not bundle.replays:
        return None
    verdicts = Counter(run.verdict for run in bundle.replays)
    mean = bundle.mean_difference
    return Replay(
        n=len(bundle.replays),
        identical=verdicts["identical"],
        within_tolerance=verdicts["within tolerance"],
        chaotic=verdicts["chaotic"],
        mean_difference=mean.mean if mean else None,
        allowed=mean.allowed if mean else None,
    )


def _barred(runs: Iterable[Run], tier: TrustTier) -> State | None:
    """Why the runs of a cell, which are enough, may not rank on the published board.

    Runs with the hidden seeds of an epoch count from T3 on: before, nobody could replay them.
    """
    runs = [*runs]
    if not all(run.sealed for run in runs):
        return "unsealed"
    needed = "T3" if any(run.epoch for run in runs) else "T2"
    return "not replayed" if tier < needed else None


def _placed(
    runs: Sequence[Run], k: int, evidence: Evidence, problems: list[str]
) -> dict[tuple[int, int], Run]:
    """The runs by repetition and point, without points beyond the first k.

    Where two runs have the same place, a published one counts, then the one made first.
    """

    def order(run: Run) -> tuple[bool, str, str]:
        return run.id not in evidence.tiers, run.created_at, run.id

    found: dict[tuple[int, int], Run] = {}
    for run in sorted(runs, key=order):
        if run.point is None or run.point >= k:
            continue
        place = run.repetition, run.point
        if place in found:
            problems.append(
                f"{run.method.slug} on {run.task.slug}: runs {found[place].id} and {run.id} are "
                f"both point {run.point} of repetition {run.repetition}; the first counts"
            )
        else:
            found[place] = run
    return found


def _state(
    recorded: NDArray[np.bool_], r: int, k: int, card: TaskCard, ruleset: Ruleset
) -> tuple[State, int]:
    """The state of a cell that is not stale, and how many points of a repetition count.

    Args:
        recorded: (rows, k) which runs have a record.
        r: repetitions that are planned.
        k: points that are planned.
        card: of the task.
        ruleset: says what --quick plans.
    """
    leading = np.where(recorded.all(axis=1), k, recorded.argmin(axis=1))
    if (leading[:r] == k).all():
        return "ranked", k
    fixed = card.deterministic
    quick_r = ruleset.r(card.tier, "quick", deterministic=fixed)
    quick_k = min(k, ruleset.k(card.tier, "quick", deterministic=fixed))
    fewest = int(leading[:quick_r].min())
    if fewest >= quick_k:
        return "preliminary", fewest
    return "incomplete", max(1, int(leading.max()))
