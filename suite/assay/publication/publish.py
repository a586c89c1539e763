"""Adds a bundle to a published folder: checks it, copies it and logs it, in this order."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from assay import atomic
from assay.epochs import REVEALED, epochs
from assay.errors import BundleError, EpochError, FormerBundle, LogError
from assay.identity import sha256
from assay.publication.report import ReplayReport
from assay.publication.verify import errors, readable
from assay.records import former, log
from assay.records.bundle import Bundle, parse_bundle, read_bundle
from assay.records.log import Entry, Kind, Standing
from assay.untrusted.files import read_regular
from assay.untrusted.zip_archive import MAX_ARCHIVE_BYTES


def add(
    folder: Path,
    kind: Kind,
    bundle: Path,
    *,
    replaces: Path | None = None,
    note: str = "",
    owner: str | None = None,
    report: ReplayReport | None = None,
) -> Entry:
    """Log what happened to `bundle`; a new one is first verified and copied into `folder`, and an
    archived one removed from it: the log keeps its hash.

    Args:
        folder: the published folder; made if it is not there.
        kind: see records.log.Entry.
        bundle: a file anywhere, or the name of one in `folder`.
        replaces: for supersede and correct, the published bundle that it replaces.
        note: the reason.
        owner: of a new bundle, the account that it came from.
        report: of a replay, which must have confirmed the bundle; of a refusal, what was replayed.

    Raises:
        BundleError: it cannot be read, or is not valid (tier T1).
        LogError: the entry does not fit the log; nothing was copied.
        StorageError: `folder` cannot be written.
    """
    if kind in log.OF_EPOCHS:
        raise BundleError(f"{kind} is of an epoch, not of a bundle; do: assay epoch --help")
    place = folder / bundle.name
    new = kind in log.NEW
    source = bundle if (new or kind == "refuse") and not place.exists() else place
    data = _bytes(source)
    own = _readable(data, source) if kind == "refuse" else _parsed(data, source, kind)
    details: log.Details = {"note": note, "owner": owner}
    if replaces is not None:
        details["replaces"] = sha256(_bytes(folder / replaces.name))
    if own is not None:
        details["epoch"] = own.epoch
        details |= _replayed(own, kind, report)
    if kind == "refuse":
        return log.append(folder, kind, source, **details)
    if new and own is not None:
        _check(own, folder)
    copied = source != place and _copy(data, place)
    try:
        entry = log.append(folder, kind, place, **details)
    except BaseException:
        if copied and not _is_logged(folder, place.name):
            place.unlink()
        raise
    if kind == "archive":
        place.unlink()
    return entry


def _is_logged(folder: Path, name: str) -> bool:
    """Whether an entry of the log names the file: Ctrl-C can come just after it was written."""
    try:
        return any(entry.file == name for entry in log.read(folder))
    except LogError:
        return False


def rival(folder: Path, path: Path) -> Standing | None:
    """The bundle of the same task, method and seeds as the one at `path` that counts now, if any.

    Raises:
        BundleError: `path` cannot be read.
        LogError: the chain of the folder's log is broken.
    """
    cell = log.cell_of(path.name), read_bundle(path).epoch
    for standing in log.standings(log.read(folder)).values():
        same = (log.cell_of(standing.file), standing.epoch) == cell
        if same and standing.state == "current":
            return standing
    return None


def _replayed(bundle: Bundle, kind: Kind, report: ReplayReport | None) -> log.Details:
    """What an entry tells of a replay.

    Raises:
        BundleError: it is to be logged as replayed, and the report does not confirm it.
    """
    if kind not in ("replay", "refuse") or (report is None and kind == "refuse"):
        return {}
    if report is None:
        raise BundleError(
            f"{bundle.path}: no report of a replay was given; make one with: assay replay "
            f"{shlex.quote(str(bundle.path))} --json > report.json, and give it with --report"
        )
    if kind == "replay" and (problem := report.problem(bundle)):
        raise BundleError(f"{bundle.path}: {problem}")
    return {"replays": report.logged, "mean_difference": report.mean_difference}


def add_epoch(folder: Path, kind: Literal["commit-seeds", "reveal-seeds"], name: str) -> Entry:
    """Log that an epoch began or was revealed; its file lies in `folder` already.

    Raises:
        EpochError: it has no commitment, or its key is not the one committed to.
        LogError: the entry does not fit the log.
        StorageError: the log cannot be written.
    """
    status = next((s for s in epochs(folder / log.EPOCHS) if s.name == name), None)
    if status is None or (kind == "reveal-seeds" and status.revealed is None):
        what = "commitment" if kind == "commit-seeds" else "revelation"
        raise EpochError(f"{folder / log.EPOCHS}: holds no {what} of the epoch {name}")
    ending = REVEALED if kind == "reveal-seeds" else ".json"
    return log.append(folder, kind, Path(f"{name}{ending}"), epoch=name)


def _readable(data: bytes, path: Path) -> Bundle | None:
    """The bundle; None for a file that is none."""
    try:
        return parse_bundle(data, path)
    except BundleError:
        return None


def _parsed(data: bytes, path: Path, kind: Kind) -> Bundle | None:
    """The bundle; None for one of ruleset 1, which can only be retracted or archived.

    Raises:
        BundleError: it cannot be read, or is of ruleset 1 and something else is to happen to it.
    """
    try:
        return parse_bundle(data, path)
    except FormerBundle as error:
        if kind not in ("retract", "archive"):
            raise BundleError(
                f"{error}; it can only be retracted, superseded or archived"
            ) from error
    former.parse_bundle(data, path)
    return None


def _check(bundle: Bundle, folder: Path) -> None:
    others = readable(folder, bundle.manifest.task.slug)  # no others are compared
    if found := errors(bundle, others):
        raise BundleError(
            f"{bundle.path}: is not valid and was not published ({found[0]}); "
            f"see: assay verify {shlex.quote(str(bundle.path))}"
        )


def _copy(data: bytes, place: Path) -> bool:
    try:
        return atomic.write_new(place, data)
    except OSError as error:
        raise atomic.storage_error(
            place.parent, error, "choose another with --published"
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_ARCHIVE_BYTES)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
