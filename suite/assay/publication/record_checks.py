"""Checks of one run record against its task's card: numbers that no run can have together."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from assay.cards import TaskCard, spending_problem
from assay.records.schema import CurvePoint, Result, RunRecord

MAX_MESSAGE = 2000
MAX_STARTS = 1000
CLOCK_SLACK = 1.0
"""Seconds by which two clocks of one machine may differ over a run."""
STOP_SLACK = 10.0
"""CPU seconds that a run of many processes may use before it is stopped at its limit."""

AREA_TOLERANCE = 2e-5
"""Of a function's score: its curve has five digits (assay.records.rounding)."""

SHARES = (
    "global_basin", "basin_ever", "memorisation",
    "macro_f1", "worst_class", "many", "medium", "few",
)  # fmt: skip
"""Secondary metrics from 0 to 1."""
LARGEST = {**dict.fromkeys(SHARES, 1.0), "log_loss": 100.0}
"""Of secondary metrics; families.metrics caps a log loss, and brings torch."""
SIGNED = ("log10_gap",)
"""Those that may be below 0."""

Problem = tuple[str, str]
"""A code and what is wrong."""


def run_problems(run: RunRecord, card: TaskCard, *, has_curve: bool = True) -> Iterator[Problem]:
    """Everything in `run`, a record of the present task, that cannot be true.

    Args:
        run: the record.
        card: the task's.
        has_curve: whether its curve must be there; bundles leave out most.
    """
    yield from _form(run)
    yield from _usage(run, card)
    if run.result is None:
        if run.curve or run.weights_sha256:
            yield "curve", f"a run that ended {run.status} has a curve or weights that were scored"
        return
    if run.weights_sha256 is None:
        yield "weights", "a completed run names no weights"
    yield from _range(run, run.result, card)
    if not has_curve and not run.curve:
        return
    starts = _starts(run.curve)
    if problem := _curve_problem(starts, run, card):
        yield "curve", problem
    elif card.family == "functions":
        yield from _anytime(starts, run.result, card)
    else:
        yield from _selected(run.curve, run.result)


def _form(run: RunRecord) -> Iterator[Problem]:
    if len(run.message) > MAX_MESSAGE:
        yield "message", f"{len(run.message):,} characters, expected at most {MAX_MESSAGE:,}"
    try:
        at = datetime.datetime.fromisoformat(run.created_at)
        sound = at.utcoffset() == datetime.timedelta(0) and at.isoformat() == run.created_at
    except ValueError:
        sound = False
    if not sound:
        yield (
            "created_at",
            f"{run.created_at[:40]!r} is no time in UTC, as 2026-01-31T12:00:00+00:00",
        )


def _usage(run: RunRecord, card: TaskCard) -> Iterator[Problem]:
    usage = run.usage
    if usage.cpu_seconds < 0:
        yield "usage", "CPU seconds below zero"
    if usage.train_seconds > usage.wall_seconds + CLOCK_SLACK:
        yield "usage", "more time in training than passed on the wall"
    seconds = card.budget.seconds * run.spec.compute.threads
    if usage.cpu_seconds > seconds + STOP_SLACK:
        yield "usage", f"{usage.cpu_seconds:g} CPU seconds, allowed were {seconds:g}"
    n_starts, most = len(_starts(run.curve)) or MAX_STARTS, card.budget.example_passes
    if usage.batches > most * n_starts:
        yield "usage", f"{usage.batches} batches, allowed were {most} of one example a start"


def _range(run: RunRecord, result: Result, card: TaskCard) -> Iterator[Problem]:
    """Scores are within the metric's range: 0..1 for a share."""
    scores = [result.val, result.test, result.test_last, result.test_oracle]
    scores += [value for point in run.curve for value in (point.val, point.test)]
    if card.metric.unit == "share" and not all(0 <= score <= 1 for score in scores):
        yield "score", "a score outside 0..1, which its metric cannot give"
    for name, value in result.secondary.items():
        largest = LARGEST.get(name, math.inf)
        if name not in SIGNED and not 0 <= value <= largest:
            yield "score", f"{name[:60]} of {value:g}, expected 0 to {largest:g}"
    if unknown := sorted(set(result.secondary) - set(card.secondary)):
        yield "score", f"secondary metrics that the task does not have: {unknown[0][:60]}"


def _starts(curve: Sequence[CurvePoint]) -> list[list[CurvePoint]]:
    """The points of the curve, by start."""
    starts: list[list[CurvePoint]] = []
    for point in curve:
        if not starts or point.start != starts[-1][-1].start:
            starts.append([])
        starts[-1].append(point)
    return starts


def _curve_problem(starts: list[list[CurvePoint]], run: RunRecord, card: TaskCard) -> str | None:
    """Points are the card's evaluation points, for start 0, 1, ..., and counts never decrease."""
    if [points[0].start for points in starts] != list(range(len(starts))) or not starts:
        return "it is missing, or its starts are not 0, 1, 2, ... in order"
    if len(starts) > 1 and card.family != "functions":
        return f"{len(starts)} starts, expected one"
    if card.family != "functions" and any((p.x, p.y) != (None, None) for p in run.curve):
        return "its points have coordinates, which only those of functions have"
    for points in starts:
        name = f"start {points[0].start}"
        if problem := spending_problem([point.example_passes for point in points], card):
            return f"{name}: {problem}"
        for before, after in pairwise(points):
            if after.batch <= before.batch:
                return f"{name}: batches do not increase"
            if after.passes < before.passes or after.seconds < before.seconds:
                return f"{name}: passes or seconds go back"
        if points[0].batch < 1 or points[0].passes < 0 or points[0].seconds < 0:
            return f"{name}: batches, passes or seconds below what is possible"
    if run.usage.batches != sum(points[-1].batch for points in starts):
        return f"it ends after other batches than the {run.usage.batches} that were spent"
    spent = sum(points[-1].example_passes for points in starts)
    if run.usage.example_passes != spent:
        return f"it ends at {spent} example-passes, spent were {run.usage.example_passes}"
    return None


def _selected(curve: Sequence[CurvePoint], result: Result) -> Iterator[Problem]:
    """The reported snapshot is the best on validation.

    Of equals the scorer takes the latest, but scores that differ in their last bit are equal in a
    record, whose numbers are rounded.
    """
    own, best = result.selected, max(range(len(curve)), key=lambda index: (curve[index].val, index))
    if not 0 <= own < len(curve) or curve[own].val != curve[best].val:
        yield "selected", f"snapshot {own} is reported, validation selects {best}"
        return
    expected = (curve[own].val, curve[own].test, curve[-1].test, max(p.test for p in curve))
    if (result.val, result.test, result.test_last, result.test_oracle) != expected:
        yield "selected", "the scores are not those of the curve"


def _anytime(
    starts: Sequence[Sequence[CurvePoint]], result: Result, card: TaskCard
) -> Iterator[Problem]:
    """The score of a function is the mean area under its starts' curves."""
    from assay.families.functions import area  # brings torch

    budget = card.budget.example_passes
    areas = []
    for points in starts:
        spent: list[int] = []
        for point in points:  # as the scorer counts: `area` cuts what is beyond the budget
            now = max(point.example_passes, point.batch)
            spent.append(max(now, spent[-1]) if spent else now)
        areas.append(area(spent, [point.test for point in points], budget))
    expected = sum(areas) / len(areas)
    scores = (result.val, result.test, result.test_last, result.test_oracle)
    if not all(math.isclose(score, expected, abs_tol=AREA_TOLERANCE) for score in scores):
        yield "selected", f"the score is {result.test:g}, the area under its curve {expected:g}"
    if any(point.val != point.test for points in starts for point in points):
        yield "curve", "validation and test differ, which are one for a function"
    if result.selected != len(starts[0]) - 1:
        yield "selected", f"snapshot {result.selected} is reported, expected the last"
