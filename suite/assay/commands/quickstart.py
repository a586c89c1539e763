"""`assay quickstart`: nine methods on five tasks, one of each family, and the board of them."""

from __future__ import annotations

from pathlib import Path

import typer

from assay.commands.options import (
    DEFAULT_RESULTS,
    AllowWeaker,
    Mlflow,
    OptunaStorage,
    Results,
    Workers,
)

METHODS = [
    *("sgd", "adam", "diffgrad", "adam_half_lr"),
    *("cross_entropy", "round_to_nearest"),  # the references of three families
    *("elr", "logit_adjustment", "lsq"),
]
TASKS = ["digits_cnn", "beale", "digits_sym40", "digits_lt50", "digits_w2a2"]


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(quickstart)


def quickstart(
    context: typer.Context,
    results: Results = DEFAULT_RESULTS,
    workers: Workers = None,
    allow_weaker: AllowWeaker = False,
    mlflow: Mlflow = None,
    optuna_storage: OptunaStorage = None,
) -> None:
    """Compare diffGrad with SGD, Adam and others in five families, in minutes."""
    from assay.commands import run_many
    from assay.engine.planning import RunRequest
    from assay.plugins.registry import select_tasks

    request = RunRequest(
        methods=METHODS,
        tasks=select_tasks(TASKS),
        preset="quick",
        workers=workers,
        results=results,
        allow_weaker=allow_weaker,
        mlflow=mlflow,
        optuna_storage=optuna_storage,
    )
    code = run_many.run(request, with_next=False)
    if code:
        raise typer.Exit(code)
    _show_board(context, results)
    typer.echo("next: assay new method my_opt, then: assay run ./my_opt --tier lite")


def _show_board(context: typer.Context, results: Path) -> None:
    """Call `assay board --brief`, which another package registers, where it is installed."""
    board = getattr(context.find_root().command, "commands", {}).get("board")
    if board is not None and board.callback is not None:
        board.callback(results=results, names=list(TASKS), brief=True)
