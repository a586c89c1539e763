"""`assay run`: train, score and record methods on tasks, at several hyperparameter points."""

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
    Mlflow,
    OptunaStorage,
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
    repetitions: Annotated[
        int | None,
        typer.Option(min=1, help="How many, up to 16, where the tier's number is too small."),
    ] = None,
    workers: Workers = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker.")] = 1,
    accelerator: Annotated[
        str, typer.Option(help="auto (a GPU for tiers above lite), cpu or gpu.")
    ] = "auto",
    isa: Annotated[str, typer.Option(help="Cap on the instruction set: avx2 or native.")] = "avx2",
    executor: Annotated[
        str, typer.Option(help="Where runs are done: local, or ray (the extra trainassay[ray]).")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="With --executor ray: auto or host:port. Default: a Ray started here."),
    ] = None,
    gpus_per_run: Annotated[
        float | None,
        typer.Option(min=0.0, help="With --executor ray: GPUs a run holds; 0.5 shares one."),
    ] = None,
    allow_weaker: AllowWeaker = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many runs and about how long; run nothing.")
    ] = False,
    repetition: Annotated[
        int | None, typer.Option(min=0, help="Run this repetition alone, and print each run.")
    ] = None,
    point: Annotated[
        int | None,
        typer.Option(min=0, help="Run this hyperparameter point alone; 0 is the defaults."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Choose a hyperparameter (name=value); such runs rank nowhere."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Run also what is recorded, and compare the weights.")
    ] = False,
    epoch: Annotated[str | None, typer.Option(help="Use the hidden seeds of this epoch.")] = None,
    secret: Annotated[
        Path | None,
        typer.Option(help="With --epoch: the organisers' secret file."),
    ] = None,
    mlflow: Mlflow = None,
    optuna_storage: OptunaStorage = None,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Train, score and record methods on tasks; what is recorded is not run again.

    In each repetition a method is trained at its defaults and at further hyperparameter points;
    the best on validation counts.

    With --json, each run by --repetition, --point, --set or --again is one line.

    Examples:
        assay run diffgrad adam --tier lite

        assay run ./my_method.py --task digits_cnn --quick

        assay run adam --task beale --repetition 3 --point 4 --again

        assay run adam --task beale --set lr=0.05 --repetition 0
    """
    from assay.commands import run_many, run_one
    from assay.commands.clusters import ray_options
    from assay.engine.planning import RunRequest
    from assay.epochs import epochs_folder, open_epoch

    if secret is not None and epoch is None:
        raise AssayError("--secret was given without --epoch; expected the name of its epoch too")
    request = RunRequest(
        methods=methods,
        tasks=chosen_tasks(tasks, family, tier),
        preset="quick" if quick else "full",
        repetitions=repetitions,
        workers=workers,
        threads=threads,
        accelerator=accelerator,
        ray=ray_options(executor, address, gpus_per_run, accelerator),
        isa=isa,
        allow_weaker=allow_weaker,
        results=results,
        mlflow=mlflow,
        optuna_storage=optuna_storage,
        as_json=as_json,
        epoch=open_epoch(epoch, epochs_folder(), secret) if epoch else None,
    )
    chosen = run_one.Choice(repetition, point, settings or [])
    if chosen.is_some or again:
        if dry_run:
            raise AssayError("--dry-run counts whole cells; give it without --repetition, --point, "
                             "--set and --again")  # fmt: skip
        if request.ray is not None:
            raise AssayError("--executor ray runs whole cells; give it without --repetition, "
                             "--point, --set and --again")  # fmt: skip
        code = run_one.run_chosen(request, chosen, again=again)
    elif dry_run:
        code = run_many.dry_run(request)
    else:
        code = run_many.run(request)
    if code:
        raise typer.Exit(code)
