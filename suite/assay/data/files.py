"""Published files on disk: their place, the check of their digests, their download."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay import atomic
from assay.data.catalogue import DataFile, DatasetEntry, Download, dataset
from assay.errors import DataError

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class FileStatus:
    """Whether a data set can be read."""

    state: Literal["present", "missing", "corrupt"]
    path: Path | None
    """The first missing or corrupt file, else the folder; None for data of scikit-learn."""
    advice: str = ""
    """How to get the file, if it is missing or corrupt."""


def data_dir() -> Path:
    """The folder of published files: $ASSAY_DATA, by default ~/assay-data."""
    return Path(os.environ.get("ASSAY_DATA") or "~/assay-data").expanduser()


def status(name: str) -> FileStatus:
    """Whether the files of data set `name` exist and have the published digests.

    Raises:
        UnknownName: there is no such data set.
    """
    entry = dataset(name)
    if entry.needs and status(entry.needs).state != "present":
        return status(entry.needs)
    for file in entry.files:
        path = data_dir() / file.path
        try:
            check(entry, file)
        except DataError as error:
            return FileStatus("corrupt" if path.exists() else "missing", path, str(error))
    return FileStatus("present", (data_dir() / entry.files[0].path).parent if entry.files else None)


def check(entry: DatasetEntry, file: DataFile) -> Path:
    """The path of a published file, after a check of its digest.

    Raises:
        DataError: it is missing, unreadable, truncated or another file.
    """
    path = data_dir() / file.path
    try:
        found = digest(path, file.digest)
    except FileNotFoundError:
        raise DataError(
            f"data set {entry.name}: {path} is missing. Run `assay data prepare {entry.name}` "
            f"where there is a network ({_address(entry, file)}), or put the published file "
            f"there, or set ASSAY_DATA to the folder that holds {file.path}."
        ) from None
    except OSError as error:
        raise DataError(f"data set {entry.name}: {path} cannot be read: {error}") from error
    if found != file.digest:
        raise DataError(
            f"data set {entry.name}: {path} ({path.stat().st_size:,} bytes) has the digest "
            f"{found}, expected {file.digest}: it is truncated or not the published file. Delete "
            f"it and run `assay data prepare {entry.name}`."
        )
    return path


def digest(path: Path, like: str) -> str:
    """The digest of a file, written and computed as `like` is: `algorithm:hexadecimal`."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def fetch(name: str) -> None:
    """Download the missing files of data set `name`, and check the others.

    Raises:
        DataError: there is no network or no space, or a file is not the published one; no
            unfinished file is left behind.
    """
    entry = dataset(name)
    if entry.needs:
        fetch(entry.needs)
    for download in entry.downloads:
        wanted = entry.files if download.archive else (download.file,)
        if all((data_dir() / file.path).exists() for file in wanted):
            for file in wanted:
                check(entry, file)
            continue
        try:
            _fetch(download, wanted)
        except (OSError, tarfile.TarError) as error:
            raise DataError(
                f"data set {name}: {download.url} could not be fetched into {data_dir()}: {error}. "
                f"Fetch it elsewhere and put {', '.join(file.path for file in wanted)} there, or "
                "set ASSAY_DATA to a folder that holds it."
            ) from error


def _fetch(download: Download, wanted: tuple[DataFile, ...]) -> None:
    root = data_dir()
    root.mkdir(parents=True, exist_ok=True)
    if not download.archive:
        with atomic.new_file(root / download.file.path) as temporary:
            _download(download, temporary)
        return
    with atomic.temporary_file(root) as temporary:
        _download(download, temporary)
        with tarfile.open(temporary, "r:gz") as archive:
            for target in wanted:
                _extract(archive, target, root)


def _download(download: Download, path: Path) -> None:
    with (
        urllib.request.urlopen(download.url, timeout=TIMEOUT_SECONDS) as answer,
        path.open("wb") as file,
    ):
        shutil.copyfileobj(answer, file)
    _expect(path, download.file.digest, download.url)


def _extract(archive: tarfile.TarFile, target: DataFile, root: Path) -> None:
    """Copy one member, found by its exact name; other paths and links are never followed."""
    try:
        member = archive.extractfile(target.path)
    except KeyError:
        member = None
    if member is None:
        raise tarfile.TarError(f"it holds no file {target.path}")
    with atomic.new_file(root / target.path) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(member, file)
        _expect(temporary, target.digest, target.path)


def _expect(path: Path, expected: str, origin: str) -> None:
    found = digest(path, expected)
    if found != expected:
        raise OSError(f"{origin} has the digest {found}, expected {expected}")


def _address(entry: DatasetEntry, file: DataFile) -> str:
    """The address of a published file, or of the archive that holds it."""
    return next(d.url for d in entry.downloads if d.archive or d.file == file)
