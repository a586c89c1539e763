"""The runs of one task and method as columns of JSON: how a bundle keeps them small.

    frames           what runs have in common (Frame); `frame` says by index which is a run's
    repetition, point, status, message, hyperparameters, result, usage
                     one value a run; null in `result` where a run did not complete
    created_at       seconds since 1970
    weights_sha256   32 bytes a run in Base64, zeros where there are no weights
    kept             the runs whose curve and checks are kept, by index; the others' are left out
    curves, checks   one value a kept run; null in `test` where the curve is that of `val`

What follows from this is left out: ids, commands, the task and the method.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict

from assay.cards import Family, Metric, Slug
from assay.errors import BundleError
from assay.identity import canonical_json
from assay.records.schema import (
    Checks,
    Compute,
    CurvePoint,
    Environment,
    Isolation,
    RunRecord,
    Usage,
    Version,
)
from assay.records.selection import results
from assay.ruleset import Tier
from assay.space import Space

PATH_REPETITIONS = 3
"""First repetitions whose curves keep coordinates (x, y); a picture shows no more paths."""
DIGEST_BYTES = 32
SINGLE = ("frame", "repetition", "point", "status", "message", "created_at")
"""Columns that belong to no table."""
TABLES = ("frames", "hyperparameters", "result", "usage", "weights_sha256", "kept", "curves",
          "checks")  # fmt: skip
SCORES = ("val", "test", "test_last", "test_oracle", "selected")
USAGE = tuple(Usage.model_fields)
POINT = tuple(field.name for field in fields(CurvePoint))
CHECKS = tuple(Checks.model_fields)


class Frame(BaseModel):
    """What many runs of a bundle have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ruleset: Version
    compute: Compute
    epoch: Slug | None
    space: Space
    family: Family
    tier: Tier
    environment: Environment
    isolation: Isolation
    scorer_version: Version

    @classmethod
    def of(cls, run: RunRecord) -> Frame:
        """The frame of a run."""
        own = {name: getattr(run, name) for name in cls.model_fields if hasattr(run, name)}
        spec = run.spec
        return cls(ruleset=spec.ruleset, compute=spec.compute, epoch=spec.epoch, **own)


def to_columns(runs: Sequence[RunRecord], metric: Metric) -> dict[str, Any]:
    """Runs of one task and method as JSON, in the order of repetitions and points.

    Args:
        runs: no two have the same spec, and every one has a point.
        metric: the task's, by which the selected runs are found.

    Raises:
        BundleError: a run has no time in UTC.
    """
    frames = {run.id: canonical_json(Frame.of(run).model_dump(mode="json")) for run in runs}
    distinct = sorted(set(frames.values()))
    order = sorted(
        runs, key=lambda r: (r.spec.epoch or "", r.spec.repetition, r.spec.point or 0, frames[r.id])
    )
    chosen = {run.id for run in results(runs, metric)}
    kept = [
        (index, run)
        for index, run in enumerate(order)
        if (run.spec.point == 0 or run.id in chosen) and (run.curve or run.checks)
    ]
    names = dict.fromkeys(name for run in order for name in run.spec.hyperparameters)
    secondary = dict.fromkeys(n for run in order if run.result for n in run.result.secondary)
    digests = b"".join(bytes.fromhex(run.weights_sha256 or "00" * DIGEST_BYTES) for run in order)
    return {
        "frames": [Frame.model_validate_json(text).model_dump(mode="json") for text in distinct],
        "frame": [distinct.index(frames[run.id]) for run in order],
        "repetition": [run.spec.repetition for run in order],
        "point": [run.spec.point for run in order],
        "hyperparameters": {
            name: [run.spec.hyperparameters.get(name) for run in order] for name in names
        },
        "status": [run.status for run in order],
        "message": [run.message for run in order],
        "result": {
            **{
                name: [getattr(run.result, name) if run.result else None for run in order]
                for name in SCORES
            },
            "secondary": {
                name: [run.result.secondary.get(name) if run.result else None for run in order]
                for name in secondary
            },
        },
        "usage": {name: [getattr(run.usage, name) for run in order] for name in USAGE},
        "created_at": [_seconds(run) for run in order],
        "weights_sha256": base64.b64encode(digests).decode(),
        "kept": [index for index, _ in kept],
        "curves": {name: [_curve_column(run, name) for _, run in kept] for name in POINT},
        "checks": {
            name: [getattr(run.checks, name) if run.checks else None for _, run in kept]
            for name in CHECKS
        },
    }


def _curve_column(run: RunRecord, name: str) -> list[Any] | None:
    values = [getattr(point, name) for point in run.curve]
    if name == "test" and values == [point.val for point in run.curve]:
        return None
    if name in ("x", "y"):
        lost = run.spec.repetition >= PATH_REPETITIONS or all(value is None for value in values)
        return None if lost else values
    return values


def _seconds(run: RunRecord) -> int:
    try:
        at = datetime.datetime.fromisoformat(run.created_at)
    except ValueError:
        at = datetime.datetime.max
    if at.tzinfo is None or time_of(round(at.timestamp())) != run.created_at:
        raise BundleError(
            f"run {run.id}: created_at is {run.created_at[:40]!r}, expected whole seconds in UTC, "
            "as 2026-01-31T12:00:00+00:00"
        )
    return round(at.timestamp())


def time_of(seconds: int) -> str:
    """Seconds since 1970 as records write a time: UTC, ISO 8601."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
