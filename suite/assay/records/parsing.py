"""Run records from JSON: validated, checked for consistency."""

from __future__ import annotations

import json
import marshal
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from assay.errors import FormerRecord, NewerRecord, RecordError
from assay.records.schema import (
    SCHEMA_VERSION,
    Compute,
    Environment,
    Isolation,
    MethodRef,
    RunRecord,
    RunSpec,
    TaskRef,
)
from assay.records.spec_ids import SpecIds
from assay.space import Space
from assay.untrusted.text import plain_text

_WITHOUT_REFERENCES = 2
"""Version of marshal's format in which equal values of equal types are equal bytes."""


def parse_record(text: str, origin: str) -> RunRecord:
    """A run record from its JSON text.

    Args:
        text: the JSON.
        origin: where it comes from, for messages.

    Raises:
        FormerRecord: it was made under ruleset 1; assay.records.former reads it.
        RecordError: it is corrupt, of another kind, made by a newer Assay, or has a wrong id.
    """
    if (record := _quickly(text)) is not None:
        return record
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise RecordError(f"{origin}: not valid JSON ({error}); the file is damaged") from error
    return record_from(data, origin)


def record_from(data: Any, origin: str) -> RunRecord:
    """A run record from its parsed JSON, whose parts may be models already.

    Args:
        data: the JSON value.
        origin: where it comes from, for messages.

    Raises:
        RecordError: see parse_record.
    """
    if not isinstance(data, dict):
        raise RecordError(f"{origin}: expected a JSON object, got {type(data).__name__}")
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise RecordError(
            f"{origin}: expected a whole number in schema_version, got {version!r:.60}"
        )
    if version > SCHEMA_VERSION:
        raise NewerRecord(
            f"{origin}: written by a newer Assay (record schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade with: pip install --upgrade trainassay"
        )
    if version == 1:
        raise FormerRecord(f"{origin}: made under ruleset 1, kept for reference only")
    if version < SCHEMA_VERSION:
        raise RecordError(f"{origin}: record schema {version} is unknown to this Assay")
    try:
        record = RunRecord.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = plain_text(f"{where:.200}: {first['msg']:.200}")
        raise RecordError(f"{origin}: {said}") from error
    if wrong := inconsistency(record):
        raise RecordError(f"{origin}: {wrong}")
    return record


def _quickly(text: str) -> RunRecord | None:
    """A record that is in order; None for any other, which record_from finds fault with.

    Records share most of their content, which is validated once. It takes a third of the time of
    record_from, and equal parts of many records are one object.
    """
    try:
        data = from_json(text, allow_inf_nan=False)
        spec = data["spec"]
        if type(data["schema_version"]) is not int or type(spec["schema_version"]) is not int:
            return None
        own = spec["task"], spec["method"], spec["compute"], spec["ruleset"], spec.get("epoch")
        rest = data["space"], data["environment"], data["isolation"]
        of_spec, of_record, ids = _shared(marshal.dumps((own, rest), _WITHOUT_REFERENCES))
        spec.update(of_spec)
        data.update(of_record)
        record = RunRecord.model_validate(data)
    except (ValueError, TypeError, KeyError):
        return None
    spec = record.spec
    own_id = ids.of(spec.repetition, spec.point, spec.hyperparameters)
    fits = (record.result is None) != (record.status == "completed")
    return record if own_id == record.id and fits else None


@lru_cache(maxsize=4096)
def _shared(packed: bytes) -> tuple[dict[str, Any], dict[str, Any], SpecIds]:
    """What the runs of a cell have in common: of their specs, of their records, and their ids.

    Args:
        packed: task, method, compute, ruleset and epoch of the spec, then space, environment and
            isolation of the record.

    Raises:
        ValidationError: a part is none.
    """
    (task, method, compute, ruleset, epoch), (space, environment, isolation) = marshal.loads(packed)
    of_spec = {
        "task": _part(TaskRef, task),
        "method": _part(MethodRef, method),
        "compute": _part(Compute, compute),
    }
    of_record = {
        "space": _part(Space, space),
        "environment": _part(Environment, environment),
        "isolation": _part(Isolation, isolation),
    }
    no_place: dict[str, Any] = {"repetition": 0, "point": 0, "hyperparameters": {}}
    spec = RunSpec.model_validate({"ruleset": ruleset, "epoch": epoch} | of_spec | no_place)
    return of_spec, of_record, SpecIds(spec)


def _part(model: type[BaseModel], value: Any) -> BaseModel:
    """A part of a record, from its JSON value; equal ones are one object.

    Raises:
        ValidationError: it is none.
    """
    return _made(model, marshal.dumps(value, _WITHOUT_REFERENCES))


@lru_cache(maxsize=4096)
def _made(model: type[BaseModel], packed: bytes) -> BaseModel:
    return model.model_validate(marshal.loads(packed))


def inconsistency(record: RunRecord) -> str:
    """What does not fit together in a run; empty if everything does."""
    if record.id != (own := record.spec.id):
        return f"id {record.id} is not its spec's id {own}"
    if (record.result is None) == (record.status == "completed"):
        return f"status {record.status!r} and result do not fit together"
    return ""
