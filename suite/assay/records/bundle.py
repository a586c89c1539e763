"""Bundles: everything published of one (task, method, version), in one file named by its content.

    <task>--<method>-v<version>--<first 16 digits of the file's SHA-256>.zip
        environment.json   the distinct environments; runs name theirs by index
        manifest.json      task, method, counts, and the SHA-256 of every other member
        runs.jsonl         one run record a line
        source/...         card.toml, method.py, helper modules and the data files of the card
        studies.jsonl      one study record a line

A bundle is read in memory, whole or not at all. assay.untrusted.zip_archive says what is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.errors import BundleError, RecordError
from assay.identity import canonical_json, sha256
from assay.records.parsing import record_from
from assay.records.schema import (
    Common,
    Environment,
    Hash,
    MethodRef,
    RunRecord,
    StudyRecord,
    TaskRef,
)
from assay.untrusted import strict_json
from assay.untrusted.files import read_regular
from assay.untrusted.zip_archive import MAX_ARCHIVE_BYTES, read_archive, write_archive

SCHEMA_VERSION = 1
MAX_FILE_BYTES = MAX_ARCHIVE_BYTES
MAX_RUNS, MAX_STUDIES, MAX_SOURCE_BYTES = 2_000, 20, 1_000_000
MANIFEST, ENVIRONMENT, RUNS, STUDIES = (
    "manifest.json",
    "environment.json",
    "runs.jsonl",
    "studies.jsonl",
)
SOURCE = "source/"
Model = TypeVar("Model", bound=BaseModel)


class _BundlePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Manifest(_BundlePart):
    """Whose results a bundle holds, how many, and the hashes of its parts."""

    kind: Literal["bundle"] = "bundle"
    schema_version: Literal[1] = 1
    task: TaskRef
    method: MethodRef
    n_runs: Annotated[int, Field(ge=1, le=MAX_RUNS)]
    n_studies: Annotated[int, Field(ge=1, le=MAX_STUDIES)]
    members: dict[str, Hash]
    """SHA-256 of every other member."""


class _Environments(_BundlePart):
    environments: list[Environment]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read: well formed; assay.publication.verify checks what it says."""

    manifest: Manifest
    runs: list[RunRecord] = field(repr=False)
    studies: list[StudyRecord] = field(repr=False)
    source: dict[str, bytes] = field(repr=False)
    """Files by name, without the folder."""
    sha256: str
    """SHA-256 of the file."""
    path: Path


def file_name(task: TaskRef, method: MethodRef, digest: str) -> str:
    """The name of a bundle; `digest` is the SHA-256 of its file."""
    return f"{task.slug}--{method.slug}-v{method.version}--{digest[:16]}.zip"


def pack(
    runs: Sequence[RunRecord], studies: Sequence[StudyRecord], source: Mapping[str, bytes]
) -> tuple[str, bytes]:
    """Name and content of the bundle of one (task, method, version).

    The order of records does not matter; the same records make the same file.

    Raises:
        BundleError: there is no study, a record is of another task or method, or it is too large.
    """
    if not studies:
        raise BundleError("there is no study to pack")
    task, method = studies[0].task, studies[0].method
    cells = {(s.task, s.method) for s in studies} | {(r.spec.task, r.spec.method) for r in runs}
    if cells != {(task, method)}:
        raise BundleError(f"{task.slug}, {method.slug}: records of other cells are among them")
    environments = sorted({canonical_json(run.environment.model_dump()) for run in runs})
    index = {text: number for number, text in enumerate(environments)}
    members = {
        ENVIRONMENT: ('{"environments":[' + ",".join(environments) + "]}\n").encode(),
        RUNS: _lines(_run_line(run, index) for run in sorted(runs, key=lambda run: run.id)),
        STUDIES: _lines(
            study.model_dump(mode="json") for study in sorted(studies, key=lambda study: study.id)
        ),
        **{SOURCE + name: data for name, data in source.items()},
    }
    manifest = Manifest(
        task=task,
        method=method,
        n_runs=len(runs),
        n_studies=len(studies),
        members={name: sha256(data) for name, data in members.items()},
    )
    members[MANIFEST] = canonical_json(manifest.model_dump(mode="json")).encode() + b"\n"
    data = write_archive(members)
    return file_name(task, method, sha256(data)), data


def _run_line(run: RunRecord, index: Mapping[str, int]) -> dict[str, Any]:
    number = index[canonical_json(run.environment.model_dump())]
    return {**run.model_dump(mode="json"), "environment": number}


def _lines(values: Iterable[Any]) -> bytes:
    """Values as JSON lines; keys keep their order, which a record's command repeats."""
    return "".join(
        json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
        for value in values
    ).encode()


def read_bundle(path: Path) -> Bundle:
    """The bundle at `path`; nothing is extracted and nothing executed.

    Raises:
        BundleError: it cannot be read, or is not well formed; the first problem.
    """
    try:
        data = read_regular(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{path}: cannot be read: {reason}; expected a bundle file") from error
    return parse_bundle(data, path)


def parse_bundle(data: bytes, path: Path) -> Bundle:
    """The bundle that the file at `path` holds.

    Raises:
        BundleError: see read_bundle.
    """
    try:
        return _parsed(data, path)
    except (BundleError, RecordError) as error:
        said = "".join(c if c.isprintable() else "?" for c in str(error)[:600])
        raise BundleError(f"{path}: {said}") from error


def _parsed(data: bytes, path: Path) -> Bundle:
    members = read_archive(data)
    digest = sha256(data)
    manifest = _manifest(members)
    wanted = file_name(manifest.task, manifest.method, digest)
    if path.name != wanted:
        raise BundleError(
            f"the content belongs to a file called {wanted}: it was changed or renamed"
        )
    source = {n.removeprefix(SOURCE): d for n, d in members.items() if n.startswith(SOURCE)}
    if sum(map(len, source.values())) > MAX_SOURCE_BYTES:
        raise BundleError(f"{SOURCE} holds more than {MAX_SOURCE_BYTES:,} bytes")
    environments = _json(members[ENVIRONMENT], ENVIRONMENT, _Environments).environments
    common = Common(environments)
    runs = [
        _run(_strict(line, where), where, common)
        for where, line in _lines_of(members[RUNS], RUNS, manifest.n_runs)
    ]
    studies = [
        record_from(_strict(line, where), StudyRecord, where, common)
        for where, line in _lines_of(members[STUDIES], STUDIES, manifest.n_studies)
    ]
    return Bundle(manifest, runs, studies, source, digest, path)


def _manifest(members: Mapping[str, bytes]) -> Manifest:
    if MANIFEST not in members:
        raise BundleError(f"{MANIFEST} is missing; make it with: assay pack")
    manifest = _json(members[MANIFEST], MANIFEST, Manifest)
    found = {name: sha256(data) for name, data in members.items() if name != MANIFEST}
    for name in sorted({*found, *manifest.members, ENVIRONMENT, RUNS, STUDIES}):
        if name not in found:
            raise BundleError(f"{name} is missing")
        if name not in manifest.members:
            raise BundleError(f"{name} is not listed in {MANIFEST}")
        if found[name] != manifest.members[name]:
            raise BundleError(f"{name} is not the file whose hash {MANIFEST} lists")
        if name not in (ENVIRONMENT, RUNS, STUDIES) and not name.startswith(SOURCE):
            raise BundleError(f"{name}: no such file belongs in a bundle")
    return manifest


def _strict(data: bytes, where: str) -> Any:
    try:
        return strict_json.parse(data)
    except strict_json.NotStrict as error:
        raise BundleError(f"{where}: {error}") from error


def _json(data: bytes, where: str, model: type[Model]) -> Model:
    value = _strict(data, where)
    version = value.get("schema_version", SCHEMA_VERSION) if isinstance(value, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BundleError(
            f"{where}: expected a bundle of schema {SCHEMA_VERSION}, got {str(version)[:40]!r}; if "
            "it was made by a newer Assay: pip install --upgrade trainassay"
        )
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{where}: {key[:100]}: {first['msg'][:300]}") from error


def _lines_of(data: bytes, name: str, n: int) -> Iterator[tuple[str, bytes]]:
    """The lines of a member, as many as the manifest says, each with its place for messages."""
    found = data.count(b"\n")
    if found != n or not data.endswith(b"\n"):
        raise BundleError(f"{name}: {found} lines, but {MANIFEST} says {n}")
    for number, line in enumerate(data[:-1].split(b"\n"), 1):
        yield f"{name}, line {number}", line


def _run(value: Any, where: str, common: Common) -> RunRecord:
    if not isinstance(value, dict):
        raise BundleError(f"{where}: expected a JSON object")
    number, n = value.get("environment"), len(common.environments)
    if type(number) is not int or number not in range(n):
        raise BundleError(f"{where}: environment: expected an index below {n} into {ENVIRONMENT}")
    return record_from(value, RunRecord, where, common)
