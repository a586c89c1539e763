"""The A/A control: the reference against itself under other seeds, so every finding is false.

The runs are made by `assay aa`: repetitions of the defaults from Ruleset.control_repetition on.
Two kinds of splits of these runs into two arms are tested. Random splits share runs; for these the
sign-flip test is exact whatever the scores are, so their rate checks the code and shows how coarse
p is. Disjoint splits in the order of the seeds are independent; their rate checks that real runs
are exchangeable, and the interval comes from them alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from assay.cards import TaskCard
from assay.errors import RecordError
from assay.identity import canonical_json, derive_seed
from assay.records.schema import RunRecord
from assay.records.staleness import stale
from assay.records.store import Store
from assay.ruleset import Ruleset
from numpy.typing import NDArray

from assay_leaderboard.evidence.cells import Catalogue
from assay_leaderboard.schema.values import Floats, Interval, Part
from assay_leaderboard.statistics import paired_tests

SPLITS = 1_000
"""Random splits of a task's runs into two arms."""
COVERED = 200
"""First splits that get a confidence interval, which costs a bootstrap each."""


class ControlTask(Part):
    """One task."""

    task: str
    n_runs: int
    n_splits: int
    rejected: float
    """Share of the splits with p <= alpha in the sign-flip test; should be at most alpha."""
    judged: float
    """Share with the verdict better or worse (equivalence comes first)."""
    equivalent: float
    """Share with the verdict equivalent, which is the truth."""
    covered: float
    """Share of the BCa intervals of the first splits that contain 0."""
    n_disjoint: int
    """Splits, in the order of the seeds, that share no run."""
    rejected_disjoint: int


class ControlReport(Part):
    """All tasks of the control together, tasks weighing the same."""

    alpha: float
    n_repetitions: int
    """Pairs in a split."""
    n_tasks: int
    n_runs: int
    n_splits: int
    """Random splits of each task; they share its runs."""
    rejected: float
    judged: float
    equivalent: float
    covered: float
    n_independent: int
    """Disjoint splits of all tasks."""
    rejected_independent: int
    interval: Interval
    """Wilson interval of the false-positive rate, from the disjoint splits."""
    tasks: list[ControlTask]


def control_runs(
    store: Store, catalogue: Catalogue, ruleset: Ruleset, problems: list[str]
) -> dict[str, list[float]]:
    """Test scores of the control's current runs by task, in the order of repetitions.

    Runs of other code, or with other seeds, are left out. Where the runs differ in hyperparameters
    or in RunSpec.compute, the largest group counts.

    Args:
        store: of the records.
        catalogue: the tasks.
        ruleset: the current one.
        problems: gets a line for each record that cannot be read.
    """
    found: dict[str, list[float]] = {}
    for slug, (card, task) in sorted(catalogue.tasks.items()):
        if card.reference not in catalogue.methods:
            continue
        method = catalogue.methods[card.reference][1]
        groups: dict[str, dict[int, float]] = {}
        for run in _runs(store, slug, card.reference, problems):
            spec = run.spec
            if not stale(spec, task, method, ruleset) and _of_control(run, ruleset):
                key = canonical_json([spec.hyperparameters, spec.compute.model_dump(mode="json")])
                groups.setdefault(key, {})[spec.repetition] = (
                    run.result.test if run.result else card.metric.chance
                )
        if groups:
            chosen = max(groups.values(), key=len)
            found[slug] = [chosen[repetition] for repetition in sorted(chosen)]
    return found


def _runs(store: Store, task: str, method: str, problems: list[str]) -> Iterator[RunRecord]:
    """The runs of a method on a task; those that cannot be read go to `problems`."""
    for path in sorted(store.run_path(task, method, "").parent.glob("*.json")):
        try:
            run = store.run(task, method, path.stem)
        except RecordError as error:
            problems.append(str(error))
            continue
        if run is not None:
            yield run


def _of_control(run: RunRecord, ruleset: Ruleset) -> bool:
    spec = run.spec
    return (
        spec.purpose == "repetition"
        and spec.epoch is None
        and spec.repetition >= ruleset.control_repetition
    )


def control(
    scores: Mapping[str, Sequence[float]], cards: Mapping[str, TaskCard], ruleset: Ruleset
) -> ControlReport | None:
    """Apply the tests to runs between which there is no difference.

    Args:
        scores: test scores of each task's runs, in the order of their seeds.
        cards: of the tasks.
        ruleset: levels and number of repetitions.

    Returns:
        The report; None where no task has enough runs for two arms.
    """
    r = ruleset.repetitions
    tasks = [
        _task(cards[slug], np.array(scores[slug], dtype=np.float64), ruleset)
        for slug in sorted(scores)
        if len(scores[slug]) >= 2 * r
    ]
    if not tasks:
        return None
    from scipy.stats import binomtest  # half a second to import, needed by this alone

    n = sum(task.n_disjoint for task in tasks)
    rejected = sum(task.rejected_disjoint for task in tasks)
    wilson = binomtest(rejected, n).proportion_ci(ruleset.confidence, method="wilson")
    return ControlReport(
        alpha=ruleset.alpha,
        n_repetitions=r,
        n_tasks=len(tasks),
        n_runs=sum(task.n_runs for task in tasks),
        n_splits=sum(task.n_splits for task in tasks),
        rejected=_mean([task.rejected for task in tasks]),
        judged=_mean([task.judged for task in tasks]),
        equivalent=_mean([task.equivalent for task in tasks]),
        covered=_mean([task.covered for task in tasks]),
        n_independent=n,
        rejected_independent=rejected,
        interval=Interval(low=float(wilson.low), high=float(wilson.high)),
        tasks=tasks,
    )


def _task(card: TaskCard, scores: Floats, ruleset: Ruleset) -> ControlTask:
    r = ruleset.repetitions
    differences = _differences(scores, _orders(card.slug, len(scores), ruleset), r)
    p = paired_tests.sign_flip_p(differences)
    same = [paired_tests.equivalence_p(row, card.metric.margin) for row in differences]
    verdicts = [
        paired_tests.verdict(float(row.mean()), float(row_p), row_same, ruleset.alpha)
        for row, row_p, row_same in zip(differences, p, same, strict=True)
    ]
    ordered = scores[: len(scores) // (2 * r) * 2 * r].reshape(-1, 2, r)
    disjoint = paired_tests.sign_flip_p(ordered[:, 0] - ordered[:, 1])
    return ControlTask(
        task=card.slug,
        n_runs=len(scores),
        n_splits=SPLITS,
        rejected=float((p <= ruleset.alpha).mean()),
        judged=_mean([verdict in ("better", "worse") for verdict in verdicts]),
        equivalent=_mean([verdict == "equivalent" for verdict in verdicts]),
        covered=_covered(differences[:COVERED], ruleset),
        n_disjoint=len(disjoint),
        rejected_disjoint=int((disjoint <= ruleset.alpha).sum()),
    )


def _orders(task: str, n: int, ruleset: Ruleset) -> NDArray[np.int64]:
    """Random orders of a task's n runs, (SPLITS, n)."""
    generator = np.random.default_rng(derive_seed(ruleset.seed_root, "control", task, n))
    return generator.permuted(np.tile(np.arange(n), (SPLITS, 1)), axis=1)


def _differences(scores: Floats, orders: NDArray[np.int64], r: int) -> Floats:
    """(splits, r): the scores of the first r runs of each order minus those of the next r."""
    found: Floats = scores[orders[:, :r]] - scores[orders[:, r : 2 * r]]
    return found


def _covered(differences: Floats, ruleset: Ruleset) -> float:
    intervals = paired_tests.bca_intervals(differences, ruleset.confidence)
    return _mean([found is not None and found.low <= 0 <= found.high for found in intervals])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
