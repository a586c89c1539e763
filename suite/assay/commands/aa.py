"""`assay aa`: methods compared with themselves, so that every difference found is false."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from assay.commands.options import (
    DEFAULT_RESULTS,
    AllowWeaker,
    AsJson,
    Results,
    Workers,
    complete_method,
    complete_task,
)


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(aa)


def aa(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASK",
            help="Tasks, families, tiers or globs; default: lite.",
            autocompletion=complete_task,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Run this method instead of each task's reference; repeatable.",
            autocompletion=complete_method,
        ),
    ] = None,
    second_arm: Annotated[
        bool,
        typer.Option(
            "--second-arm",
            help="Run the second arm alone: the first is published, or will be run elsewhere.",
        ),
    ] = False,
    results: Results = DEFAULT_RESULTS,
    workers: Workers = None,
    allow_weaker: AllowWeaker = False,
    as_json: AsJson = False,
) -> None:
    """Run each task's reference, or other methods, as if each were two: the A/A control.

    The second arm has other repetitions: other seeds and other hyperparameter points. What is
    recorded is not run again; `assay audit` then says how often the tests err. Deterministic tasks
    are left out. Example: `assay aa digits_cnn beale --method adam`
    """
    from assay.commands import run_many
    from assay.engine.planning import RunRequest
    from assay.errors import AssayError
    from assay.plugins.registry import select_tasks

    chosen = select_tasks(names or ["lite"])
    tasks = [entry for entry in chosen if not entry.card.deterministic]
    if not tasks:
        raise AssayError("nothing varies on these tasks; expected one that is not deterministic")
    request = RunRequest(
        methods=tuple(method or ()),
        tasks=tasks,
        results=results,
        workers=workers,
        allow_weaker=allow_weaker,
        mlflow="off",
        as_json=as_json,
        arms=("second",) if second_arm else ("first", "second"),
    )
    code = run_many.run(request, with_next=False)
    if code:
        raise typer.Exit(code)
    if not as_json:
        both = " --with-local" if second_arm else ""
        typer.echo(f"next: assay audit{both} --results {shlex.quote(str(results))}")
