"""What a node may lack: the files of tasks and methods, and of data sets.

A task's or method's files are sent whole; a node proves by their hash that it would run what was
planned. A method of an installed package is not sent: the package must be installed there.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from assay import atomic
from assay.cards import SubmissionCard, TaskCard
from assay.data import files
from assay.data.catalogue import DATASETS, DataFile, DatasetEntry
from assay.engine.runs import Job, check_unchanged
from assay.errors import DataError
from assay.paths import PACKAGE
from assay.plugins.files import code_files, read_file
from assay.plugins.registry import MethodEntry, TaskEntry, find_method
from assay.space import Space


@dataclass(frozen=True)
class PackedCell:
    """A method and a task as files; what all runs of a cell have in common."""

    task: TaskCard
    task_files: Mapping[str, bytes]
    method: SubmissionCard
    source: str
    """Name of the file that defines the method."""
    method_files: Mapping[str, bytes]
    """Empty for a method of an installed package."""
    entry_point: str
    space: Space


def pack_cell(job: Job) -> PackedCell:
    """The files of a job's cell, which are those that were planned.

    Raises:
        UnusableMethod: the method cannot be read, or was edited meanwhile.
        PluginError: the same of the task.
    """
    method = job.method
    check_unchanged(job)
    return PackedCell(
        task=job.task.card,
        task_files={path.name: read_file(path) for path in code_files(job.task.folder)},
        method=method.card,
        source=method.source.name,
        method_files={} if method.entry_point else method.contents,
        entry_point=method.entry_point,
        space=job.space,
    )


def unpack_cell(cell: PackedCell, folder: Path) -> tuple[TaskEntry, MethodEntry]:
    """Write a cell's files below an empty folder.

    Raises:
        AssayError: the package of the method is not installed here.
        OSError: they cannot be written.
    """
    task = TaskEntry(cell.task, folder / "tasks" / cell.task.slug)
    _write(cell.task_files, task.folder)
    if cell.entry_point:
        return task, find_method(cell.method.slug)
    own = folder / "methods" / cell.method.slug
    _write(cell.method_files, own)
    return task, MethodEntry(cell.method, own / cell.source)


def _write(contents: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


@cache
def package_hash() -> str:
    """SHA-256 of the code of this Assay: equal on nodes that run the same."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE)}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def published_files(names: Iterable[str]) -> Iterator[tuple[DatasetEntry, DataFile]]:
    """The published files of data sets, and of those that they need; others have none."""
    for name in names:
        if (entry := DATASETS.get(name)) is not None:
            if entry.needs:
                yield from published_files([entry.needs])
            yield from ((entry, file) for file in entry.files)


def lacking(names: Iterable[str]) -> list[str]:
    """Paths of the published files that are not in this machine's data folder as they should be."""
    found = []
    for entry, file in published_files(names):
        try:
            files.check(entry, file)
        except DataError:
            found.append(file.path)
    return list(dict.fromkeys(found))


def read_published(names: Iterable[str], path: str) -> bytes | None:
    """The content of one of those files; None where this machine lacks it too."""
    for entry, file in published_files(names):
        if file.path == path:
            try:
                return files.check(entry, file).read_bytes()
            except (DataError, OSError):
                return None
    return None


def put_published(names: Iterable[str], path: str, data: bytes) -> None:
    """Write a published file into this machine's data folder, once for all of its slots.

    Raises:
        DataError: it is not the published one.
        OSError: it cannot be written.
    """
    root = files.data_dir()
    for entry, file in published_files(names):
        if file.path != path:
            continue
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not lacking([entry.name]):
                return
            with atomic.new_file(target) as temporary:
                temporary.write_bytes(data)
                if (found := files.digest(temporary, file.digest)) != file.digest:
                    raise DataError(
                        f"data set {entry.name}: {path} arrived with the digest {found}, expected "
                        f"{file.digest}"
                    )
        return
