"""The code of a task, which its hash covers: its own files, and what they use of the suite."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

from assay import paths
from assay.errors import PluginError
from assay.identity import code_hash
from assay.plugins.files import code_files
from assay.plugins.libraries import foreign_imports

SHARED_CODE = ("assay.families", "assay.models", "assay.quantization")
"""What a task may import of the suite: its numbers depend on it, so its hash covers it."""
_SHARED_PREFIXES = tuple(f"{name}." for name in SHARED_CODE)


def task_code(folder: Path) -> tuple[str, frozenset[str]]:
    """The hash of a task's code, and what its own files import (libraries.foreign_imports)."""
    files = code_files(folder)
    if not (folder / "card.toml").is_file():
        raise PluginError(f"{folder}: expected a card.toml")
    own = [path for path in files if path.suffix == ".py"]
    imported = foreign_imports(path.read_bytes() for path in own)
    return code_hash([*files, *shared_code(own)]), imported


def shared_code(files: list[Path]) -> list[Path]:
    """The modules of SHARED_CODE that files import, directly or through one another."""
    found: dict[str, Path] = {}
    pending = list(files)
    while pending:
        for name in _shared_imports(pending.pop().read_bytes()):
            path = paths.PACKAGE.parent / (name.replace(".", "/") + ".py")
            if name not in found and path.is_file():
                found[name] = path
                pending.append(path)
    return list(found.values())


@lru_cache(maxsize=256)  # 36 tasks share eight modules: hashing them all takes 0.2 s, not 1.0 s
def _shared_imports(source: bytes) -> frozenset[str]:
    """Names in SHARED_CODE that Python source imports; some name a part of a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if f"{name}.".startswith(_SHARED_PREFIXES))
