"""Methods of installed packages: what the entry-point group `assay.submissions` names.

An entry point's value is a package that holds one folder per method, or `pkg.module:Class` for one
method. Nothing is imported here: modules are located and read as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from assay.errors import PluginError
from assay.plugins.files import read_file
from assay.plugins.imports import absolute_imports, locate

GROUP = "assay.submissions"
MAX_MODULES = 200
"""Of one package that a method may import."""


def submission_points() -> list[EntryPoint]:
    """The entry points of the group, by name."""
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))


def module_file(module: str) -> Path | None:
    """The Python file of a module; None if it is missing, compiled, or a folder without one."""
    spec = locate(module)
    origin = spec.origin if spec is not None and spec.has_location else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def folders_of(package: str) -> list[Path]:
    """The folders of a package's methods.

    Raises:
        PluginError: there is no such package, or it has no such folder.
    """
    spec = locate(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else None
    if places is None:
        raise PluginError(f"there is no module {package!r}")
    found = sorted(path.parent for place in places for path in Path(place).glob("*/card.toml"))
    if not found:
        raise PluginError(
            f"{package!r} holds no folder with a card.toml; expected one folder per method, or "
            "pkg.module:Class"
        )
    return found


def split_point(value: str) -> tuple[str, str]:
    """Module and class of the value `pkg.module:Class`; the class is "" if a package is named."""
    module, _, name = value.partition(":")
    return module.strip(), name.strip()


def package_modules(value: str, own: Iterable[Path]) -> dict[str, Path]:
    """The modules that a method needs of the package which its entry point names.

    They are found by following imports within the top-level package, from the module of the class
    or from the method's own files. A module that is imported by a computed name is not found.

    Args:
        value: of the entry point.
        own: the Python files of the method's folder.

    Returns:
        Files by their place below a folder of sys.path: "pkg/module.py".

    Raises:
        PluginError: a file cannot be read, or there are more than MAX_MODULES.
    """
    module, name = split_point(value)
    top = module.split(".")[0]
    pending = [module] if name else [
        wanted for path in own for wanted in _within(top, absolute_imports(read_file(path)))
    ]  # fmt: skip
    found: dict[str, Path] = {}
    seen: set[str] = set()
    while pending:
        wanted = pending.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        pending += _above(wanted)
        spec, path = locate(wanted), module_file(wanted)
        if spec is None or path is None:
            continue
        is_package = spec.submodule_search_locations is not None
        place = wanted.replace(".", "/") + ("/__init__.py" if is_package else ".py")
        found[place] = path
        if len(found) > MAX_MODULES:
            raise PluginError(f"it imports more than {MAX_MODULES} modules of {top}")
        package = wanted if is_package else wanted.rpartition(".")[0]
        pending += _within(top, absolute_imports(read_file(path), package))
    return dict(sorted(found.items()))


def _within(top: str, names: Iterable[str]) -> Iterator[str]:
    """Those of `names` that lie in the package `top`."""
    return (name for name in names if name == top or name.startswith(f"{top}."))


def _above(module: str) -> Iterator[str]:
    """The packages that Python imports before a module."""
    parts = module.split(".")
    for n in range(1, len(parts)):
        yield ".".join(parts[:n])
