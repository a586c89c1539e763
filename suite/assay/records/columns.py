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
import binascii
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.cards import Family, Metric, Slug
from assay.errors import BundleError
from assay.identity import ID_LENGTH, canonical_json, sha256
from assay.records.schema import (
    Checks,
    Compute,
    CurvePoint,
    Environment,
    Isolation,
    MethodRef,
    RunRecord,
    RunSpec,
    TaskRef,
    Usage,
    reproduce_command,
)
from assay.records.selection import results
from assay.ruleset import Tier
from assay.space import Space

PATH_REPETITIONS = 3
"""First repetitions whose curves keep coordinates (x, y); a picture shows no more paths."""
LAST_SECOND = 2**33
"""Far in the future; what is later is no time of a record."""
_DIGEST = 32
_SINGLE = ("frame", "repetition", "point", "status", "message", "created_at")
_SCORES = ("val", "test", "test_last", "test_oracle", "selected")
_USAGE = tuple(Usage.model_fields)
_POINT = tuple(field.name for field in fields(CurvePoint))
_CHECKS = tuple(Checks.model_fields)
_TABLES = ("frames", "hyperparameters", "result", "usage", "weights_sha256", "kept", "curves",
           "checks")  # fmt: skip
Columns = Mapping[str, Sequence[Any]]


class Frame(BaseModel):
    """What many runs of a bundle have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ruleset: int
    compute: Compute
    epoch: Slug | None
    space: Space
    family: Family
    tier: Tier
    environment: Environment
    isolation: Isolation
    scorer_version: int

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
    digests = b"".join(bytes.fromhex(run.weights_sha256 or "00" * _DIGEST) for run in order)
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
                for name in _SCORES
            },
            "secondary": {
                name: [run.result.secondary.get(name) if run.result else None for run in order]
                for name in secondary
            },
        },
        "usage": {name: [getattr(run.usage, name) for run in order] for name in _USAGE},
        "created_at": [_seconds(run) for run in order],
        "weights_sha256": base64.b64encode(digests).decode(),
        "kept": [index for index, _ in kept],
        "curves": {name: [_curve_column(run, name) for _, run in kept] for name in _POINT},
        "checks": {
            name: [getattr(run.checks, name) if run.checks else None for _, run in kept]
            for name in _CHECKS
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
    if at.tzinfo is None or _time(round(at.timestamp())) != run.created_at:
        raise BundleError(
            f"run {run.id}: created_at is {run.created_at[:40]!r}, expected whole seconds in UTC, "
            "as 2026-01-31T12:00:00+00:00"
        )
    return round(at.timestamp())


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def from_columns(value: Any, task: TaskRef, method: MethodRef, n: int) -> list[RunRecord]:
    """The `n` runs that to_columns made `value` of; each is validated as any record is.

    Raises:
        BundleError: it holds anything else; the first problem.
    """
    if not isinstance(value, dict):
        raise BundleError("expected a JSON object")
    _same_names(value, (*_SINGLE, *_TABLES), "")
    frames = [_frame(frame) for frame in _list(value["frames"], "frames")]
    single = _table({name: value[name] for name in _SINGLE}, _SINGLE, n, "")
    tuned = _table(value["hyperparameters"], None, n, "hyperparameters.")
    scores = dict(_object(value["result"], "result"))
    secondary = _table(scores.pop("secondary", None), None, n, "result.secondary.")
    main = _table(scores, _SCORES, n, "result.")
    usage = _table(value["usage"], _USAGE, n, "usage.")
    weights = _digests(value["weights_sha256"], n)
    kept = _kept(value, n)
    builders: dict[int, _Builder] = {}
    made = []
    for index, (frame, *rest) in enumerate(_rows(single, n)):
        if type(frame) is not int or frame not in range(len(frames)):
            raise BundleError(f"frame: expected indices below {len(frames)}")
        if frame not in builders:
            builders[frame] = _Builder(frames[frame], task, method)
        parts = {
            "hyperparameters": _present(index, tuned),
            "result": _result(index, main, secondary),
            "usage": {name: column[index] for name, column in usage.items()},
            "weights_sha256": weights[index],
            **kept.get(index, {}),
        }
        made.append(builders[frame](rest, parts, f"run {index}"))
    return made


class _Builder:
    """Makes the records of one frame."""

    def __init__(self, frame: Frame, task: TaskRef, method: MethodRef) -> None:
        self._spec = {
            "ruleset": frame.ruleset,
            "task": task,
            "method": method,
            "compute": frame.compute,
            "epoch": frame.epoch,
        }
        shared = ("space", "family", "tier", "environment", "isolation", "scorer_version")
        self._shared = {name: getattr(frame, name) for name in shared}
        self._id = _id_of(frame, task, method)
        first = RunSpec(repetition=0, point=0, hyperparameters={}, **self._spec)
        command = reproduce_command(method.slug, first).partition("--repetition 0 --point 0")
        self._command = command[0], command[2]

    def __call__(self, single: Sequence[Any], parts: dict[str, Any], where: str) -> RunRecord:
        """One record, from its values in the order of _SINGLE (frame apart) and its other parts."""
        repetition, point, status, message, created = single
        if type(created) is not int or not 0 <= created < LAST_SECOND:
            raise BundleError(f"{where}: created_at: expected seconds since 1970")
        if type(repetition) is not int or type(point) is not int:
            raise BundleError(f"{where}: repetition, point: expected whole numbers")
        values = parts.pop("hyperparameters")
        own = {"repetition": repetition, "point": point, "hyperparameters": values}
        begin, end = self._command
        try:
            spec = RunSpec.model_validate(self._spec | own)
            record = RunRecord.model_validate(
                {
                    "id": self._id(spec),
                    "spec": spec,
                    "status": status,
                    "message": message,
                    "reproduce": f"{begin}--repetition {repetition} --point {point}{end}",
                    "created_at": _time(created),
                    **self._shared,
                    **parts,
                }
            )
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise BundleError(f"{where}: {key[:100]}: {first['msg'][:300]}") from error
        if (record.result is None) == (status == "completed"):
            raise BundleError(f"{where}: status {status!r} and result do not fit together")
        return record


def _id_of(frame: Frame, task: TaskRef, method: MethodRef) -> Callable[[RunSpec], str]:
    """What gives the id of a frame's spec, as RunSpec.id does, in a third of the time."""
    epoch = "" if frame.epoch is None else f',"epoch":{canonical_json(frame.epoch)}'
    head = f'{{"compute":{canonical_json(frame.compute.model_dump())}{epoch},"hyperparameters":'
    middle = f',"method":{canonical_json(method.model_dump())},"point":'
    tail = (
        f',"ruleset":{frame.ruleset},"schema_version":2,'
        f'"task":{canonical_json(task.model_dump())}}}'
    )

    def made(spec: RunSpec) -> str:
        values = canonical_json(spec.hyperparameters)
        text = f'{head}{values}{middle}{spec.point},"repetition":{spec.repetition}{tail}'
        return sha256(text)[:ID_LENGTH]

    return made


def _frame(value: Any) -> Frame:
    try:
        return Frame.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"frames: {key[:100]}: {first['msg'][:300]}") from error


def _present(index: int, columns: Columns) -> dict[str, Any]:
    """The values of a row that are there, by column."""
    return {name: column[index] for name, column in columns.items() if column[index] is not None}


def _result(index: int, main: Columns, secondary: Columns) -> dict[str, Any] | None:
    """The result of a run; None where no score of it is given."""
    values = {name: column[index] for name, column in main.items()}
    others = _present(index, secondary)
    if not others and all(score is None for score in values.values()):
        return None
    return {**values, "secondary": others}


def _kept(value: Mapping[str, Any], n: int) -> dict[int, dict[str, Any]]:
    """Curve and checks by the index of their run."""
    kept = _list(value["kept"], "kept")
    if not all(type(i) is int and 0 <= i < n for i in kept) or len({*kept}) < len(kept):
        raise BundleError(f"kept: expected different indices below {n}")
    curves = _table(value["curves"], _POINT, len(kept), "curves.")
    checks = _table(value["checks"], _CHECKS, len(kept), "checks.")
    found = {}
    for number, index in enumerate(kept):
        facts = {name: column[number] for name, column in checks.items()}
        found[index] = {
            "curve": list(_points({name: column[number] for name, column in curves.items()})),
            "checks": facts if any(part is not None for part in facts.values()) else None,
        }
    return found


def _points(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The points of a curve given by columns."""
    n = len(_list(columns["batch"], "curves.batch"))
    if columns["test"] is None:
        columns["test"] = columns["val"]
    given = {name: column for name, column in columns.items() if column is not None}
    _table(given, None, n, "curves.")
    for row in _rows(given, n):
        yield dict(zip(given, row, strict=True))


def _digests(value: Any, n: int) -> list[str | None]:
    try:
        data = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BundleError("weights_sha256: expected Base64") from error
    if len(data) != n * _DIGEST or base64.b64encode(data).decode() != value:
        raise BundleError(f"weights_sha256: expected {_DIGEST} bytes for each of {n} runs")
    parts = (data[i : i + _DIGEST] for i in range(0, len(data), _DIGEST))
    return [part.hex() if any(part) else None for part in parts]


def _rows(columns: Columns, n: int) -> Iterator[tuple[Any, ...]]:
    """The rows of columns of `n` values; there may be no column."""
    return zip(*columns.values(), strict=True) if columns else iter([()] * n)


def _table(value: Any, names: Sequence[str] | None, n: int, where: str) -> Columns:
    """The columns of a table, by name, each a list of `n` values.

    Args:
        value: the JSON.
        names: which columns there are; None: any.
        n: rows.
        where: prefix of the columns' names in messages.
    """
    found = _object(value, where.rstrip("."))
    if names is not None:
        _same_names(found, names, where)
    for name, column in found.items():
        if len(_list(column, where + name)) != n:
            raise BundleError(f"{where}{name[:60]}: {len(column)} values, expected {n}")
    return found


def _same_names(value: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in (*names, *value):
        if name not in value:
            raise BundleError(f"{where}{name} is missing")
        if name not in names:
            raise BundleError(f"{where}{name[:60]}: no such column belongs in a bundle")


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BundleError(f"{where}: expected a JSON object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BundleError(f"{where[:100]}: expected a list")
    return value
