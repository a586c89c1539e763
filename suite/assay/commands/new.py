"""`assay new`: a method or a task from a template, the folders in suite/assay/starters."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from assay import atomic
from assay.errors import AssayError, UnknownName
from assay.paths import STARTERS

KINDS = ("method", "task")


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(new)


def new(
    kind: Annotated[str, typer.Argument(help="method or task.")],
    name: Annotated[str, typer.Argument(help="Its slug: a-z, 0-9 and _.")],
    folder: Annotated[Path, typer.Option("--in", help="Where to make the folder.")] = Path("."),
) -> None:
    """Make a method or a task from a template. Example: `assay new method my_opt`."""
    for path in write_template(kind, name, folder):
        typer.echo(f"wrote {path}")
    place = folder / name if folder.is_absolute() else f"./{folder / name}"
    typer.echo(f"next: edit it, then: assay check {shlex.quote(str(place))}")


def write_template(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a complete, runnable method or task.

    Args:
        kind: "method" or "task".
        name: its slug, 1 to 48 characters of a-z, 0-9 and _.
        folder: where the new folder `name` is made.

    Returns:
        The files written.

    Raises:
        UnknownName: there is no template of this kind.
        AssayError: `name` is no slug, or a plugin or a folder has it already.
        StorageError: the files cannot be written.
    """
    from assay.plugins.registry import method_entries, task_entries

    if kind not in KINDS:
        raise UnknownName("template", kind, KINDS)
    if not re.fullmatch(r"[a-z0-9_]{1,48}", name):
        raise AssayError(
            f"{name!r} cannot be a name; expected 1 to 48 characters of a-z, 0-9 and _"
        )
    if name in (method_entries() if kind == "method" else task_entries()):
        raise AssayError(f"a {kind} is called {name} already; choose another name")
    target = folder / name
    if os.path.lexists(target):
        raise AssayError(f"{target} exists already; choose another name, or a folder with --in")
    starter = STARTERS / f"my_{kind}"
    texts = {
        source.name: source.read_text(encoding="utf-8").replace(starter.name, name)
        for source in sorted(starter.glob("*.*"))
    }
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise atomic.storage_error(target, error, "choose another --in") from error
    try:
        for file, text in texts.items():
            (target / file).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)  # half a folder would take the name
        raise atomic.storage_error(target, error, "choose another --in") from error
    return [target / file for file in texts]
