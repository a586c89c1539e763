"""The results log: what was published, replayed, refused, corrected or withdrawn, chained by hash.

    <published folder>/log.jsonl       append only, one entry a line, in canonical JSON
    <published folder>/<bundle>.zip    every bundle that was published and not archived
    <published folder>/epochs/*.json   commitments to hidden seeds, and their revelations

Each entry holds its own hash and that of the entry before, so that an edited, removed or reordered
line breaks the chain. A log that was cut or written anew does not begin with the log of the commit
before, which CI checks (`extends`); someone who kept an older head (the last hash) notices too.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from pydantic import ValidationError

from assay import atomic
from assay.errors import LogError, StorageError
from assay.identity import canonical_json, sha256
from assay.records.log_entry import (
    EARNED,
    KINDS,
    NEW,
    NOTHING,
    OF_EPOCHS,
    REPLACING,
    Entry,
    Kind,
    MeanDifference,
    ReplayedRun,
    ReplayVerdict,
    TrustTier,
    cell_of,
)
from assay.records.log_state import LoggedEpoch, LogState, Standing, State, misfit
from assay.untrusted import strict_json
from assay.untrusted.files import read_regular
from assay.untrusted.zip_archive import MAX_ARCHIVE_BYTES

__all__ = [
    "EARNED",
    "KINDS",
    "NEW",
    "NOTHING",
    "OF_EPOCHS",
    "REPLACING",
    "Entry",
    "Kind",
    "LoggedEpoch",
    "MeanDifference",
    "ReplayVerdict",
    "ReplayedRun",
    "Standing",
    "State",
    "TrustTier",
    "cell_of",
]

LOG, EPOCHS = "log.jsonl", "epochs"
MAX_LOG_BYTES = 50_000_000
_GONE: dict[str, str] = {"refuse": "refused", "archive": "archived"}
"""Kinds after which the bundle does not lie in the folder."""


class Details(TypedDict, total=False):
    """What an entry may say beside its kind and its file; see Entry."""

    replaces: str | None
    note: str
    epoch: str | None
    owner: str | None
    replays: Sequence[ReplayedRun]
    mean_difference: MeanDifference | None


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


def _sound(folder: Path) -> tuple[list[Entry], LogState]:
    entries, problems, known = _read(folder)
    if problems:
        raise LogError(f"{folder / LOG}: {problems[0]}")
    return entries, known


def check(folder: Path, head: str | None = None, former: bytes | None = None) -> list[str]:
    """All problems of a published folder.

    Args:
        folder: holds the log and the bundles.
        head: the last hash of the log at an earlier time, which must still be in it.
        former: the whole log at an earlier time, which this one must begin with.
    """
    entries, problems, _ = _read(folder)
    if head is not None and head not in [NOTHING, *(entry.hash for entry in entries)]:
        problems.append(
            f"no entry has the remembered hash {head[:16]}...: the log was cut or written anew"
        )
    if former is not None:
        with contextlib.suppress(OSError):
            problems += extends(former, _bytes(folder))
    return [*problems, *_file_problems(folder, entries)]


def chain_problems(folder: Path) -> list[str]:
    """What is wrong with the log itself, whatever files lie beside it."""
    return _read(folder)[1]


def extends(former: bytes, now: bytes) -> list[str]:
    """What is wrong with the log `now` if it was `former` before; a log only ever grows."""
    if now.startswith(former):
        return []
    old, new = former.splitlines(), now.splitlines()
    first = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
    how = "was cut off" if first == len(new) else "is another one"
    return [
        f"the log does not extend the one before: line {first + 1} of {len(old)} {how}. Entries "
        "are only ever added; put the log back and add what is new with: assay log add"
    ]


def _file_problems(folder: Path, entries: Sequence[Entry]) -> Iterator[str]:
    """Files that are missing, changed, or that no entry names."""
    gone = {e.file: f"was {_GONE[e.kind]}; remove it" for e in entries if e.kind in _GONE}
    named = kept(entries)
    for name, digest in sorted(named.items()):
        try:
            data = read_regular(folder / name, MAX_ARCHIVE_BYTES)
        except OSError as error:
            yield f"{name}: the log names it, but it cannot be read ({error.strerror})"
            continue
        if sha256(data) != digest:
            yield f"{name}: is not the file that the log names: it was replaced"
    there = [path.name for path in folder.glob("*.zip")]
    there += [f"{EPOCHS}/{path.name}" for path in (folder / EPOCHS).glob("*.json")]
    for name in sorted(set(there) - set(named)):
        yield f"{name}: {gone.get(name, 'no entry of the log names it')}"


def kept(entries: Iterable[Entry]) -> dict[str, str]:
    """Files that must lie in the published folder, by their path in it, with their SHA-256."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.kind == "archive":
            found.pop(entry.file, None)
        elif entry.kind != "refuse":
            found[place_of(entry)] = entry.sha256
    return found


def place_of(entry: Entry) -> str:
    """Path of the entry's file in the published folder."""
    return f"{EPOCHS}/{entry.file}" if entry.kind in OF_EPOCHS else entry.file


def append(folder: Path, kind: Kind, file: Path, **details: Unpack[Details]) -> Entry:
    """Add an entry about `file`.

    Args:
        folder: the published folder.
        kind: what happened.
        file: a bundle that lies in `folder` already; for refuse, one that lies anywhere; for
            commit-seeds and reveal-seeds, an epoch's file in the folder `epochs`.
        details: what else the entry says.

    Raises:
        LogError: the chain is broken, or the entry does not fit it.
        StorageError: the log cannot be written.
    """
    path = folder / LOG
    place = folder / EPOCHS if kind in OF_EPOCHS else folder
    try:
        digest = sha256(
            read_regular(file if kind == "refuse" else place / file.name, MAX_ARCHIVE_BYTES)
        )
        with path.open("a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            entries, known = _sound(folder)
            entry = _made(entries, kind, file.name, digest, details)
            problem = misfit(entry, known)
            if kind == "replay" and not entry.replays:
                problem = problem or "tells of no replayed run; give the report of a replay"
            if problem:
                raise LogError(f"{kind} {file.name}: {problem}")
            _write(log.fileno(), entry.line)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    return entry


def _write(log: int, line: bytes) -> None:
    """Add a line to the log, an open descriptor; whole or not at all."""
    length = os.fstat(log).st_size
    try:
        while line:
            line = line[os.write(log, line) :]
        atomic.sync(log)
    except BaseException:  # also Ctrl-C
        os.ftruncate(log, length)
        raise


def standings(entries: Iterable[Entry]) -> dict[str, Standing]:
    """The standing of every bundle by its SHA-256."""
    return _known(entries).standings


def epochs(entries: Iterable[Entry]) -> list[LoggedEpoch]:
    """Every epoch that the log knows, in the order of their commitments."""
    return list(_known(entries).epochs.values())


def owners(entries: Iterable[Entry]) -> dict[str, str | None]:
    """Who owns each published method, by slug: the account that its first bundle came from.

    None: the maintainers, for a bundle without an account.
    """
    found: dict[str, str | None] = {}
    for entry in entries:
        if entry.kind in NEW:
            found.setdefault(cell_of(entry.file)[1], entry.owner)
    return found


def attempts(entries: Iterable[Entry]) -> Counter[tuple[str, str]]:
    """Number of tries of each (task, method) over all versions: published bundles and refused ones.

    Many tries make a lucky result likely, so the count is shown beside the result. Bundles with
    hidden seeds are no tries of their author.
    """
    tries = (e for e in entries if e.kind in (*NEW, "refuse") and e.epoch is None)
    return Counter(cell_of(entry.file) for entry in tries)


def refusals(entries: Iterable[Entry]) -> Counter[tuple[str, str]]:
    """Number of refused tries of each (task, method), which `attempts` counts too."""
    return Counter(cell_of(entry.file) for entry in entries if entry.kind == "refuse")


def first_published(entries: Iterable[Entry]) -> dict[tuple[str, str], str]:
    """When the first bundle of each (task, method) was published, of whatever version; UTC."""
    found: dict[tuple[str, str], str] = {}
    for entry in entries:
        if entry.kind in NEW:
            found.setdefault(cell_of(entry.file), entry.at)
    return found


def _known(entries: Iterable[Entry]) -> LogState:
    known = LogState()
    for entry in entries:
        known.advance(entry)
    return known


def _bytes(folder: Path) -> bytes:
    try:
        return read_regular(folder / LOG, MAX_LOG_BYTES)
    except FileNotFoundError:
        return b""


def _read(folder: Path) -> tuple[list[Entry], list[str], LogState]:
    """The entries before the first problem, that problem, and the state after them."""
    known = LogState()
    try:
        data = _bytes(folder)
    except OSError as error:
        return [], [f"cannot be read: {error.strerror}"], known
    if data and not data.endswith(b"\n"):
        return [], ["its last line is cut off"], known
    entries: list[Entry] = []
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        entry = _next(line, entries)
        if isinstance(entry, str) or (problem := misfit(entry, known)):
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
        # From JSON, where a list is a tuple.
        entry = Entry.model_validate_json(canonical_json(strict_json.parse(line)))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))[:60]}: {first['msg'][:200]}"
    except strict_json.NotStrict as error:
        return str(error)
    return _broken(entry, line, before) or entry


def _broken(entry: Entry, line: bytes, before: Sequence[Entry]) -> str | None:
    """Why `line` does not continue the chain; None if it does."""
    if line != entry.line or entry.true_hash != entry.hash:
        return "was edited: its content does not have its hash"
    if entry.n != len(before) + 1 or entry.previous != (before[-1].hash if before else NOTHING):
        return "does not follow the line before: a line was removed, added or moved"
    return None


def _made(entries: Sequence[Entry], kind: Kind, file: str, digest: str, details: Details) -> Entry:
    given = {name: value for name, value in details.items() if value is not None}
    values = {
        "n": len(entries) + 1,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "kind": kind,
        "file": file,
        "sha256": digest,
        "tier": EARNED.get(kind),
        **given,
        "replays": tuple(details.get("replays", ())),
        "previous": entries[-1].hash if entries else NOTHING,
    }
    try:
        entry = Entry.model_validate({**values, "hash": NOTHING})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LogError(f"{kind} {file}: {where + ': ' if where else ''}{first['msg']}") from error
    return entry.model_copy(update={"hash": entry.true_hash})
