"""`assay pack`: bundles of the whole and current cells of a results folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from assay import atomic
from assay.errors import AssayError, BundleError, PluginError
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    method_argument,
    method_ref,
    task_entries,
    task_ref,
)
from assay.publication.cell_checks import by_cell, place_of, plan, published_part
from assay.publication.origin_checks import unsealed
from assay.publication.record_checks import MAX_MESSAGE
from assay.records.bundle import pack
from assay.records.schema import RunRecord, reproduce_command
from assay.records.selection import counts
from assay.records.staleness import stale
from assay.records.store import Store
from assay.untrusted import text as texts


@dataclass
class Packed:
    """The result of one `assay pack`."""

    written: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """A line with the reason for each cell that is in no bundle, or not in full."""


def pack_method(method: MethodEntry, store: Store, out: Path) -> Packed:
    """Write one bundle into `out` for every task on which a cell of `method` is whole and current.

    Runs with the hidden seeds of an epoch are in a bundle of their own.

    Raises:
        PluginError: the method is not a folder with a card that stands alone.
        BundleError: a record or the source holds private data; names the field.
        AssayError: there is nothing to pack; every reason.
        StorageError: `out` cannot be written.
    """
    if problem := unpublishable(method):
        raise PluginError(problem)
    source = method.contents
    names = texts.own_names()
    for name, data in source.items():
        _check_source(name, data)
    done = Packed()
    for task, found in _by_task(method.card.slug, store, done).items():
        entry = task_entries().get(task)
        if entry is None:
            done.left_out.append(f"{task}: this checkout has no such task")
            continue
        by_epoch: dict[str | None, list[RunRecord]] = {}
        for run in _whole(found, entry, method, done):
            _check_record(neutral := _neutral(run), names)
            by_epoch.setdefault(run.spec.epoch, []).append(neutral)
        for runs in by_epoch.values():
            name, data = pack(runs, source, entry.card.metric)
            done.written.append(_write(out / name, data))
    if not done.written:
        reasons = done.left_out or [
            f"{store.root} holds no run of it; make them with: assay run "
            f"{shlex.quote(method_argument(method))} --tier lite"
        ]
        raise AssayError(
            f"{method.card.slug}: there is nothing to pack:\n"
            + "\n".join(f"  {r}" for r in reasons)
        )
    return done


def unpublishable(method: MethodEntry) -> str | None:
    """Why a method cannot be published as it is: only a folder that stands alone can be."""
    if not method.is_folder:
        return (
            f"{method.source.name}: is a single file; what is published is a folder with "
            f"method.py and card.toml. Make one with: assay new method {method.card.slug}"
        )
    if modules := [name for name in method.files if "/" in name]:
        return (
            f"{method.card.slug} imports {', '.join(modules[:3])} of its installed package; what "
            "is published stands alone: copy them into its folder"
        )
    return None


def _by_task(slug: str, store: Store, done: Packed) -> dict[str, list[RunRecord]]:
    """The method's runs by task; unreadable ones are added to `done.left_out`."""
    found: dict[str, list[RunRecord]] = {}
    for run in store.runs(done.left_out, method=slug):
        found.setdefault(run.spec.task.slug, []).append(run)
    return found


def _whole(
    runs: list[RunRecord], task: TaskEntry, method: MethodEntry, done: Packed
) -> Iterator[RunRecord]:
    """The runs of the cells that are current and whole; says of the others what they lack."""
    own = shlex.quote(method_argument(method))
    for cell in by_cell(run for run in runs if counts(run.spec)):
        spec = cell[0].spec
        where = f"{task.card.slug}{f', epoch {spec.epoch}' if spec.epoch else ''}"
        if reason := stale(spec, task_ref(task), method_ref(method)):
            done.left_out.append(f"{where}: {len(cell)} runs: {reason}; run it again")
            continue
        if reason := next(filter(None, map(unsealed, cell)), ""):
            done.left_out.append(f"{where}: {reason}")
            continue
        preset, part = published_part(cell, task.card)
        if preset != "full":
            wanted = plan(task.card, cell[0].space, "full").places()
            n_missing = len(wanted - {place_of(run) for run in cell})
            packed = "; packed as preliminary" if part else ""
            done.left_out.append(
                f"{where}: {n_missing} of {len(wanted)} runs have no record yet{packed}; make them "
                f"with: assay run {own} --task {task.card.slug}"
                + (f" --epoch {spec.epoch}" if spec.epoch else "")
            )
        yield from (run for run in cell if place_of(run) in part)


def _neutral(run: RunRecord) -> RunRecord:
    """The run as anybody may read it.

    Its message, which the method wrote, becomes one printable line without paths and without what
    a browser could obey, and the command that repeats it names the method by its slug, wherever its
    folder lay.
    """
    said = "".join(c if c.isprintable() else " " for c in run.message)
    command = reproduce_command(run.spec.method.slug, run.spec)
    own = {"message": texts.neutral(said, MAX_MESSAGE), "reproduce": command}
    return run.model_copy(update=own)


def _check_record(record: RunRecord, names: list[str]) -> None:
    """Refuse a record that holds a path of this machine or a name of its user.

    Raises:
        BundleError: naming the field.
    """
    for where, text in texts.strings(record.model_dump(mode="json")):
        free = where == "message" or where.startswith("environment.")  # else: of a fixed form
        if found := texts.private(text, names if free else ()):
            raise BundleError(
                f"{record.kind} {record.id}: {where} holds {found}, which is not for publication; "
                "see that the method does not report it, remove the record and run it again"
            )


def _check_source(name: str, data: bytes) -> None:
    """Refuse source that names this user's home folder.

    Raises:
        BundleError: naming the file and the line.
    """
    home = os.path.expanduser("~").encode()
    for number, line in enumerate(data.splitlines(), 1):
        if len(home) > 2 and home + b"/" in line:
            raise BundleError(
                f"{name}, line {number}: names your home folder, which is not for publication; "
                "remove it, then run the method again: its code has changed"
            )


def _write(path: Path, data: bytes) -> Path:
    """Write a bundle; its name is made of its content, so an existing file is the same.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        atomic.write(path, data)
    except OSError as error:
        raise atomic.storage_error(path, error, "choose another with --out") from error
    return path
