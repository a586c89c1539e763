"""`assay diagnose`: what the networks of recorded runs were like, beyond their scores."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.commands.interrupts import INTERRUPTED, terminable
from assay.commands.options import (
    DEFAULT_RESULTS,
    AllowWeaker,
    AsJson,
    Methods,
    Results,
    complete_task,
)
from assay.errors import AssayError, StorageError

if TYPE_CHECKING:
    from assay.plugins.registry import MethodEntry, TaskEntry
    from assay.records.schema import RunRecord
    from assay.records.solutions import Solutions


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(diagnose)


def diagnose(
    methods: Methods,
    task: Annotated[
        str,
        typer.Option("--task", "-t", help="A labelled task.", autocompletion=complete_task),
    ],
    repetitions: Annotated[
        int, typer.Option(min=1, help="How many, of those that all methods have.")
    ] = 3,
    allow_weaker: AllowWeaker = False,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Show how the networks that methods find differ at the same training loss.

    The best run of each repetition, from --results or else as published, is trained again, and its
    weights are measured where the method cannot reach them: sharpness, gradient noise, norm, rank,
    what rounding costs, which examples two methods class differently. What is measured once is
    kept in --results.

    Example: `assay diagnose sgd adam --task digits_mlp`
    """
    from assay.commands.solutions_text import MAX_WIDTH, show_solutions

    request = DiagnosisRequest(methods, task, results, repetitions, allow_weaker, as_json)
    try:
        found = execute(request)
    except KeyboardInterrupt:
        typer.echo("interrupted: give the same command again to continue", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    from rich.console import Console

    width = min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)
    show_solutions(found, Console(width=width, highlight=False, markup=False, emoji=False))


@dataclass(frozen=True)
class DiagnosisRequest:
    """What the user asked for."""

    methods: Sequence[str]
    task: str
    results: Path
    repetitions: int = 3
    allow_weaker: bool = False
    quiet: bool = False
    """Show no progress."""

    def say(self, text: str) -> None:
        """Print `text` to standard error."""
        if not self.quiet:
            with suppress(OSError):  # a full disk or a closed terminal is no reason to end
                typer.echo(text, err=True)


def execute(request: DiagnosisRequest) -> Solutions:
    """Diagnose what is not diagnosed yet, and compare.

    Raises:
        AssayError: no method or no repetition is asked for, a name is not known, there is no
            record, or a run cannot be done again.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP; what was finished is kept.
    """
    from assay.commands.run_many import locked
    from assay.engine.diagnoses import common
    from assay.plugins.registry import find_method, find_task
    from assay.records import diagnosis
    from assay.records.solutions import compared
    from assay.records.store import Store

    if not request.methods:
        raise AssayError("no method was given; expected some")
    if request.repetitions < 1:
        raise AssayError(f"repetitions: expected at least 1, got {request.repetitions}")
    task = find_task(request.task)
    if why := diagnosis.refusal(task.card):
        raise AssayError(f"{task.card.slug} cannot be diagnosed: {why}; choose another --task")
    methods = {entry.card.slug: entry for entry in map(find_method, request.methods)}
    found = {slug: _best_runs(request, task, method) for slug, method in methods.items()}
    wanted = common(found, request.repetitions)
    store = Store(request.results)
    missing = [run for run in wanted if not diagnosis.path_of(store.root, run.spec).exists()]
    if missing:
        with locked(store, request.say), terminable():
            _diagnose(request, task, methods, missing)
    paths = (diagnosis.path_of(store.root, run.spec) for run in wanted)
    solutions = compared(map(diagnosis.read, paths), task.card.metric)
    assert solutions is not None
    return solutions


def _best_runs(
    request: DiagnosisRequest, task: TaskEntry, method: MethodEntry
) -> dict[int, RunRecord]:
    """The best run of each repetition: the user's, or if there are none, the published.

    Raises:
        AssayError: there is none at all.
    """
    from assay import paths
    from assay.engine.diagnoses import best_runs
    from assay.plugins.registry import method_argument, task_argument
    from assay.publication.verify import readable
    from assay.records.store import Store

    of, by = task.card.slug, method.card.slug
    if found := best_runs(task, method, Store(request.results).runs(task=of, method=by)):
        return found
    published = readable(paths.RESULTS, f"{of}--{by}-v*")
    if found := best_runs(task, method, (run for bundle in published for run in bundle.runs)):
        return found
    raise AssayError(
        f"{by} has no completed run on {of} that its code of now made, in {request.results} or "
        f"published; make some with: assay run {method_argument(method)} --task "
        f"{task_argument(task)}"
    )


def _diagnose(
    request: DiagnosisRequest,
    task: TaskEntry,
    methods: dict[str, MethodEntry],
    missing: Sequence[RunRecord],
) -> None:
    """Diagnose runs one after the other, and keep each as it comes.

    Raises:
        AssayError: some could not be done; names them after the others are.
    """
    from assay.commands.progress import duration
    from assay.commands.run_many import NO_SANDBOX
    from assay.engine.diagnoses import diagnosis as diagnose_run
    from assay.engine.pool import Pool
    from assay.records import diagnosis
    from assay.records.store import Store

    began, problems = time.monotonic(), list[str]()
    request.say(
        f"{len(missing)} runs on {task.card.slug} are trained again and measured at "
        f"{diagnosis.POINTS} points each; Ctrl-C keeps those that are done"
    )
    ordered = sorted(missing, key=lambda run: run.spec.compute.model_dump_json())
    numbered = enumerate(ordered, 1)
    for compute, runs in groupby(numbered, key=lambda item: item[1].spec.compute):
        with Pool(n_workers=1, compute=compute, allow_weaker=request.allow_weaker) as pool:
            if pool.mechanism == "subprocess":
                request.say(NO_SANDBOX)
            for number, run in runs:
                name = f"{run.spec.method.slug}, repetition {run.spec.repetition}"
                try:
                    made = diagnose_run(pool, task, methods[run.spec.method.slug], run)
                    diagnosis.write(request.results, made)
                except StorageError:
                    raise
                except AssayError as error:
                    problems.append(f"{name}: {error}")
                except OSError as error:
                    raise Store(request.results).storage_error(error) from error
                left = (time.monotonic() - began) / number * (len(missing) - number)
                about = f", about {duration(left)} left" if left else ""
                request.say(f"{number}/{len(missing)} runs: {name}{about}")
    if problems:
        raise AssayError("\n".join(problems))
