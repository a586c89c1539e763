"""`assay check`: everything that is wrong with a task or a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.commands.options import AllowWeaker, AsJson, TaskNames, complete_card

if TYPE_CHECKING:
    from assay.plugins.registry import TaskEntry


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(check)


def check(
    paths: Annotated[
        list[str],
        typer.Argument(help="Methods or tasks: slugs or paths.", autocompletion=complete_card),
    ],
    tasks: TaskNames = None,
    families: Annotated[
        list[str] | None,
        typer.Option("--family", help="Try methods in this family only; may be repeated."),
    ] = None,
    allow_weaker: AllowWeaker = False,
    as_json: AsJson = False,
) -> None:
    """List everything that is wrong with a task or a method, in half a minute.

    A method is tried out on a toy of each of its families and for a few batches on every lite task
    that it may enter, or on the tasks given by --task and --family. What is found there is told by
    the process that holds the method (`claimed` in the JSON): help for its author, no evidence for
    others. Ranks rest on records and replays.

    Examples:
        assay check ./my_method.py

        assay check ./my_method.py --task digits_cnn

        assay check adam --family functions --family classification
    """
    from assay.checking.check import check_all

    chosen = _chosen(tasks, families)
    if not check_all(paths, as_json, allow_weaker=allow_weaker, tasks=chosen):
        raise typer.Exit(1)


def _chosen(names: list[str] | None, families: list[str] | None) -> list[TaskEntry] | None:
    """The tasks to try methods on; None for the default. Without names, the lite ones.

    Raises:
        UnknownName: a name or a family does not exist.
        AssayError: no task fits both.
    """
    from assay.commands.options import check_names
    from assay.errors import AssayError
    from assay.plugins.registry import select_tasks

    for family in families or []:
        check_names(family, None)
    if not names and not families:
        return None
    chosen = [
        entry
        for entry in select_tasks(names or families or [])
        if (names or entry.card.tier == "lite") and (not families or entry.card.family in families)
    ]
    if not chosen:
        raise AssayError("no task fits both --task and --family")
    return chosen
