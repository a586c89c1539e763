"""`assay check`: everything that is wrong with a task or a method, on toy data."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.commands.options import AllowWeaker, AsJson


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(check)


def check(
    paths: Annotated[list[str], typer.Argument(help="Methods or tasks: slugs or paths.")],
    allow_weaker: AllowWeaker = False,
    as_json: AsJson = False,
) -> None:
    """List everything that is wrong with a task or a method: about a minute, on toy data."""
    from assay.checking.check import check_all

    if not check_all(paths, as_json, allow_weaker=allow_weaker):
        raise typer.Exit(1)
