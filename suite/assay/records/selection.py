"""Which of a repetition's points counts: the best on validation, the earliest among equals.

A run that did not complete counts as the chance level, as a trial and as a result.
"""

from __future__ import annotations

from collections.abc import Iterable

from assay.cards import Metric
from assay.records.schema import RunRecord


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
