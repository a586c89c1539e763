"""Adds a bundle to a published folder: checks it, copies it and logs it, in this order."""

from __future__ import annotations

from pathlib import Path

from assay import atomic
from assay.errors import BundleError, FormerBundle
from assay.identity import sha256
from assay.publication.verify import readable, verify
from assay.records import former, log
from assay.records.bundle import Bundle, parse_bundle
from assay.records.log import Entry, Kind
from assay.untrusted.files import read_regular
from assay.untrusted.zip_archive import MAX_ARCHIVE_BYTES


def add(
    folder: Path, kind: Kind, bundle: Path, *, replaces: Path | None = None, note: str = ""
) -> Entry:
    """Log what happened to `bundle`; a new one is first verified and copied into `folder`.

    Args:
        folder: the published folder; made if it is not there.
        kind: see records.log.Entry.
        bundle: a file anywhere, or the name of one in `folder`.
        replaces: for supersede and correct, the published bundle that it replaces.
        note: the reason.

    Raises:
        BundleError: it cannot be read, or is not valid (tier T1).
        LogError: the entry does not fit the log; nothing was copied.
        StorageError: `folder` cannot be written.
    """
    place = folder / bundle.name
    new = kind in ("publish", *log.REPLACING)
    source = bundle if new and not place.exists() else place
    data = _bytes(source)
    own = _parsed(data, source, kind)
    old = None if replaces is None else sha256(_bytes(folder / replaces.name))
    if new and own is not None:
        _check(own, folder)
    copied = source != place and _copy(data, place)
    try:
        return log.append(folder, kind, place, replaces=old, note=note)
    except BaseException:
        if copied:
            place.unlink()
        raise


def _parsed(data: bytes, path: Path, kind: Kind) -> Bundle | None:
    """The bundle; None for one of ruleset 1, which can only be retracted.

    Raises:
        BundleError: it cannot be read, or is of ruleset 1 and not to be retracted.
    """
    try:
        return parse_bundle(data, path)
    except FormerBundle as error:
        if kind != "retract":
            raise BundleError(f"{error}; it can only be retracted or superseded") from error
    former.parse_bundle(data, path)
    return None


def _check(bundle: Bundle, folder: Path) -> None:
    others = readable(folder, bundle.manifest.task.slug)  # verify compares no others
    errors = [f.message for f in verify(bundle, others) if f.severity == "error"]
    if errors:
        raise BundleError(
            f"{bundle.path}: is not valid and was not published ({errors[0]}); "
            f"see: assay verify {bundle.path}"
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
