"""Imports the code of plugins: task.py in the scorer and in workers, method.py in workers alone."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cards import TaskCard, read_card
from assay.errors import PluginError
from assay.plugins.files import is_folder
from assay.plugins.installed import split_point

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
    module = _load(folder / "task.py", f"assay_task_{card.slug}", as_package=True)
    task: Task = _only_subclass(module, Task)(card)
    return task


def load_method(source: Path, entry_point: str = "", packages: Path | None = None) -> type[Method]:
    """Import a method's file and return the one Method class it defines.

    A folder with a card is a package: its files import each other as `from .helper import x`. This
    runs a stranger's code: call it in a worker only.

    Args:
        source: method.py, a single file, or a module of an installed package.
        entry_point: value of the entry point through which a package names it; else empty.
        packages: folder with the modules of that package.

    Raises:
        PluginError: it cannot be imported or does not define exactly one Method, or the entry
            point names no Method.
    """
    from assay.method import Method

    module_name, class_name = split_point(entry_point)
    if module_name and packages is not None:
        _forget(module_name.split(".")[0])
        sys.path.insert(0, str(packages))
    if class_name:
        return _named_method(module_name, class_name, source)
    name, as_package = f"assay_method_{source.parent.name}", is_folder(source)
    module = _load(source, name, as_package=as_package)
    found: type[Method] = _only_subclass(module, Method, name if as_package else "")
    return found


def _named_method(module_name: str, class_name: str, source: Path) -> type[Method]:
    from assay.method import Method

    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise PluginError(f"{module_name} cannot be imported: {describe(error, source)}") from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise PluginError(f"{module_name} has no Method called {class_name}")
    return found


def _load(path: Path, name: str, *, as_package: bool) -> ModuleType:
    """Import a file under a name of its own; `as_package` makes its folder a package of it."""
    if not path.is_file():
        raise PluginError(f"{path}: no such Python file")
    try:
        if as_package:
            _forget(name)
            _make_package(path.parent, name)
            name = f"{name}.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path}: no such Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pydantic resolves annotations through it
        spec.loader.exec_module(module)
    except PluginError:
        raise
    except Exception as error:
        said = describe(error, path) + _advice(error, path)
        raise PluginError(f"{path.name} cannot be imported: {said}") from error
    return module


def _make_package(folder: Path, name: str) -> None:
    """Make a folder the package `name`, and run its __init__.py if it has one."""
    init = folder / "__init__.py"
    if init.is_file():
        spec = importlib.util.spec_from_file_location(
            name, init, submodule_search_locations=[str(folder)]
        )
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    assert spec is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    if init.is_file() and spec.loader is not None:
        spec.loader.exec_module(sys.modules[name])


def _forget(package: str) -> None:
    """Drop a package that was imported before, perhaps from elsewhere."""
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]
    importlib.invalidate_caches()


def _advice(error: Exception, path: Path) -> str:
    """What to write instead, for mistakes whose error says nothing of it; else empty."""
    from assay.space import Marker

    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if name and (path.parent / f"{name}.py").is_file():
        return f"; {name}.py is in this folder: write `from . import {name}`"
    if isinstance(error, AttributeError) and isinstance(error.obj, Marker):
        return f"; a range stands beside the type, here float: write Annotated[float, {error.obj}]"
    return ""


def _only_subclass(module: ModuleType, base: type, package: str = "") -> Any:
    """The one subclass of `base` that a module defines or, if none, imports from its `package`."""
    known = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, base)]
    found = [value for value in known if value.__module__ == module.__name__]
    if not found and package:
        found = [value for value in known if value.__module__.startswith(f"{package}.")]
    leaves = [c for c in found if not any(c is not d and issubclass(d, c) for d in found)]
    if len(leaves) != 1:
        names = ", ".join(c.__name__ for c in leaves) or "none"
        raise PluginError(
            f"{Path(str(module.__file__)).name}: expected exactly one subclass of "
            f"{base.__name__}, found {names}"
        )
    return leaves[0]


def describe(error: BaseException, source: Path) -> str:
    """One line about an exception: its type, what it says, and where in `source` it was raised.

    That is the last line of `source` that it passed, and the function of `source` that was called
    first: of a method, a hook or its optimizer's `step`.
    """
    line, caller = None, ""
    if isinstance(error, SyntaxError):
        line = error.lineno
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == str(source):
            line, caller = trace.tb_lineno, caller or code.co_qualname
        trace = trace.tb_next
    inside = "" if caller.startswith("<") or not caller else f", in {caller.rpartition('>.')[2]}"
    where = f" ({source.name}, line {line}{inside})" if line else ""
    return f"{type(error).__name__}: {_said(error)}{where}"


def _said(error: BaseException) -> str:
    """What an exception says, in words where its own text says little."""
    if isinstance(error, KeyError):
        return f"there is no key {error.args[0]!r:.200}" if error.args else "there is no such key"
    said = error.msg if isinstance(error, SyntaxError) else str(error)  # str has the line again
    if type(error).__module__.partition(".")[0] == "pydantic":
        said = f"in the class of hyperparameters: {said.partition('For further information')[0]}"
    return " ".join(said.split())[:500] or "without a text"
