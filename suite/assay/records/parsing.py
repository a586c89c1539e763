"""Run records from JSON: validated, checked for consistency."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from assay.errors import FormerRecord, NewerRecord, RecordError
from assay.records.schema import SCHEMA_VERSION, RunRecord
from assay.untrusted.text import plain_text


def parse_record(text: str, origin: str) -> RunRecord:
    """A run record from its JSON text.

    Args:
        text: the JSON.
        origin: where it comes from, for messages.

    Raises:
        FormerRecord: it was made under ruleset 1; assay.records.former reads it.
        RecordError: it is corrupt, of another kind, made by a newer Assay, or has a wrong id.
    """
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


def inconsistency(record: RunRecord) -> str:
    """What does not fit together in a run; empty if everything does."""
    if record.id != (own := record.spec.id):
        return f"id {record.id} is not its spec's id {own}"
    if (record.result is None) == (record.status == "completed"):
        return f"status {record.status!r} and result do not fit together"
    return ""
