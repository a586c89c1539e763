"""Records from JSON: upgraded to the current schema, validated, checked for consistency."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from assay.errors import RecordError
from assay.records.schema import (
    SCHEMA_VERSION,
    AnyRecord,
    Common,
    RunRecord,
    StudyRecord,
    study_id,
)

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Upgrades from schema N to N + 1, by N; schema 1 is the first, so there is none yet."""


def parse_record(text: str, model: type[AnyRecord], origin: str) -> AnyRecord:
    """A record from its JSON text.

    Raises:
        RecordError: it is corrupt, of another kind, made by a newer Assay, or has a wrong id.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise RecordError(f"{origin}: not valid JSON ({error}); the file is damaged") from error
    return record_from(data, model, origin)


def record_from(
    data: Any, model: type[AnyRecord], origin: str, common: Common | None = None
) -> AnyRecord:
    """A record from its parsed JSON.

    Args:
        data: the JSON value.
        model: RunRecord or StudyRecord.
        origin: where it comes from, for messages.
        common: for a record of a bundle, what its records share.

    Raises:
        RecordError: see parse_record.
    """
    if not isinstance(data, dict):
        raise RecordError(f"{origin}: expected a JSON object, got {type(data).__name__}")
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise RecordError(f"{origin}: expected a whole number in schema_version, got {version!r}")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{origin}: written by a newer Assay (record schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade with: pip install --upgrade trainassay"
        )
    while version < SCHEMA_VERSION:
        if version not in UPGRADES:
            raise RecordError(f"{origin}: record schema {version} is unknown to this Assay")
        data = UPGRADES[version](data)
        version = data["schema_version"]
    try:
        record = model.model_validate(data, context=common)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{origin}: {where}: {first['msg']}") from error
    wrong = _wrong_with_run(record) if isinstance(record, RunRecord) else _wrong_with_study(record)
    if wrong:
        raise RecordError(f"{origin}: {wrong}")
    return record


def _wrong_with_run(record: RunRecord) -> str:
    """What is inconsistent in a run; empty if nothing is."""
    if record.id != (own := record.spec.id):
        return f"id {record.id} is not its spec's id {own}"
    if (record.result is None) == (record.status == "completed"):
        return f"status {record.status!r} and result do not fit together"
    return ""


def _wrong_with_study(record: StudyRecord) -> str:
    """What is inconsistent in a study; empty if nothing is."""
    k, r = len(record.trials), len(record.selected_runs)
    points = [trial.hyperparameters for trial in record.trials]
    own = study_id(
        record.task, record.method, record.compute, record.ruleset, points, r, record.epoch
    )
    if record.id != own:
        return f"id {record.id} is not its content's id {own}"
    numbers = range(k)
    if [trial.number for trial in record.trials] != [*numbers] or record.selected not in numbers:
        return "trials and the selected one do not fit together"
    return ""
