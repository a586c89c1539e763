"""Records from JSON: upgraded, validated, and refused where something does not fit together.

Most lines of a bundle go a quick way, which takes half the time and says nothing of the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any

from pydantic import ValidationError

from assay.errors import RecordError
from assay.records.schema import (
    SCHEMA_VERSION,
    AnyRecord,
    Common,
    CurvePoint,
    RunRecord,
    StudyRecord,
    study_id,
)
from assay.untrusted import strict_json

_BEGIN, _BEGIN_STUDY = (
    f'{{"kind":"{kind}","schema_version":{SCHEMA_VERSION},'.encode() for kind in ("run", "study")
)
"""Of a record's line as it is written."""

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From schema N to N + 1; schema 1 is the first, so there is none yet."""


def parse_record(text: str, model: type[AnyRecord], origin: str) -> AnyRecord:
    """A record from its JSON text.

    Raises:
        RecordError: corrupt, of another kind, from a newer Assay, or its id is not its spec's.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise RecordError(f"{origin}: not valid JSON ({error}); the file is damaged") from error
    return record_from(data, model, origin)


def plain_runs(lines: Sequence[bytes], common: Common) -> list[RunRecord | None]:
    """The runs of the lines of a bundle, in half the time; None for a line that is not ordinary.

    Of such a line, record_from says what it holds or what is wrong with it. All lines take one
    step before any takes the next: changing between steps costs as much as a step.
    """
    runs = [_plain_run(line, common) for line in lines]
    most = [strict_json.most_keys(line) for line in lines]
    unique = [run is not None and _n_keys(run) == n for run, n in zip(runs, most, strict=True)]
    return [
        run if sure and run is not None and not _wrong_with_run(run) else None
        for run, sure in zip(runs, unique, strict=True)
    ]


def _plain_run(line: bytes, common: Common) -> RunRecord | None:
    """The run of a line that begins as they are written, if it is sound but for equal keys."""
    if not line.startswith(_BEGIN):
        return None  # else 1.0 would pass for the number of the schema, or none at all
    try:
        return RunRecord.model_validate_json(line, context=common)
    except ValidationError:
        return None


_POINT_KEYS = sum(f.default is MISSING for f in fields(CurvePoint))
"""Those that every point has; the others only where they say something."""


def _n_keys(run: RunRecord) -> int:
    """Keys in all objects of the JSON that a run was read from, equal ones of one object once."""
    spec, result = run.spec, run.result
    parts = [run, spec, spec.task, spec.method, spec.compute, run.usage, run.isolation]
    parts += [part for part in (result, run.checks) if part is not None]
    free = len(spec.hyperparameters) + (len(result.secondary) if result else 0)
    places = sum([(p.x is not None) + (p.y is not None) for p in run.curve])
    curve = len(run.curve) * _POINT_KEYS + places
    return free + curve + sum([len(part.model_fields_set) for part in parts])


def plain_study(line: bytes, common: Common) -> StudyRecord | None:
    """The study of a line of a bundle, as plain_runs; None for a line that is not ordinary."""
    if not line.startswith(_BEGIN_STUDY):
        return None
    try:
        study = StudyRecord.model_validate_json(line, context=common)
    except ValidationError:
        return None
    space, trials = study.space, study.trials
    parts = [study, study.task, study.method, study.compute, space, *space.ranges.values(), *trials]
    n_free = len(space.ranges) + len(space.defaults) + sum([len(t.hyperparameters) for t in trials])
    n_keys = n_free + sum([len(part.model_fields_set) for part in parts])
    sure = n_keys == strict_json.most_keys(line) and not _wrong_with_study(study)
    return study if sure else None


def record_from(
    data: Any, model: type[AnyRecord], origin: str, common: Common | None = None
) -> AnyRecord:
    """A record from what its JSON says; one of a bundle with what is common to its records.

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
    """What does not fit together; empty if all does."""
    if record.id != (own := record.spec.id):
        return f"id {record.id} is not its spec's id {own}"
    if (record.result is None) == (record.status == "completed"):
        return f"status {record.status!r} and result do not fit together"
    return ""


def _wrong_with_study(record: StudyRecord) -> str:
    """What does not fit together; empty if all does."""
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
