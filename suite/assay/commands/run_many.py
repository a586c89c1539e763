"""What `assay run` and `assay quickstart` do: from names to a pool, a pipeline and a summary."""

from __future__ import annotations

import fcntl
import json
import signal
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points
from typing import Any, cast

import typer

from assay import __version__
from assay.commands.progress import Bar, duration
from assay.engine.cells import Cell, make_cells, missing_runs
from assay.engine.mirror import Draw, Mirror
from assay.engine.pipeline import Pipeline, Progress
from assay.engine.planning import Pairs, RunRequest, by_device, chosen_pairs
from assay.engine.pool import Pool
from assay.errors import StorageError
from assay.records.schema import Compute
from assay.records.store import Store
from assay.ruleset import Preset

INTERRUPTED, INCOMPLETE = 130, 4
MIRROR_SECONDS = 120.0
NO_SANDBOX = (
    "warning: methods run WITHOUT A SANDBOX, with your rights and within reach of the test data; "
    "every record says level L1"
)
NOMINAL_SECONDS = {"lite": 1.0}
QUICKSTART_METHODS = [
    *("sgd", "adam", "diffgrad", "adam_half_lr"),
    *("cross_entropy", "round_to_nearest"),  # the references of three families
    *("elr", "logit_adjustment", "lsq"),
]
QUICKSTART_TASKS = ["digits_cnn", "beale", "digits_sym40", "digits_lt50", "digits_w2a2"]


def run(request: RunRequest) -> int:
    """Run what has no record yet; the exit code."""
    pairs = chosen_pairs(request, partial(_say, request))
    store = Store(request.results)
    with _locked(store), _mirror(request, store) as mirror:
        progress = Progress(total=0)
        try:
            with _terminable():
                for compute, n_workers, group in by_device(request, pairs):
                    _say(request, _headline(group, n_workers, compute))
                    progress = _run_group(request, store, mirror, compute, n_workers, group)
                    if progress.interrupted:
                        break
        except KeyboardInterrupt:
            progress.interrupted = True
        mirror.close(MIRROR_SECONDS if mirror.enabled else None)
        return _summary(request, progress, mirror)


def _run_group(
    request: RunRequest, store: Store, mirror: _MaybeMirror, compute: Compute, n: int, pairs: Pairs
) -> Progress:
    with _pool(request, compute, n) as pool:
        cells = make_cells(pairs, pool, cast(Preset, request.preset))
        bar = Bar(quiet=request.as_json)
        try:
            pipeline = Pipeline(pool, store, mirror.mirror, bar.update)
            if request.control:
                return pipeline.repeat(cells, request.control)
            return pipeline.run(cells)
        finally:
            bar.close()


@contextmanager
def _pool(request: RunRequest, compute: Compute, n_workers: int) -> Iterator[Pool]:
    """A pool in the strongest sandbox that works here; says so where that is none.

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
            _say(request, NO_SANDBOX)
        yield pool


def dry_run(request: RunRequest) -> int:
    """Say how many runs are missing and about how long they take."""
    pairs = chosen_pairs(request, partial(_say, request))
    store = Store(request.results)
    rows: list[dict[str, Any]] = []
    for compute, n_workers, group in by_device(request, pairs):
        with _pool(request, compute, 1) as pool:
            cells = make_cells(group, pool, cast(Preset, request.preset))
        for cell, missing in missing_runs(cells, store):
            seconds = _seconds_per_run(store, cell)
            rows.append(
                {
                    "task": cell.task.card.slug,
                    "method": cell.method.card.slug,
                    "runs": cell.n_runs,
                    "missing": missing,
                    "seconds_per_run": seconds,
                    "workers": n_workers,
                    "accelerator": compute.accelerator,
                }
            )
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
    typer.echo(f"{missing} runs at most, about {duration(seconds)}{more}; nothing was run")
    return 0


def _seconds_per_run(store: Store, cell: Cell) -> float | None:
    """Median wall time of recorded runs on the task, the method's own first."""
    folder = store.root / "runs" / cell.task_ref.slug
    for pattern in (f"{cell.method_ref.slug}/*.json", "*/*.json"):
        seconds: list[float] = []
        for path in sorted(folder.glob(pattern))[:24]:
            try:
                seconds.append(float(json.loads(path.read_text())["usage"]["wall_seconds"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        if seconds:
            return statistics.median(seconds)
    return NOMINAL_SECONDS.get(cell.task.card.tier)


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    """One command at a time per results folder; the system frees the lock of a killed one."""
    store.check_writable()
    try:
        file = (store.root / ".lock").open("w")
    except OSError as error:
        raise store.storage_error(error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"another assay command is running on {store.root}; wait for it, or choose "
                "another folder with --results"
            ) from error
        store.sweep()
        yield


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as cleanly as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _MaybeMirror:
    """The mirror, or nothing under `--mlflow off`."""

    def __init__(self, mirror: Mirror | None) -> None:
        self.mirror = mirror
        self.enabled = mirror is not None

    def close(self, seconds: float | None) -> None:
        if self.mirror is not None:
            self.mirror.close(seconds)

    @property
    def problem(self) -> str | None:
        return self.mirror.problem if self.mirror else None


@contextmanager
def _mirror(request: RunRequest, store: Store) -> Iterator[_MaybeMirror]:
    if request.mlflow == "off":
        yield _MaybeMirror(None)
        return
    yield _MaybeMirror(Mirror(store, mlflow_uri=request.mlflow, draw=_drawing(store)))


def _drawing(store: Store) -> Draw | None:
    """What draws the pictures of a cell: an installed package may (entry-point group
    assay.pictures, one function of the store and a study).
    """
    found = sorted(entry_points(group="assay.pictures"), key=lambda entry: entry.name)
    return (lambda study: found[0].load()(store, study)) if found else None


def _headline(pairs: Pairs, n_workers: int, compute: Compute) -> str:
    n_tasks = len({task.card.slug for task, _ in pairs})
    n_methods = len({method.card.slug for _, method in pairs})
    where = "GPU" if compute.accelerator == "gpu" else "CPU"
    return (
        f"assay {__version__}: {_count(n_methods, 'method')} on {_count(n_tasks, 'task')}, "
        f"{_count(n_workers, f'{where} worker')} of {_count(compute.threads, 'thread')}"
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _summary(request: RunRequest, progress: Progress, mirror: _MaybeMirror) -> int:
    if mirror.problem:
        typer.echo(f"warning: MLflow mirror incomplete ({mirror.problem}); the JSON records are "
                   "safe, and the next command catches up", err=True)  # fmt: skip
    for problem in dict.fromkeys(progress.problems):
        typer.echo(f"assay: {problem}", err=True)
    if request.as_json:
        typer.echo(
            json.dumps(
                {
                    "done": progress.done,
                    "reused": progress.reused,
                    "by_status": progress.by_status,
                    "problems": progress.problems,
                    "interrupted": progress.interrupted,
                    "results": str(request.results),
                },
                indent=1,
            )
        )
    else:
        bad = {k: n for k, n in sorted(progress.by_status.items()) if k != "completed"}
        shown = "".join(f", {n} {status.replace('_', ' ')}" for status, n in bad.items())
        again = f" ({progress.reused} were recorded before)" if progress.reused else ""
        typer.echo(
            f"{_count(progress.done, 'run')} done{again}{shown}; records in {request.results}"
        )
    if progress.interrupted:
        typer.echo("interrupted: give the same command again to continue", err=True)
        return INTERRUPTED
    return INCOMPLETE if progress.problems else 0


def _say(request: RunRequest, text: str) -> None:
    if not request.as_json:
        typer.echo(text, err=True)
