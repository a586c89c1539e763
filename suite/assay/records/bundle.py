"""Bundles: everything published of one (task, method, version), in one file named by its content.

    <task>--<method>-v<version>--<first 16 digits of the file's SHA-256>.zip
        manifest.json   task, method and the number of runs
        runs.json       all runs, as columns (assay.records.columns)
        source/...      card.toml, method.py, helper modules and the data files of the card

A bundle is read in memory, whole or not at all. assay.untrusted.zip_archive says what is refused.
This is format 2; assay.records.former reads those of ruleset 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.cards import Metric
from assay.errors import BundleError, FormerBundle
from assay.identity import canonical_json, sha256
from assay.records.column_reader import from_columns
from assay.records.columns import to_columns
from assay.records.formats import is_former
from assay.records.schema import MethodRef, RunRecord, TaskRef
from assay.untrusted import strict_json
from assay.untrusted.files import read_regular
from assay.untrusted.zip_archive import MAX_ARCHIVE_BYTES, read_archive, write_archive

SCHEMA_VERSION = 2
MAX_FILE_BYTES = MAX_ARCHIVE_BYTES
MAX_RUNS, MAX_SOURCE_BYTES = 2_000, 1_000_000
MANIFEST, RUNS, SOURCE = "manifest.json", "runs.json", "source/"


class Manifest(BaseModel):
    """Whose results a bundle holds, and how many runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["bundle"] = "bundle"
    schema_version: Literal[2] = 2
    task: TaskRef
    method: MethodRef
    n_runs: Annotated[int, Field(ge=1, le=MAX_RUNS)]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read: well formed; assay.publication.verify checks what it says."""

    manifest: Manifest
    runs: list[RunRecord] = field(repr=False)
    """All runs; curves and checks only of each repetition's selected run and of the defaults."""
    source: dict[str, bytes] = field(repr=False)
    """Files by name, without the folder."""
    sha256: str
    """SHA-256 of the file."""
    path: Path

    @property
    def epoch(self) -> str | None:
        """Whose hidden seeds its runs have; None: the public seeds."""
        return self.runs[0].spec.epoch


def file_name(task: TaskRef, method: MethodRef, digest: str) -> str:
    """The name of a bundle; `digest` is the SHA-256 of its file."""
    return f"{task.slug}--{method.slug}-v{method.version}--{digest[:16]}.zip"


def pack(
    runs: Sequence[RunRecord], source: Mapping[str, bytes], metric: Metric
) -> tuple[str, bytes]:
    """Name and content of the bundle of one (task, method, version).

    The order of records does not matter; the same records make the same file.

    Args:
        runs: of one task and method, without any run made by hand.
        source: the method's files by name.
        metric: the task's, which says which run of a repetition is selected.

    Raises:
        BundleError: there is no run, a run is of another task or method, made by hand or given
            twice, or they are too large.
    """
    if not runs:
        raise BundleError("there is no run to pack")
    task, method = runs[0].spec.task, runs[0].spec.method
    name = f"{task.slug}, {method.slug}"
    if any((run.spec.task, run.spec.method) != (task, method) for run in runs):
        raise BundleError(f"{name}: records of other cells are among them")
    if any(run.spec.point is None for run in runs):
        raise BundleError(f"{name}: a run with hyperparameters chosen by hand is among them")
    if len({run.id for run in runs}) < len(runs):
        raise BundleError(f"{name}: a run is among them twice")
    if len(runs) > MAX_RUNS:
        raise BundleError(f"{name}: {len(runs):,} runs, expected at most {MAX_RUNS:,}")
    manifest = Manifest(task=task, method=method, n_runs=len(runs))
    table = to_columns(runs, metric)
    data = write_archive(
        {
            MANIFEST: canonical_json(manifest.model_dump(mode="json")).encode() + b"\n",
            RUNS: _compact(table) + b"\n",
            **{SOURCE + file: content for file, content in source.items()},
        }
    )
    return file_name(task, method, sha256(data)), data


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read_bundle(path: Path) -> Bundle:
    """The bundle at `path`; nothing is extracted and nothing executed.

    Raises:
        FormerBundle: it was made under ruleset 1.
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
    except BundleError as error:
        said = "".join(c if c.isprintable() else "?" for c in str(error)[:600])
        raise type(error)(f"{path}: {said}") from error


def _parsed(data: bytes, path: Path) -> Bundle:
    if is_former(data):
        raise FormerBundle("made under ruleset 1, kept for reference only")
    members = read_archive(data)
    digest = sha256(data)
    manifest = _manifest(members)
    wanted = file_name(manifest.task, manifest.method, digest)
    if path.name != wanted:
        raise BundleError(
            f"the content belongs to a file called {wanted}: it was changed or renamed"
        )
    for name in members:
        if name not in (MANIFEST, RUNS) and not name.startswith(SOURCE):
            raise BundleError(f"{name}: no such file belongs in a bundle")
    source = {n.removeprefix(SOURCE): d for n, d in members.items() if n.startswith(SOURCE)}
    if sum(map(len, source.values())) > MAX_SOURCE_BYTES:
        raise BundleError(f"{SOURCE} holds more than {MAX_SOURCE_BYTES:,} bytes")
    if RUNS not in members:
        raise BundleError(f"{RUNS} is missing")
    table = _strict(members[RUNS], RUNS)
    try:
        runs = from_columns(table, manifest.task, manifest.method, manifest.n_runs)
    except BundleError as error:
        raise BundleError(f"{RUNS}: {error}") from error
    return Bundle(manifest, runs, source, digest, path)


def _manifest(members: Mapping[str, bytes]) -> Manifest:
    if MANIFEST not in members:
        raise BundleError(f"{MANIFEST} is missing; make it with: assay pack")
    value = _strict(members[MANIFEST], MANIFEST)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BundleError(
            f"{MANIFEST}: expected a bundle of schema {SCHEMA_VERSION}, got {str(version)[:40]!r}; "
            "if it was made by a newer Assay: pip install --upgrade trainassay"
        )
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{MANIFEST}: {key[:100]}: {first['msg'][:300]}") from error


def _strict(data: bytes, where: str) -> Any:
    try:
        return strict_json.parse(data)
    except strict_json.NotStrict as error:
        raise BundleError(f"{where}: {error}") from error
