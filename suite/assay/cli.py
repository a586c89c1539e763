"""The `assay` command: puts the commands together and runs one."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from importlib.metadata import entry_points

import typer

from assay.commands import (
    aa,
    cards,
    check,
    data,
    epoch,
    new,
    publish,
    quickstart,
    replay,
    run,
    sandbox,
    submit,
)
from assay.errors import AssayError

app = typer.Typer(
    name="assay",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Does this training method really beat what people already use?\n\n"
    "Start with: assay quickstart",
)
for command in (cards, new, check, run, quickstart, data, publish, replay, submit, epoch, sandbox,
                aa):  # fmt: skip
    command.register(app)


def main() -> None:
    """Run the command on the command line; a user's error is one message, never a traceback.

    Other packages add commands through the entry-point group `assay.commands`, whose value is a
    function of the application.
    """
    for point in entry_points(group="assay.commands"):
        point.load()(app)
    atexit.register(gc.freeze)  # saves a last search for cycles in all that was imported
    try:
        app()
    except AssayError as error:
        typer.echo(f"assay: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has gone: say no more
        sys.exit(1)
