"""Digits that mean something: numbers are rounded when a record is made.

A store and a bundle then hold the same numbers, and a bundle takes half the space. Scores that are
shares of examples keep enough digits for equal shares to stay equal in sums and differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from assay.records.schema import Checks, CurvePoint, Result, RunRecord, Usage

SHARE_DIGITS = 12
AREA_DIGITS = 6
"""Of a function's score, which is an area under a curve."""
CURVE_DIGITS = 5
"""Of the points of a function's curve."""
SECONDARY_DIGITS = 5
LOSS_DIGITS = 4
"""Of mean training losses."""
PLACE_DIGITS = 4
"""Of coordinates, which are only drawn."""
FIRST_LOSS_DIGITS = 7
"""More than assay.detectors compares (a relative difference of 1e-4)."""
DISTANCE_DIGITS = 4
MEASURED_DIGITS = 3
"""Of seconds and bytes of a run, which vary by percents from time to time."""
CURVE_DECIMALS = 3
"""Of seconds along a curve: milliseconds."""


def rounded(record: RunRecord) -> RunRecord:
    """The record with every measured number rounded; rounding it again changes nothing."""
    area = record.family == "functions"
    curve_digits = CURVE_DIGITS if area else SHARE_DIGITS
    return record.model_copy(
        update={
            "result": record.result and _result(record.result, area),
            "curve": [_point(point, curve_digits) for point in record.curve],
            "usage": _usage(record.usage),
            "checks": record.checks and _checks(record.checks),
        }
    )


def significant(value: float, digits: int) -> float:
    """`value` with so many significant digits."""
    return float(f"{value:.{digits}g}")


def _result(result: Result, area: bool) -> Result:
    digits = AREA_DIGITS if area else SHARE_DIGITS
    names = ("val", "test", "test_last", "test_oracle")
    scores = {name: significant(getattr(result, name), digits) for name in names}
    others = {n: significant(v, SECONDARY_DIGITS) for n, v in result.secondary.items()}
    return result.model_copy(update={**scores, "secondary": others})


def _point(point: CurvePoint, digits: int) -> CurvePoint:
    return replace(
        point,
        seconds=round(point.seconds, CURVE_DECIMALS),
        train_loss=_known(point.train_loss, LOSS_DIGITS),
        val=significant(point.val, digits),
        test=significant(point.test, digits),
        x=_known(point.x, PLACE_DIGITS),
        y=_known(point.y, PLACE_DIGITS),
    )


def _usage(usage: Usage) -> Usage:
    names = ("train_seconds", "wall_seconds", "cpu_seconds")
    seconds = {name: significant(getattr(usage, name), MEASURED_DIGITS) for name in names}
    peak = int(significant(usage.peak_bytes, MEASURED_DIGITS))
    return usage.model_copy(update={**seconds, "peak_bytes": peak})


def _checks(checks: Checks) -> Checks:
    return Checks(
        first_losses=_all(checks.first_losses, FIRST_LOSS_DIGITS),
        reference_first_losses=_all(checks.reference_first_losses, FIRST_LOSS_DIGITS),
        weight_distances=_all(checks.weight_distances, DISTANCE_DIGITS),
    )


def _all(values: Sequence[float | None], digits: int) -> list[float | None]:
    return [_known(value, digits) for value in values]


def _known(value: float | None, digits: int) -> float | None:
    return None if value is None else significant(value, digits)
