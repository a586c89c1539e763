"""Libraries that a plugin's numbers depend on: what its files import, with versions.

A library is an installed distribution, or a module on sys.path that belongs to none. It is found
from import statements and from `packages` in the card, and so are the distributions that it
requires, those aside that Assay requires itself. What code imports by a computed name, or from a
folder that it adds to sys.path, is not found.

Versions name what is installed. Beside one stands a hash of the library's Python files, so that an
edited file is noticed. It is left out where a library has compiled parts: a change of these would
go unnoticed, and their Python files differ between platforms.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from assay.errors import PluginError
from assay.plugins.imports import absolute_imports, locate
from assay.records.schema import MAX_LIBRARIES, RUN_LIBRARIES
from assay.untrusted.text import plain_text

OWN = "trainassay"
MAX_NAME, HASH_DIGITS = 90, 12
_ASSAY = frozenset({"assay", "assay_leaderboard"})
_EVERY_RUN = frozenset({"torch", "numpy", "pytorch_lightning", "sklearn", "scipy"})
"""Import names of torch and RUN_LIBRARIES."""
_COMPILED = tuple(EXTENSION_SUFFIXES)


def foreign_imports(sources: Iterable[bytes], own: str = "") -> frozenset[str]:
    """Top-level names that Python files import beyond Python, Assay, torch and RUN_LIBRARIES.

    Args:
        sources: of the files; what is not Python is passed over.
        own: the package that the files belong to.
    """
    names = {name.split(".")[0] for data in sources for name in absolute_imports(data)}
    return frozenset(names - sys.stdlib_module_names - _ASSAY - _EVERY_RUN - {own, ""})


def libraries(imported: Collection[str], declared: Iterable[str] = ()) -> dict[str, str]:
    """Versions of the libraries behind imports, and of what these require, by name.

    A library that is not installed is left out. Only what is given is looked up, so that this costs
    nothing where there is nothing.

    Args:
        imported: top-level names; see `foreign_imports`.
        declared: requirements of a card, as "pytorch_optimizer>=4".

    Returns:
        As MethodRef.libraries, by sorted names.

    Raises:
        PluginError: there are more than MAX_LIBRARIES.
    """
    found: dict[str, str] = {}
    pending = [_required_name(text) for text in declared]
    names, seen = list(imported), set[str]()
    while names:
        if (name := names.pop()) in seen:
            continue
        seen.add(name)
        if owners := _owners(name):
            pending += owners
        elif files := _python_files([name])[0]:  # in no distribution, which would say what it needs
            found[_plain(name)] = f"#{_digest(files)}"
            names += foreign_imports(map(_content, files.values()), name)
    skipped = {_normal(name) for name in (OWN, "torch", *RUN_LIBRARIES)}
    while pending:
        if (name := pending.pop()) in skipped:
            continue
        skipped.add(name)
        if (distribution := _installed(name)) is None:
            continue
        found[_plain(distribution.metadata["Name"])] = _version(distribution)
        further = [name for name in _required(distribution) if name not in skipped]
        pending += [name for name in further if name not in _brought(_path_state())]
    if len(found) > MAX_LIBRARIES:
        raise PluginError(f"it needs {len(found)} libraries, expected at most {MAX_LIBRARIES}")
    return dict(sorted(found.items()))


def _plain(text: str) -> str:
    return plain_text(text)[:MAX_NAME] or "?"


def _normal(name: str) -> str:
    """The name of a distribution as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> Distribution | None:
    """The distribution of that name; None if there is none, or what it says cannot be read."""
    try:
        found = importlib.metadata.distribution(name)
        return found if found.metadata["Name"] and found.metadata["Version"] else None
    except (PackageNotFoundError, OSError, ValueError):
        return None


def _owners(module: str) -> list[str]:
    """The distributions that a top-level module belongs to; several share a namespace package."""
    named = _installed(module)
    if named is not None and module in _modules(named):
        return [_normal(named.metadata["Name"])]
    if owners := _modules_of_all(_path_state()).get(module):
        return [_normal(name) for name in owners]
    # An editable installation need not say which modules it has.
    return [_normal(module)] if named is not None and not _modules(named) else []


def _modules(distribution: Distribution) -> set[str]:
    """The top-level modules of a distribution; none if it does not say."""
    if text := distribution.read_text("top_level.txt"):
        return set(text.split())
    tops = {(file.parts[0], len(file.parts)) for file in distribution.files or ()}
    found = {name.partition(".")[0] if n == 1 else name for name, n in tops}
    return {name for name in found if name.isidentifier() and not name.startswith("__editable__")}


def _path_state() -> tuple[tuple[str, int], ...]:
    """What changes when something is installed: sys.path with the time of each folder."""
    found = []
    for place in sys.path:
        try:
            found.append((place, os.stat(place or ".").st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


@lru_cache(maxsize=1)  # it reads what is known of every distribution: 0.4 s
def _modules_of_all(state: object) -> Mapping[str, list[str]]:
    try:
        found = importlib.metadata.packages_distributions()
    except (OSError, ValueError):  # what some distribution says cannot be read
        return {}
    return {module: [name for name in names if name] for module, names in found.items()}


@lru_cache(maxsize=1)  # some hundred distributions
def _brought(state: object) -> frozenset[str]:
    """Normal names of the distributions that Assay requires, directly or through others."""
    found: set[str] = set()
    pending = [_normal(name) for name in (OWN, "torch", *RUN_LIBRARIES)]
    while pending:
        if (name := pending.pop()) in found:
            continue
        found.add(name)
        if (distribution := _installed(name)) is not None:
            pending += _required(distribution)
    return frozenset(found)


def _required(distribution: Distribution) -> list[str]:
    """Normal names of what a distribution requires here, without extras."""
    return [name for text in distribution.requires or () if (name := _required_name(text))]


def _required_name(text: str) -> str:
    """The normal name in a requirement; empty if it does not hold here, or is malformed."""
    from packaging.requirements import InvalidRequirement, Requirement  # most need it never

    try:
        needed = Requirement(text)
    except InvalidRequirement:
        return ""
    holds = needed.marker is None or needed.marker.evaluate({"extra": ""})
    return _normal(needed.name) if holds else ""


def _version(distribution: Distribution) -> str:
    """Its version, and a hash of its Python files if nothing of it is compiled."""
    version = _plain(distribution.metadata["Version"]).replace(" ", "_")
    guessed = _normal(distribution.metadata["Name"]).replace("-", "_")
    modules = _modules(distribution) or {guessed}
    files, compiled = _python_files(modules)
    return version if compiled or not files else f"{version} #{_digest(files)}"


def _python_files(modules: Iterable[str]) -> tuple[dict[str, Path], bool]:
    """The Python files of top-level modules by their place in sys.path.

    Returns:
        The files, and whether some of their other files are compiled.
    """
    found: dict[str, Path] = {}
    compiled = False
    for module in sorted(modules):
        spec = locate(module)
        if spec is None:
            continue
        for place in spec.submodule_search_locations or ():
            for folder, _, names in os.walk(place):
                compiled |= any(name.endswith(_COMPILED) for name in names)
                inside = module + folder.removeprefix(place)
                for name in names:
                    if name.endswith(".py"):
                        found[f"{inside}/{name}"] = Path(folder, name)
        if spec.submodule_search_locations is None and spec.has_location and spec.origin:
            if spec.origin.endswith(".py"):
                found[Path(spec.origin).name] = Path(spec.origin)
            compiled |= spec.origin.endswith(_COMPILED)
    return found, compiled


def _digest(files: Mapping[str, Path]) -> str:
    """The first digits of a hash of files; they are read again when one has changed."""
    state = []
    for name, path in sorted(files.items()):
        try:
            stat = path.stat()
        except OSError:  # a link that leads nowhere
            continue
        state.append((name, path, stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return _digest_of(tuple(state))


@lru_cache(maxsize=64)
def _digest_of(state: tuple[tuple[str, Path, int, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, path, *_ in state:
        data = _content(path)
        digest.update(f"{name}\0{len(data)}\0".encode(errors="surrogateescape"))
        digest.update(data)
    return digest.hexdigest()[:HASH_DIGITS]


def _content(path: Path) -> bytes:
    """A file's content; nothing of one that cannot be read, which no run can import either."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
