"""What Python files import, read as text, and where modules lie: nothing is imported here."""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder

from assay.syntax import NotParsed, parse_python


@lru_cache(maxsize=1024)  # files are asked for at every run
def absolute_imports(source: bytes, package: str = "") -> frozenset[str]:
    """Full names that a Python file imports; some name no module, but something in one.

    Args:
        source: its content; of what is not Python, nothing is found: whoever imports it says so.
        package: that relative imports are relative to; without one, they are left out.
    """
    try:
        tree = parse_python(source)
    except NotParsed:
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            try:
                relative = "." * node.level + (node.module or "")
                base = importlib.util.resolve_name(relative, package)
            except ImportError:
                continue
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def locate(module: str) -> ModuleSpec | None:
    """Find a module without importing it or the packages above it; None if there is none."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for depth in range(len(inner)):
            if spec is None or spec.submodule_search_locations is None:
                return None
            name = ".".join([top, *inner[: depth + 1]])
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, ValueError, OSError):  # an empty name, a null character
        return None
    return spec
