"""Imports the code of plugins: task.py in the scorer and in workers, method.py in workers alone."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cards import TaskCard, read_card
from assay.errors import PluginError

if TYPE_CHECKING:
    from types import ModuleType

    from assay.method import Method
    from assay.task import Task


def load_task(folder: Path) -> Task:
    """Import the task.py of a folder and build the one Task it defines.

    Raises:
        PluginError: it cannot be imported or does not define exactly one Task.
    """
    from assay.task import Task

    card = read_card(folder / "card.toml", TaskCard)
    task: Task = _only_subclass(_load(folder / "task.py", f"assay_task_{card.slug}"), Task)(card)
    return task


def load_method(source: Path) -> type[Method]:
    """Import a method's file and return the one Method class it defines.

    This runs a stranger's code: call it in a worker only.

    Raises:
        PluginError: it cannot be imported or does not define exactly one Method.
    """
    from assay.method import Method

    found: type[Method] = _only_subclass(
        _load(source, f"assay_method_{source.parent.name}"), Method
    )
    return found


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves annotations through it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"{path.name} cannot be imported: {describe(error, path)}") from error
    return module


def _only_subclass(module: ModuleType, base: type) -> Any:
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
    ]
    leaves = [c for c in found if not any(c is not d and issubclass(d, c) for d in found)]
    if len(leaves) != 1:
        names = ", ".join(c.__name__ for c in leaves) or "none"
        raise PluginError(
            f"{Path(str(module.__file__)).name}: expected exactly one subclass of "
            f"{base.__name__}, found {names}"
        )
    return leaves[0]


def describe(error: BaseException, source: Path) -> str:
    """One line about an exception: its type, its text and the last line of `source` it passed."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(source):
            line = trace.tb_lineno
        trace = trace.tb_next
    said = error.msg if isinstance(error, SyntaxError) else str(error)  # str has the line again
    text = " ".join(said.split())[:500]
    where = f" ({source.name}, line {line})" if line else ""
    return f"{type(error).__name__}: {text}{where}"
