"""Which of a repetition's points counts: the best on validation, the earliest among equals.

A run that did not complete counts as the chance level, when points are compared and as a result.
"""

from __future__ import annotations

from collections.abc import Iterable

from assay.cards import Metric
from assay.records.schema import RunRecord, RunSpec
from assay.ruleset import RULESET

Cell = tuple[object, ...]
"""Equal for the runs of one cell."""


def scores(run: RunRecord, metric: Metric) -> tuple[float, float]:
    """Validation and test score of a run; the chance level where it did not complete."""
    if run.result is None:
        return metric.chance, metric.chance
    return run.result.val, run.result.test


def selected(runs: Iterable[RunRecord], metric: Metric) -> RunRecord:
    """The run that counts of one repetition's runs, which have different points.

    Raises:
        ValueError: there is no run.
    """
    sign = 1.0 if metric.direction == "maximize" else -1.0
    return max(runs, key=lambda run: (sign * scores(run, metric)[0], -(run.spec.point or 0)))


def counts(spec: RunSpec) -> bool:
    """Whether a run is one of a cell's: not made by hand, and not of the A/A control."""
    return spec.point is not None and spec.repetition < RULESET.control_repetition


def cell_of(spec: RunSpec) -> Cell:
    """What the runs of one cell have in common."""
    return spec.task, spec.method, spec.ruleset, spec.compute, spec.epoch


def results(runs: Iterable[RunRecord], metric: Metric) -> list[RunRecord]:
    """The run that counts of every repetition of every cell, in the order of first appearance.

    Args:
        runs: of one task; those that are of no cell are left out (see `counts`).
        metric: the task's.
    """
    found: dict[tuple[Cell, int], list[RunRecord]] = {}
    for run in runs:
        if counts(run.spec):
            found.setdefault((cell_of(run.spec), run.spec.repetition), []).append(run)
    return [selected(same, metric) for same in found.values()]
