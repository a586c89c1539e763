"""The results log: what was published, replayed, corrected or withdrawn, chained by hash.

    <published folder>/log.jsonl       append only, one entry a line, in canonical JSON
    <published folder>/<bundle>.zip    every bundle that the log names, superseded ones too

Each entry holds its own hash and that of the entry before, so that an edited, removed or reordered
line breaks the chain. Someone who kept an older head (the last hash) also notices a log that was
written anew.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from assay.errors import LogError, StorageError
from assay.identity import canonical_json, sha256
from assay.records.schema import Hash
from assay.untrusted import strict_json, text
from assay.untrusted.files import read_regular
from assay.untrusted.zip_archive import MAX_ARCHIVE_BYTES

LOG = "log.jsonl"
MAX_LOG_BYTES = 50_000_000
NOTHING = "0" * 64
"""`previous` of the first entry."""
Kind = Literal["publish", "replay", "supersede", "correct", "retract", "reveal"]
REPLACING = ("supersede", "correct")
TrustTier = Literal["T0", "T1", "T2", "T3"]
"""T0 self-reported, T1 valid bundle, T2 replayed, T3 made with the organisers' hidden seeds."""
EARNED: dict[Kind, TrustTier] = {
    "publish": "T1",
    "supersede": "T1",
    "correct": "T1",
    "replay": "T2",
    "reveal": "T3",
}
"""The tier that an entry gives its bundle, unless the entry says another."""


class Entry(BaseModel):
    """One line of the log."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n: Annotated[int, Field(ge=1)]
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    """UTC, ISO 8601."""
    kind: Kind
    file: Annotated[str, Field(pattern=r"^[a-z0-9_]+--[a-z0-9_]+-v\d+--[0-9a-f]{16}\.zip$")]
    """The name of the bundle."""
    sha256: Hash
    """SHA-256 of that file."""
    replaces: Hash | None = None
    """SHA-256 of the bundle that this one replaces; for supersede and correct."""
    tier: TrustTier | None = None
    """Tier of the bundle's results from now on; None: unchanged."""
    note: Annotated[str, Field(max_length=1000)] = ""
    """The reason; required where a published value changes."""
    previous: Hash
    """Hash of the entry before."""
    hash: Hash
    """SHA-256 of this entry's canonical JSON without this field."""

    @model_validator(mode="after")
    def _sound(self) -> Entry:
        if self.note and (text.unsafe(self.note) or text.active(self.note)):
            raise ValueError("the note holds control characters, markup or a link that runs")
        if self.sha256[:16] != self.file.removesuffix(".zip")[-16:]:
            raise ValueError("the file is not named by its hash")
        return self


State = Literal["current", "superseded", "corrected", "retracted"]


@dataclass(frozen=True)
class Standing:
    """The present state of one bundle, according to the log."""

    file: str
    sha256: str
    tier: TrustTier
    since: str
    """When it got this state: UTC, ISO 8601."""
    state: State = "current"
    reason: str = ""


def read(folder: Path) -> list[Entry]:
    """The entries; empty if there is no log.

    Raises:
        LogError: it cannot be read, or its chain is broken; the first problem.
    """
    return _sound(folder)[0]


def read_with_standings(folder: Path) -> tuple[list[Entry], dict[str, Standing]]:
    """The entries, and the standing of every bundle by its SHA-256.

    Raises:
        LogError: see read.
    """
    entries, known = _sound(folder)
    return entries, known.standings


def _sound(folder: Path) -> tuple[list[Entry], _Known]:
    entries, problems, known = _read(folder)
    if problems:
        raise LogError(f"{folder / LOG}: {problems[0]}")
    return entries, known


def check(folder: Path, head: str | None = None) -> list[str]:
    """All problems of a published folder.

    Args:
        folder: holds the log and the bundles.
        head: the last hash of the log at an earlier time, which must still be in it.
    """
    entries, problems, _ = _read(folder)
    if head is not None and head not in [NOTHING, *(entry.hash for entry in entries)]:
        problems.append(
            f"no entry has the remembered hash {head[:16]}...: the log was cut or written anew"
        )
    named = {entry.file: entry.sha256 for entry in entries}
    for name, digest in sorted(named.items()):
        try:
            data = read_regular(folder / name, MAX_ARCHIVE_BYTES)
        except OSError as error:
            problems.append(f"{name}: the log names it, but it cannot be read ({error.strerror})")
            continue
        if sha256(data) != digest:
            problems.append(f"{name}: is not the file that the log names: it was replaced")
    for path in sorted(folder.glob("*.zip")):
        if path.name not in named:
            problems.append(f"{path.name}: no entry of the log names it")
    return problems


def append(
    folder: Path,
    kind: Kind,
    file: Path,
    *,
    replaces: str | None = None,
    tier: TrustTier | None = None,
    note: str = "",
) -> Entry:
    """Add an entry about the bundle `file`, which must lie in `folder` already.

    Raises:
        LogError: the chain is broken, or the entry does not fit it.
        StorageError: the log cannot be written.
    """
    path = folder / LOG
    try:
        digest = sha256(read_regular(folder / file.name, MAX_ARCHIVE_BYTES))
        with path.open("a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            entries, known = _sound(folder)
            tier = tier or EARNED.get(kind)
            entry = _made(entries, kind, file.name, digest, replaces, tier, note)
            if problem := _misfit(entry, known):
                raise LogError(f"{kind} {file.name}: {problem}")
            log.write(canonical_json(entry.model_dump()).encode() + b"\n")
            log.flush()
            os.fsync(log.fileno())
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    return entry


def standings(entries: Iterable[Entry]) -> dict[str, Standing]:
    """The standing of every bundle by its SHA-256."""
    known = _Known()
    for entry in entries:
        known.advance(entry)
    return known.standings


def attempts(entries: Iterable[Entry]) -> Counter[tuple[str, str]]:
    """Number of bundles ever published of each (task, method), over all versions.

    Many attempts make a lucky result likely, so the count is shown beside the result.
    """
    published = (entry for entry in entries if entry.kind in ("publish", *REPLACING))
    return Counter(cell_of(entry.file) for entry in published)


@dataclass(frozen=True)
class _Known:
    """The state after the entries so far."""

    standings: dict[str, Standing] = field(default_factory=dict)
    """By the SHA-256 of the bundle."""
    of_cell: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Those hashes by task and method, so that reading a log takes linear time."""

    def advance(self, entry: Entry) -> None:
        before = self.standings.get(entry.sha256)
        tier = entry.tier or (before.tier if before else "T1")
        own = Standing(entry.file, entry.sha256, tier, entry.at)
        if entry.kind == "retract":
            own = replace(own, state="retracted", reason=entry.note)
        if entry.replaces is not None:
            state: State = "corrected" if entry.kind == "correct" else "superseded"
            old = self.standings[entry.replaces]
            self.standings[entry.replaces] = replace(
                old, since=entry.at, state=state, reason=entry.note
            )
        if before is None:
            self.of_cell.setdefault(cell_of(entry.file), []).append(entry.sha256)
        self.standings[entry.sha256] = own

    def rival(self, entry: Entry) -> Standing | None:
        """The current bundle of the same task and method."""
        same = (self.standings[digest] for digest in self.of_cell.get(cell_of(entry.file), ()))
        return next((standing for standing in same if standing.state == "current"), None)


def _read(folder: Path) -> tuple[list[Entry], list[str], _Known]:
    """The entries before the first problem, that problem, and the state after them."""
    path = folder / LOG
    known = _Known()
    try:
        data = read_regular(path, MAX_LOG_BYTES)
    except FileNotFoundError:
        return [], [], known
    except OSError as error:
        return [], [f"cannot be read: {error.strerror}"], known
    if data and not data.endswith(b"\n"):
        return [], ["its last line is cut off"], known
    entries: list[Entry] = []
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        entry = _next(line, entries)
        if isinstance(entry, str) or (problem := _misfit(entry, known)):
            said = entry if isinstance(entry, str) else problem
            return entries, [f"line {number}: {said}"], known
        entries.append(entry)
        known.advance(entry)
    return entries, [], known


def _next(line: bytes, before: Sequence[Entry]) -> Entry | str:
    """The entry that follows those `before`, or why `line` is none."""
    with contextlib.suppress(ValidationError):
        entry = Entry.model_validate_json(line)
        if _broken(entry, line, before) is None:  # it is canonical: no key stands twice
            return entry
    return _carefully(line, before)


def _carefully(line: bytes, before: Sequence[Entry]) -> Entry | str:
    try:
        entry = Entry.model_validate(strict_json.parse(line))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))[:60]}: {first['msg'][:200]}"
    except strict_json.NotStrict as error:
        return str(error)
    return _broken(entry, line, before) or entry


def _written(entry: Entry) -> tuple[bytes, bytes, bytes]:
    """The entry's line in canonical JSON in three parts, of which the second is its hash."""
    replaces = "null" if entry.replaces is None else f'"{entry.replaces}"'
    tier = "null" if entry.tier is None else f'"{entry.tier}"'
    return (
        f'{{"at":"{entry.at}","file":"{entry.file}",'.encode(),
        f'"hash":"{entry.hash}",'.encode(),
        f'"kind":"{entry.kind}","n":{entry.n},"note":{canonical_json(entry.note)},'
        f'"previous":"{entry.previous}","replaces":{replaces},"sha256":"{entry.sha256}",'
        f'"tier":{tier}}}\n'.encode(),
    )


def _broken(entry: Entry, line: bytes, before: Sequence[Entry]) -> str | None:
    """Why `line` does not continue the chain; None if it does."""
    head, own, tail = _written(entry)
    if line != head + own + tail or sha256(head + tail.removesuffix(b"\n")) != entry.hash:
        return "was edited: its content does not have its hash"
    if entry.n != len(before) + 1 or entry.previous != (before[-1].hash if before else NOTHING):
        return "does not follow the line before: a line was removed, added or moved"
    return None


def _made(
    entries: Sequence[Entry],
    kind: Kind,
    file: str,
    digest: str,
    replaces: str | None,
    tier: TrustTier | None,
    note: str,
) -> Entry:
    values = {
        "n": len(entries) + 1,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "kind": kind,
        "file": file,
        "sha256": digest,
        "replaces": replaces,
        "tier": tier,
        "note": note,
        "previous": entries[-1].hash if entries else NOTHING,
    }
    try:
        return Entry.model_validate({**values, "hash": sha256(canonical_json(values))})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LogError(f"{kind} {file}: {where + ': ' if where else ''}{first['msg']}") from error


def _misfit(entry: Entry, known: _Known) -> str | None:
    """Why the entry is not allowed in the state `known`; None if it is."""
    own = known.standings.get(entry.sha256)
    if entry.kind in ("publish", *REPLACING):
        if own is not None:
            return "is in the log already; a change needs a new bundle"
    elif own is None or own.state != "current":
        return f"is {own.state if own else 'not published'}; only a current bundle can be named"
    if (entry.replaces is not None) != (entry.kind in REPLACING):
        return f"kind {entry.kind} goes {'without' if entry.replaces else 'with'} `replaces`"
    if entry.kind == "publish" and (rival := known.rival(entry)):
        return f"{rival.file} is current for the same task and method; supersede or correct it"
    if entry.replaces is not None:
        old = known.standings.get(entry.replaces)
        if old is None or old.state != "current":
            return "what it replaces is not a current bundle of the log"
        if cell_of(old.file)[0] != cell_of(entry.file)[0]:
            return f"replaces {old.file}, which is of another task"
    if entry.kind in (*REPLACING, "retract") and not entry.note.strip():
        return "a reason is missing; say why in the note"
    return None


def cell_of(file: str) -> tuple[str, str]:
    """Task and method of a bundle, from its name."""
    task, method, _ = file.split("--")
    return task, method.rsplit("-v", 1)[0]
