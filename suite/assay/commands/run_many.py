"""Run methods on tasks: the library calls behind `assay run` and `assay.run` in Python.

`execute` is the library call; `run` and `dry_run` print what it finds. `locked` and `open_pool` are
also used by `run_one`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Any

import typer

from assay import __version__, atomic
from assay.commands.clusters import check_cluster, open_cluster
from assay.commands.interrupts import terminable
from assay.commands.progress import Bar, duration
from assay.commands.summary import count, summarise
from assay.engine.cells import Cell, make_cells
from assay.engine.executors import Executor
from assay.engine.mirror import Draw, Mirror
from assay.engine.pipeline import Pipeline, Progress
from assay.engine.planning import Pairs, RunRequest, by_device, chosen_pairs
from assay.engine.pool import Pool
from assay.errors import RecordError, StorageError
from assay.records.schema import MAX_SECONDS, Compute
from assay.records.store import Store, read_text

MIRROR_SECONDS = 120.0
"""How long the MLflow mirror may take to catch up at the end."""
INTERRUPTED_SECONDS = 10.0
"""The same after Ctrl-C."""
NO_SANDBOX = (
    "warning: methods run WITHOUT A SANDBOX, with your rights and within reach of the test data; "
    "every record says level L1"
)
NO_LOCKS = (
    "warning: the file system of {} has no locks: give no second assay command there meanwhile"
)
NOMINAL_SECONDS = {"lite": 1.0}
"""Seconds a run takes on the tiers where that is known before any is recorded."""
UNREADABLE = (RecordError, OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""What a damaged record raises that is read for its wall time alone."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """How a request ended."""

    pairs: Pairs
    """The (task, method) pairs that could be run."""
    progress: Progress
    mirror_warnings: list[str]
    """What the MLflow mirror repaired, left out or put off, a line each."""


def run(request: RunRequest, *, with_next: bool = True) -> int:
    """Run what has no record yet, print a summary, return the exit code.

    Args:
        request: what to run.
        with_next: whether the summary ends with the command to give next.
    """
    finished = execute(request, say)
    return summarise(request, finished.progress, finished.mirror_warnings, with_next=with_next)


def execute(request: RunRequest, say: Say) -> Finished:
    """Run what has no record yet; show progress unless `request.as_json`.

    Ctrl-C, SIGTERM and SIGHUP end it early with `progress.interrupted`; finished runs are
    recorded, and the same request continues.

    Args:
        request: what to run.
        say: gets warnings, and headlines unless `request.as_json`.

    Raises:
        AssayError: the request cannot be met, or our own processes keep failing.
    """
    pairs = chosen_pairs(request, say)
    store = Store(request.results)
    progress = Progress()
    with locked(store, say), terminable():
        mirror = _mirror(request, store)
        try:
            for compute, n_workers, group in by_device(request, pairs):
                if not request.as_json:
                    say(_headline(request, group, n_workers, compute))
                with open_executor(request, compute, n_workers, group, progress.problems, say) as (
                    executor,
                    cells,
                ):
                    _run_cells(request, executor, store, mirror, cells, progress)
                if progress.interrupted:
                    break
            if mirror is not None and not progress.interrupted:
                mirror.close(MIRROR_SECONDS)
        except KeyboardInterrupt:
            progress.interrupted = True
        if mirror is not None and progress.interrupted:
            mirror.close(INTERRUPTED_SECONDS)
    return Finished(pairs, progress, mirror.warnings() if mirror else [])


def _run_cells(
    request: RunRequest,
    executor: Executor,
    store: Store,
    mirror: Mirror | None,
    cells: list[Cell],
    progress: Progress,
) -> None:
    """Run the cells of one device and add to `progress`."""
    bar = Bar(quiet=request.as_json)
    try:
        Pipeline(executor, store, mirror, bar.update).run(cells, progress)
    finally:
        bar.close()


@contextmanager
def open_executor(
    request: RunRequest,
    compute: Compute,
    n_workers: int,
    pairs: Pairs,
    problems: list[str],
    say: Say,
) -> Iterator[tuple[Executor, list[Cell]]]:
    """Where the runs of pairs are done, and their cells; both are planned on this machine.

    Args:
        request: what to run.
        compute: what numbers depend on.
        n_workers: how many runs go on at once on this machine.
        pairs: what is to be run with this `compute`.
        problems: gets why methods cannot be loaded.
        say: gets warnings.
    """
    if request.ray is None:
        with open_pool(request, compute, n_workers, say) as pool:
            yield pool, cells_of(request, pairs, pool, problems)
        return
    check_cluster(request.ray)
    planning = compute.model_copy(update={"accelerator": "cpu"})  # a GPU may be elsewhere alone
    with open_pool(request, planning, 1, say) as pool:
        cells = cells_of(request, pairs, pool, problems)
        machine = pool.machine
    cells = [replace(cell, compute=compute) for cell in cells]
    with open_cluster(request, compute, n_workers, machine, say) as executor:
        yield executor, cells


def cells_of(
    request: RunRequest, pairs: Pairs, pool: Pool, problems: list[str] | None = None
) -> list[Cell]:
    """The cells of pairs, with the runs that the request asks for; see make_cells."""
    return make_cells(
        pairs,
        pool,
        request.preset,
        n_repetitions=request.repetitions,
        arms=request.arms,
        problems=problems,
    )


@contextmanager
def open_pool(request: RunRequest, compute: Compute, n_workers: int, say: Say) -> Iterator[Pool]:
    """A pool in the strongest sandbox that works here; warns through `say` where that is none.

    Raises:
        WorkerError: none works, and the user did not allow less.
    """
    with Pool(
        n_workers=n_workers,
        compute=compute,
        epoch=request.epoch,
        allow_weaker=request.allow_weaker,
    ) as pool:
        if pool.mechanism == "subprocess":
            say(NO_SANDBOX)
        yield pool


def dry_run(request: RunRequest) -> int:
    """Say how many runs are missing and about how long they take."""
    rows = list(_missing(request))
    known = [row for row in rows if row["seconds_per_run"] is not None]
    seconds = sum(row["missing"] * row["seconds_per_run"] / row["workers"] for row in known)
    unknown = sum(row["missing"] for row in rows) - sum(row["missing"] for row in known)
    missing = sum(row["missing"] for row in rows)
    if request.as_json:
        summary = {"runs": missing, "seconds": seconds, "runs_of_unknown_length": unknown}
        typer.echo(json.dumps({**summary, "cells": rows}, indent=1))
        return 0
    for row in rows:
        each = row["seconds_per_run"]
        shown = "length not known yet" if each is None else f"about {each:.1f} s each"
        typer.echo(f"{row['task']:26} {row['method']:22} {row['missing']:3} runs, {shown}")
    more = f", and {unknown} runs of unknown length" if unknown else ""
    typer.echo(f"{missing} runs, about {duration(seconds)}{more}; nothing was run")
    return 0


def _seconds_per_run(store: Store, cell: Cell) -> float | None:
    """Median wall time of recorded runs on the task, the method's own first."""
    folder = store.root / "runs" / cell.task_ref.slug
    for pattern in (f"{cell.method_ref.slug}/*.json", "*/*.json"):
        seconds: list[float] = []
        for path in sorted(folder.glob(pattern))[:24]:
            try:
                took = float(json.loads(read_text(path))["usage"]["wall_seconds"])
            except UNREADABLE:
                continue
            if 0 <= took <= MAX_SECONDS:
                seconds.append(took)
        if seconds:
            return statistics.median(seconds)
    return NOMINAL_SECONDS.get(cell.task.card.tier)


def _missing(request: RunRequest) -> Iterator[dict[str, Any]]:
    """A row for each (task, method): how many runs it has, lacks, and how long one takes."""
    pairs = chosen_pairs(request, say)
    store = Store(request.results)
    for compute, n_workers, group in by_device(request, pairs):
        with open_pool(request, compute, 1, say) as pool:
            cells = cells_of(request, group, pool)
        for cell in cells:
            yield {
                "task": cell.task.card.slug,
                "method": cell.method.card.slug,
                "runs": len(cell.specs),
                "missing": len(cell.missing(store)),
                "seconds_per_run": _seconds_per_run(store, cell),
                "workers": n_workers,
                "accelerator": compute.accelerator,
            }


@contextmanager
def locked(store: Store, say: Say) -> Iterator[None]:
    """Hold the lock of a results folder; the system frees it when a command is killed.

    Args:
        store: the folder.
        say: gets a warning where its file system has no locks.

    Raises:
        StorageError: another command holds it, or the folder cannot be written.
    """
    store.check_writable()
    with ExitStack() as held:
        try:
            has_locks = held.enter_context(atomic.locked(store.root / ".lock"))
        except BlockingIOError as error:
            raise StorageError(
                f"another assay command is running on {store.root}; wait for it, or choose "
                "another folder with --results"
            ) from error
        except OSError as error:
            raise store.storage_error(error) from error
        if has_locks:
            store.sweep()
        else:
            say(NO_LOCKS.format(store.root))
        yield


def _mirror(request: RunRequest, store: Store) -> Mirror | None:
    """The MLflow mirror, or None under `--mlflow off`."""
    if request.mlflow == "off":
        return None
    return Mirror(
        store,
        mlflow_uri=request.mlflow,
        optuna_storage=request.optuna_storage,
        draw=_drawing(store),
    )


def _drawing(store: Store) -> Draw | None:
    """What draws the pictures of a cell for MLflow, if an installed package can.

    It is the first of the entry-point group `assay.pictures`: a function of the store and one of
    the cell's runs.
    """
    found = sorted(entry_points(group="assay.pictures"), key=lambda entry: entry.name)
    return (lambda run: found[0].load()(store, run)) if found else None


def _headline(request: RunRequest, pairs: Pairs, n_workers: int, compute: Compute) -> str:
    n_tasks = len({task.card.slug for task, _ in pairs})
    n_methods = len({method.card.slug for _, method in pairs})
    where = "GPU" if compute.accelerator == "gpu" else "CPU"
    workers = count(n_workers, f"{where} worker")
    if request.ray is not None and request.ray.address is not None:
        workers = f"Ray at {request.ray.address}, {where} workers"
    return (
        f"assay {__version__}: {count(n_methods, 'method')} on {count(n_tasks, 'task')}, "
        f"{workers} of {count(compute.threads, 'thread')}"
    )


def say(text: str) -> None:
    """Print `text` to standard error."""
    with suppress(OSError):  # a full disk or a closed terminal is no reason to end
        typer.echo(text, err=True)
