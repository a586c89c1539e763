"""Starting points for new methods and tasks: the folders in suite/assay/starters, under a new name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from assay.errors import AssayError, StorageError, UnknownName
from assay.paths import STARTERS
from assay.plugins.registry import method_entries, task_entries

KINDS = ("method", "task")


def write_template(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a complete, runnable method or task to `folder`/`name`; the files written.

    Raises:
        UnknownName: `kind` is neither "method" nor "task".
        AssayError: `name` is no slug or taken, or the place is.
        StorageError: the files cannot be written.
    """
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
    written = []
    try:
        target.mkdir(parents=True)
        for source in sorted(starter.glob("*.*")):
            text = source.read_text(encoding="utf-8").replace(starter.name, name)
            (target / source.name).write_text(text, encoding="utf-8")
            written.append(target / source.name)
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}; choose another --in") from error
    return written
