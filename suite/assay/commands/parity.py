"""`assay parity`: methods held against their equations, a library and what they vary, as data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.commands.options import AllowWeaker, AsJson, complete_method

if TYPE_CHECKING:
    from assay.checking.parity import MethodParity


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(parity)


def parity(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[METHOD]...",
            help="Methods: slugs or paths; default: every submission.",
            autocompletion=complete_method,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Also write the rows to this file, as JSON, for the site."),
    ] = None,
    allow_weaker: AllowWeaker = False,
    as_json: AsJson = False,
) -> None:
    """Hold optimizers against their equations, a library and the method that they vary.

    `assay check` does the same for one method. The site shows what --write put into parity.json
    beside the published results. Exit code 1 if a method contradicts its equations or its card.

    Example: `assay parity adam diffgrad`
    """
    from assay import atomic
    from assay.checking.parity import report_parity
    from assay.engine.pool import Pool
    from assay.plugins.registry import find_method, method_entries
    from assay.records.schema import Compute

    own = [entry for entry in method_entries().values() if not entry.entry_point]
    entries = [find_method(name) for name in names] if names else own
    with Pool(n_workers=1, compute=Compute(), allow_weaker=allow_weaker) as pool:
        made = report_parity(pool, entries, None if as_json else _show)
    text = made.model_dump_json(indent=1)
    if write:
        try:
            atomic.write(write, (text + "\n").encode())
        except OSError as error:
            raise atomic.storage_error(write, error, "choose another with --write") from error
    if as_json:
        typer.echo(text)
    if any(row.status == "failed" for method in made.methods for row in method.rows):
        raise typer.Exit(1)


def _show(found: MethodParity) -> None:
    from assay.untrusted.text import plain_lines

    typer.echo(found.slug)
    for row in found.rows:
        word = "FAILED" if row.status == "failed" else row.status
        typer.echo(f"  {word:7} {row.label:24} {plain_lines(row.detail)}")
