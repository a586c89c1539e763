"""`assay aa`: the references against themselves, so that any difference found is a false one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(aa)


def aa(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASK", help="Tasks, families, tiers or globs; default: lite."),
    ] = None,
    repetitions: Annotated[
        int, typer.Option(min=2, help="Runs of each task; two arms take 24.")
    ] = 24,
    results: Annotated[
        Path, typer.Option("--results", envvar="ASSAY_RESULTS", help="Folder of the records.")
    ] = Path("assay-results"),
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Default: cores, or GPUs.")
    ] = None,
    allow_weaker: Annotated[
        bool,
        typer.Option("--allow-weaker", help="Run unprotected where no sandbox works; recorded."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Repeat each task's reference at its defaults under further seeds: the A/A control.

    What is recorded is not run again; `assay audit` then says how often the tests err. Tasks on
    which nothing varies are left out. Example: `assay aa digits_cnn beale`
    """
    from assay.commands import run_many
    from assay.engine.planning import RunRequest
    from assay.errors import AssayError
    from assay.plugins.registry import select_tasks
    from assay.ruleset import RULESET

    chosen = select_tasks(names or ["lite"])
    tasks = [entry for entry in chosen if not entry.card.deterministic]
    if not tasks:
        raise AssayError("nothing varies on these tasks; expected one that is not deterministic")
    first = RULESET.control_repetition
    request = RunRequest(
        methods=(),
        tasks=tasks,
        results=results,
        workers=workers,
        allow_weaker=allow_weaker,
        mlflow="off",
        as_json=as_json,
        control=range(first, first + repetitions),
    )
    code = run_many.run(request)
    if code:
        raise typer.Exit(code)
    if not as_json:
        typer.echo(f"next: assay audit --results {shlex.quote(str(results))}")
