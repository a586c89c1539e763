"""`assay run`: tune, train, score and record methods on tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.commands.options import (
    DEFAULT_RESULTS,
    AllowWeaker,
    AsJson,
    Family,
    Methods,
    Results,
    TaskNames,
    Tier,
    Workers,
    chosen_tasks,
)
from assay.errors import AssayError


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(run)


def run(
    methods: Methods,
    tasks: TaskNames = None,
    family: Family = None,
    tier: Tier = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer points and repetitions; preliminary.")
    ] = False,
    workers: Workers = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker.")] = 1,
    accelerator: Annotated[
        str, typer.Option(help="auto (a GPU for tiers above lite), cpu or gpu.")
    ] = "auto",
    isa: Annotated[str, typer.Option(help="Cap on the instruction set: avx2 or native.")] = "avx2",
    allow_weaker: AllowWeaker = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many runs and about how long; run nothing.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Fix a hyperparameter (name=value): repetitions, no tuning."),
    ] = None,
    purpose: Annotated[
        str, typer.Option(help="With --set: the seeds of a repetition, or of tuning.")
    ] = "repetition",
    repetition: Annotated[
        int | None, typer.Option(min=0, help="With --set: this repetition alone.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --set: run once more and compare the weights.")
    ] = False,
    epoch: Annotated[
        str | None, typer.Option(help="Use the hidden seeds of this epoch for the repetitions.")
    ] = None,
    secret: Annotated[
        Path | None,
        typer.Option(help="With --epoch: the organisers' secret file."),
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="MLflow tracking URI, or off. Default: SQLite in --results.")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Tune, train, score and record methods on tasks; what is recorded is not run again.

    Examples:
        assay run diffgrad adam --tier lite

        assay run ./my_method.py --task digits_cnn --quick

        assay run adam --task diffgrad_f1 --set lr=0.05 --repetition 0
    """
    from assay.commands import run_many, run_one
    from assay.engine.planning import RunRequest
    from assay.epochs import epochs_folder, open_epoch

    if secret is not None and epoch is None:
        raise AssayError("--secret was given without --epoch; expected the name of its epoch too")
    request = RunRequest(
        methods=methods,
        tasks=chosen_tasks(tasks, family, tier),
        preset="quick" if quick else "full",
        workers=workers,
        threads=threads,
        accelerator=accelerator,
        isa=isa,
        allow_weaker=allow_weaker,
        results=results,
        mlflow=mlflow,
        as_json=as_json,
        epoch=open_epoch(epoch, epochs_folder(), secret) if epoch else None,
    )
    if settings or again or repetition is not None:
        code = run_one.run_fixed(request, settings or [], purpose, repetition, again)
    elif dry_run:
        code = run_many.dry_run(request)
    else:
        code = run_many.run(request)
    if code:
        raise typer.Exit(code)
