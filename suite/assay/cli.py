"""The `assay` command: puts the commands together and runs one."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys
import traceback
from importlib.metadata import entry_points

import typer

from assay.atomic import storage_error
from assay.commands import (
    aa,
    cards,
    check,
    data,
    diagnose,
    epoch,
    new,
    parity,
    publish,
    quickstart,
    replay,
    run,
    sandbox,
    submit,
)
from assay.commands.interrupts import INTERRUPTED, terminable
from assay.errors import AssayError, StorageError

app = typer.Typer(
    name="assay",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Does this training method really beat what people already use?\n\n"
    "Start with: assay quickstart",
)
for command in (cards, new, check, parity, run, quickstart, data, publish, replay, submit, epoch,
                sandbox, aa, diagnose):  # fmt: skip
    command.register(app)


MACHINE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.EMFILE, errno.ENFILE, errno.ENOSYS, errno.ENOTSUP),
}
"""Errors of a disk, a file system or a limit of the machine, wherever a command meets them: most
often at a temporary file."""
PATH_FAULTS = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""Errors of a path that a user gave. Others than these and the machine's would be a fault of ours,
and keep their traceback."""


def main() -> None:
    """Run the command on the command line; a user's error is one message, never a traceback.

    Other packages add commands through the entry-point group `assay.commands`, whose value is a
    function of the application.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may have characters it cannot print
            stream.reconfigure(errors="backslashreplace")
    atexit.register(gc.freeze)  # saves a last search for cycles in all that was imported
    try:
        with terminable():
            for point in entry_points(group="assay.commands"):
                point.load()(app)
            app(prog_name="assay")  # else completion under `python -m` would be that of python
    except AssayError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before a command began, which ends by itself
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_output()  # the reader has gone: say no more
        sys.exit(1)
    except OSError as error:
        if _is_from_printing(error):
            _drop_output()
            _complain(f"the output cannot be written: {error.strerror}")
        elif error.errno in MACHINE_FAULTS or _has_no_temporary_folder(error):
            where = error.filename or "a file"
            elsewhere = "choose another place (for temporary files: TMPDIR)"
            _complain(str(storage_error(where, error, elsewhere)))
        elif error.errno in PATH_FAULTS:
            _complain(f"{error.filename or 'a file'}: cannot be used: {error.strerror}; "
                      "choose another path")  # fmt: skip
        else:
            raise
        sys.exit(StorageError.exit_code)


def _complain(text: str) -> None:
    """Print a line to standard error, if that can be written."""
    try:
        typer.echo(f"assay: {text}", err=True)
    except OSError:
        _drop_output(2)


def _has_no_temporary_folder(error: OSError) -> bool:
    """Whether Python found no folder that can be written, which it does not tell otherwise."""
    return str(error.strerror).startswith("No usable temporary directory")


def _is_from_printing(error: OSError) -> bool:
    """Whether what failed was to print: commands print by these libraries alone."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("click", "rich", "typer")


def _drop_output(stream: int = 1) -> None:
    """Let a standard stream go nowhere: what is in its buffer would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


if __name__ == "__main__":
    main()
