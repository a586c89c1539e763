"""Run records from the columns of a bundle (assay.records.columns), which a stranger may have made.

Every column is checked against the type of its field at once, and the records are put together from
checked values: validating each record by itself takes more than twice as long.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from assay.errors import BundleError
from assay.identity import ID_LENGTH, canonical_json, sha256
from assay.records.columns import (
    CHECKS,
    DIGEST_BYTES,
    POINT,
    SCORES,
    SINGLE,
    TABLES,
    Frame,
    time_of,
)
from assay.records.schema import (
    Checks,
    CurvePoint,
    Line,
    MethodRef,
    Number,
    Result,
    RunRecord,
    RunSpec,
    TaskRef,
    Usage,
    reproduce_command,
)
from assay.space import Setting

LAST_SECOND = 2**33
"""Far in the future; what is later is no time of a record."""
Model = TypeVar("Model", bound=BaseModel)
Kind = TypeAdapter[list[Any]]
Columns = Mapping[str, Sequence[Any]]


def _kind(annotation: Any) -> Kind:
    """What checks a column of such values."""
    return TypeAdapter(list[annotation], config=ConfigDict(strict=True, allow_inf_nan=False))


def _of(model: type[BaseModel], name: str, *, absent: bool = False) -> Kind:
    """What checks a column of values of a model's field, which may be `absent` (null)."""
    field = model.model_fields[name]
    own: Any = field.annotation
    if field.metadata:
        own = Annotated[(own, *field.metadata)]
    return _kind(own | None if absent else own)


_INDEX = Annotated[int, Field(ge=0)]
_SINGLE: Mapping[str, Kind] = {
    "frame": _kind(_INDEX),
    "repetition": _of(RunSpec, "repetition"),
    "point": _kind(_INDEX),
    "status": _of(RunRecord, "status"),
    "message": _of(RunRecord, "message"),
    "created_at": _kind(Annotated[int, Field(ge=0, lt=LAST_SECOND)]),
}
_SCORES = {name: _of(Result, name, absent=True) for name in SCORES}
_SECONDARY = _kind(Number | None)
_SETTING = _kind(Setting | None)
_NAMES = _kind(Line)
_USAGE = {name: _of(Usage, name) for name in Usage.model_fields}
_HINTS = get_type_hints(CurvePoint, include_extras=True)
_POINT = {name: _kind(kind) for name, kind in _HINTS.items() if name in POINT}
_SETTERS = {field.name: CurvePoint.__dict__[field.name].__set__ for field in fields(CurvePoint)}
_VALUES = {bool, int, float, str, type(None)}
"""Types of hyperparameters (space.Value), and of one that a run does not have."""


def from_columns(value: Any, task: TaskRef, method: MethodRef, n: int) -> list[RunRecord]:
    """The `n` runs that columns.to_columns made `value` of.

    Raises:
        BundleError: it holds anything else; the first problem.
    """
    found = _object(value, "the table")
    _same_names(found, (*SINGLE, *TABLES), "")
    frames = [
        _Builder(_validated(Frame, frame, "frames"), task, method)
        for frame in _list(found["frames"], "frames")
    ]
    single = _table({name: found[name] for name in SINGLE}, _SINGLE, n, "")
    if max(single["frame"], default=0) >= len(frames):
        raise BundleError(f"frame: expected indices below {len(frames)}")
    tuned = _table(found["hyperparameters"], None, n, "hyperparameters.")
    for name, column in tuned.items():
        if not set(map(type, column)) <= _VALUES:
            raise BundleError(f"hyperparameters.{name[:60]}: expected numbers, texts and booleans")
        _checked(column, _SETTING, f"hyperparameters.{name[:60]}")
    _checked([*tuned], _NAMES, "hyperparameters")
    results = _results(found["result"], single["status"], n)
    usage = _records(Usage, _table(found["usage"], _USAGE, n, "usage."), n)
    weights = _digests(found["weights_sha256"], n)
    kept = _kept(found, n)
    made = []
    for index, (frame, *own) in enumerate(zip(*single.values(), strict=True)):
        values = {name: c[index] for name, c in tuned.items() if c[index] is not None}
        curve, checks = kept.get(index) or ([], None)
        parts = {
            "result": results[index],
            "curve": curve,
            "usage": usage[index],
            "weights_sha256": weights[index],
            "checks": checks,
        }
        made.append(frames[frame].record(own, values, parts))
    return made


def _made(model: type[Model], values: dict[str, Any], names: set[str]) -> Model:
    """A record of values that have been checked, all of them given.

    It is BaseModel.model_construct without its search for defaults, which takes eight times as
    long. `names` are those of all fields.
    """
    made = model.__new__(model)
    put = object.__setattr__
    put(made, "__dict__", values)
    put(made, "__pydantic_fields_set__", names)
    put(made, "__pydantic_extra__", None)
    put(made, "__pydantic_private__", None)
    return made


def _records(model: type[Model], columns: Columns, n: int) -> list[Model]:
    """One record of each of `n` rows."""
    names = {*columns}
    return [_made(model, dict(zip(columns, row, strict=True)), names) for row in _rows(columns, n)]


class _Builder:
    """Puts together the records of one frame."""

    def __init__(self, frame: Frame, task: TaskRef, method: MethodRef) -> None:
        self._spec = {
            "schema_version": 2,
            "ruleset": frame.ruleset,
            "task": task,
            "method": method,
            "compute": frame.compute,
            "epoch": frame.epoch,
        }
        shared = ("space", "family", "tier", "environment", "isolation", "scorer_version")
        self._shared = {name: getattr(frame, name) for name in shared}
        self._shared |= {"kind": "run", "schema_version": 2}
        self._id = _id_of(frame, task, method)
        first = RunSpec(repetition=0, point=0, hyperparameters={}, **self._spec)
        command = reproduce_command(method.slug, first).partition("--repetition 0 --point 0")
        self._command = command[0], command[2]

    def record(
        self, single: Sequence[Any], hyperparameters: dict[str, Any], parts: dict[str, Any]
    ) -> RunRecord:
        """One record, of its values in the order of SINGLE, frame apart, and its other parts."""
        repetition, point, status, message, created_at = single
        begin, end = self._command
        own = {"repetition": repetition, "point": point, "hyperparameters": hyperparameters}
        record = {
            **self._shared,
            **parts,
            "id": self._id(repetition, point, hyperparameters),
            "spec": _made(RunSpec, {**self._spec, **own}, _ALL_OF_SPEC),
            "status": status,
            "message": message,
            "reproduce": f"{begin}--repetition {repetition} --point {point}{end}",
            "created_at": time_of(created_at),
        }
        return _made(RunRecord, record, _ALL_OF_RECORD)


_ALL_OF_SPEC, _ALL_OF_RECORD = {*RunSpec.model_fields}, {*RunRecord.model_fields}


def _id_of(frame: Frame, task: TaskRef, method: MethodRef) -> Callable[..., str]:
    """What gives the id of a frame's spec, as RunSpec.id does, in a third of the time."""
    epoch = "" if frame.epoch is None else f',"epoch":{canonical_json(frame.epoch)}'
    head = f'{{"compute":{canonical_json(frame.compute.model_dump())}{epoch},"hyperparameters":'
    middle = f',"method":{canonical_json(method.model_dump())},"point":'
    tail = (
        f',"ruleset":{frame.ruleset},"schema_version":2,'
        f'"task":{canonical_json(task.model_dump())}}}'
    )

    def made(repetition: int, point: int, hyperparameters: Mapping[str, Any]) -> str:
        values = canonical_json(hyperparameters)
        text = f'{head}{values}{middle}{point},"repetition":{repetition}{tail}'
        return sha256(text)[:ID_LENGTH]

    return made


def _results(value: Any, statuses: Sequence[str], n: int) -> list[Result | None]:
    """The results of all runs: one for each that completed, and for no other."""
    scores = dict(_object(value, "result"))
    secondary = _table(scores.pop("secondary", None), None, n, "result.secondary.")
    secondary = {
        name: _checked(column, _SECONDARY, f"result.secondary.{name}")
        for name, column in secondary.items()
    }
    _checked([*secondary], _NAMES, "result.secondary")
    main = _table(scores, _SCORES, n, "result.")
    found: list[Result | None] = []
    for index, (status, row) in enumerate(zip(statuses, _rows(main, n), strict=True)):
        others = {name: c[index] for name, c in secondary.items() if c[index] is not None}
        given = [score is not None for score in row]
        if (status == "completed") != all(given) or any(given) != all(given):
            raise BundleError(f"run {index}: status {status!r} and result do not fit together")
        if others and not all(given):
            raise BundleError(f"run {index}: it has secondary scores, but no result")
        values = {**dict(zip(main, row, strict=True)), "secondary": others}
        found.append(_made(Result, values, {*values}) if all(given) else None)
    return found


def _kept(value: Mapping[str, Any], n: int) -> dict[int, tuple[list[CurvePoint], Checks | None]]:
    """Curve and checks by the index of their run."""
    kept = _list(value["kept"], "kept")
    if not all(type(i) is int and 0 <= i < n for i in kept) or len({*kept}) < len(kept):
        raise BundleError(f"kept: expected different indices below {n}")
    curves = _table(value["curves"], dict.fromkeys(POINT), len(kept), "curves.")
    checks = _table(value["checks"], dict.fromkeys(CHECKS), len(kept), "checks.")
    found = {}
    for number, index in enumerate(kept):
        facts = {name: column[number] for name, column in checks.items()}
        known = any(part is not None for part in facts.values())
        found[index] = (
            _curve({name: column[number] for name, column in curves.items()}),
            _validated(Checks, facts, "checks") if known else None,
        )
    return found


def _curve(columns: dict[str, Any]) -> list[CurvePoint]:
    """The points of a curve, made by column: most of a bundle's values are in curves."""
    n = len(_list(columns["batch"], "curves.batch"))
    if columns["test"] is None:
        columns["test"] = columns["val"]
    for name in ("x", "y"):
        if columns[name] is None:
            columns[name] = [None] * n
    checked = _table(columns, _POINT, n, "curves.")
    points = [object.__new__(CurvePoint) for _ in range(n)]
    for name, put in _SETTERS.items():
        deque(map(put, points, checked[name]), maxlen=0)
    return points


def _digests(value: Any, n: int) -> list[str | None]:
    try:
        data = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BundleError("weights_sha256: expected Base64") from error
    if len(data) != n * DIGEST_BYTES or base64.b64encode(data).decode() != value:
        raise BundleError(f"weights_sha256: expected {DIGEST_BYTES} bytes for each of {n} runs")
    parts = (data[i : i + DIGEST_BYTES] for i in range(0, len(data), DIGEST_BYTES))
    return [part.hex() if any(part) else None for part in parts]


def _rows(columns: Columns, n: int) -> Sequence[tuple[Any, ...]]:
    """The rows of columns of `n` values; there may be no column."""
    return list(zip(*columns.values(), strict=True)) if columns else [()] * n


def _table(value: Any, kinds: Mapping[str, Kind | None] | None, n: int, where: str) -> Columns:
    """The columns of a table, by name, each a list of `n` values.

    Args:
        value: the JSON.
        kinds: by name, what checks a column, if anything does; None: columns of any name.
        n: rows.
        where: prefix of the columns' names in messages.
    """
    found = _object(value, where.rstrip("."))
    if kinds is not None:
        _same_names(found, [*kinds], where)
    checked = {}
    for name in kinds or found:
        column = _list(found[name], where + name)
        if len(column) != n:
            raise BundleError(f"{where}{name[:60]}: {len(column)} values, expected {n}")
        kind = kinds[name] if kinds else None
        checked[name] = _checked(column, kind, where + name) if kind else column
    return checked


def _checked(column: Any, kind: Kind, where: str) -> list[Any]:
    try:
        return kind.validate_python(column)
    except ValidationError as error:
        raise BundleError(f"{where[:100]}: {_first(error)}") from error


def _validated(model: type[Model], value: Any, where: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BundleError(f"{where}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"{key[:100]}: {first['msg'][:300]}"


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
