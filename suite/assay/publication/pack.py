"""`assay pack`: bundles of the complete and current studies of a results folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from assay import atomic
from assay.errors import AssayError, BundleError, PluginError, RecordError
from assay.plugins.registry import MethodEntry, method_ref, task_entries, task_ref
from assay.records.bundle import pack
from assay.records.schema import MethodRef, RunRecord, StudyRecord, reproduce_command
from assay.records.staleness import stale
from assay.records.store import Store
from assay.untrusted import text as texts


@dataclass
class Packed:
    """The result of one `assay pack`."""

    written: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """A line with the reason for each study that is in no bundle."""


def pack_method(method: MethodEntry, store: Store, out: Path) -> Packed:
    """Write one bundle into `out` for every task on which `method` is complete and current.

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
    for task, studies in _by_task(method.card.slug, store, done).items():
        chosen = list(_complete(task, method_ref(method), studies, store, done))
        if not chosen:
            continue
        runs = {run.id: _neutral(run) for _, needed in chosen for run in needed}
        kept = [study for study, _ in chosen]
        records: list[RunRecord | StudyRecord] = [*runs.values(), *kept]
        for record in records:
            _check_record(record, names)
        name, data = pack(list(runs.values()), kept, source)
        done.written.append(_write(out / name, data))
    if not done.written:
        reasons = done.left_out or [
            f"{store.root} holds no study of it; make one with: assay run {method.card.slug}"
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


def _by_task(slug: str, store: Store, done: Packed) -> dict[str, list[StudyRecord]]:
    """The method's studies by task; unreadable ones are added to `done.left_out`."""
    found: dict[str, list[StudyRecord]] = {}
    for study in store.studies(done.left_out):
        if study.method.slug == slug:
            found.setdefault(study.task.slug, []).append(study)
    return found


def _complete(
    task: str, method: MethodRef, studies: list[StudyRecord], store: Store, done: Packed
) -> Iterator[tuple[StudyRecord, list[RunRecord]]]:
    """The studies that are current and have all their records, each with its runs."""
    entry = task_entries().get(task)
    for study in studies:
        where = f"{task}, study {study.id} ({study.preset})"
        if entry is None:
            done.left_out.append(f"{where}: this checkout has no such task")
            continue
        if reason := stale(study, task_ref(entry), method):
            done.left_out.append(f"{where}: {reason}; run it again")
            continue
        needed = sorted(study.run_ids)
        try:
            found = [store.run(task, study.method.slug, run_id) for run_id in needed]
        except RecordError as error:
            done.left_out.append(f"{where}: {error}")
            continue
        runs = [run for run in found if run is not None]
        if len(runs) < len(needed):
            command = f"assay run {study.method.slug} --task {task}"
            if study.preset == "quick":
                command += " --quick"
            done.left_out.append(
                f"{where}: {len(needed) - len(runs)} of {len(needed)} runs have no record yet; "
                f"make them with: {command}"
            )
            continue
        yield study, runs


def _neutral(run: RunRecord) -> RunRecord:
    """The run as anybody may read it.

    Its message, which the method wrote, becomes one printable line without paths, and the command
    that repeats it names the method by its slug, wherever its folder lay.
    """
    said = "".join(c if c.isprintable() else " " for c in run.message)
    command = reproduce_command(run.spec.method.slug, run.spec)
    return run.model_copy(update={"message": texts.without_paths(said), "reproduce": command})


def _check_record(record: RunRecord | StudyRecord, names: list[str]) -> None:
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
