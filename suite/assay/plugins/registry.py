"""Tasks and submissions by folder: their cards, their hashes, and which pairs are legal.

Cards and source files are read as data here; assay.plugins.loading imports the code.
"""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from assay import paths
from assay.cards import FAMILIES, SubmissionCard, TaskCard, read_card
from assay.errors import CardError, PluginError, UnknownName
from assay.identity import code_hash
from assay.records.schema import MethodRef, TaskRef
from assay.ruleset import RULESET

TIERS = tuple(RULESET.tuning_points)
SHARED_CODE = ("assay.families", "assay.models", "assay.quantization")
"""What a task may import of the suite: its numbers depend on it, so its hash covers it."""
_SHARED_PREFIXES = tuple(f"{name}." for name in SHARED_CODE)


@dataclass(frozen=True)
class TaskEntry:
    """A task folder and its card."""

    card: TaskCard
    folder: Path


@dataclass(frozen=True)
class MethodEntry:
    """A method's card and the file that defines it."""

    card: SubmissionCard
    source: Path
    """method.py, or a single file outside the checkout."""

    @property
    def files(self) -> list[Path]:
        """What the method's hash covers."""
        return source_files(self.source)

    @property
    def contents(self) -> dict[str, bytes]:
        """Those files by name, as they are now."""
        return {path.name: path.read_bytes() for path in self.files}


def source_files(source: Path) -> list[Path]:
    """The files of a method or a task: a single file, or those beside method.py or task.py.

    These and no others are hashed, and these and no others reach a worker.
    """
    if source.name not in ("method.py", "task.py"):
        return [source]
    return [path for path in source.parent.glob("*") if path.suffix in (".py", ".toml")]


def folders(kind: str) -> list[Path]:
    """Plugin folders of one kind ("tasks" or "submissions"): the checkout's, then installed ones.

    An installed package adds submissions through the entry-point group `assay.submissions`, whose
    value names a package that holds one folder per method.
    """
    roots = [paths.ROOT / kind]
    if kind == "submissions":
        for point in entry_points(group="assay.submissions"):
            spec = importlib.util.find_spec(point.value)
            roots += [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    return sorted(
        path.parent for root in roots if root.is_dir() for path in root.glob("*/card.toml")
    )


@cache
def task_entries() -> dict[str, TaskEntry]:
    """Every task by slug.

    Raises:
        CardError: with the problems of all malformed cards at once.
    """
    return {
        card.slug: TaskEntry(card=card, folder=folder) for folder, card in _cards("tasks", TaskCard)
    }


@cache
def method_entries() -> dict[str, MethodEntry]:
    """Every submission by slug.

    Raises:
        CardError: with the problems of all malformed cards at once.
    """
    return {
        card.slug: MethodEntry(card=card, source=folder / "method.py")
        for folder, card in _cards("submissions", SubmissionCard)
    }


def _cards(kind: str, model: Any) -> list[tuple[Path, Any]]:
    found, problems = [], []
    for folder in folders(kind):
        try:
            found.append((folder, read_card(folder / "card.toml", model)))
        except CardError as error:
            problems += error.problems
    if problems:
        raise CardError(problems)
    return found


def find_method(name: str) -> MethodEntry:
    """A submission by slug, or a method by path: a folder with card.toml, or a single .py file.

    Raises:
        UnknownName: no submission has this slug.
        PluginError: the path holds no method.
        CardError: its card is malformed.
    """
    if not _is_path(name) and not name.endswith(".py"):
        entries = method_entries()
        if name in entries:
            return entries[name]
        if not _is_card(name):
            raise UnknownName("method", name, entries)
    path = _resolved(name)
    if path.is_dir():
        if not (path / "method.py").is_file():
            raise PluginError(f"{path}: expected a method.py in this folder")
        if not (path / "card.toml").is_file():
            raise PluginError(f"{path}: expected a card.toml beside method.py")
        return MethodEntry(read_card(path / "card.toml", SubmissionCard), path / "method.py")
    if not path.is_file():
        raise PluginError(f"{name}: no such file or folder; expected a folder or a .py file")
    if path.suffix != ".py":
        raise PluginError(f"{name}: is no Python file; expected a folder or a .py file")
    if path.name == "method.py" and (path.parent / "card.toml").is_file():
        return find_method(str(path.parent))
    try:
        card = SubmissionCard(slug=path.stem, title=path.stem)
    except ValueError as error:
        raise PluginError(
            f"{path.name}: expected a file name of a-z, 0-9 and _, because it becomes the slug"
        ) from error
    return MethodEntry(card, path)


def find_task(name: str) -> TaskEntry:
    """A task by slug, or by the path of its folder.

    Raises:
        UnknownName: no task has this slug.
        PluginError: the path holds no task.
        CardError: its card is malformed.
    """
    if not _is_path(name):
        entries = task_entries()
        if name in entries:
            return entries[name]
        if not _is_card(name):
            raise UnknownName("task", name, entries)
    path = _resolved(name)
    missing = [file for file in ("card.toml", "task.py") if not (path / file).is_file()]
    if missing:
        raise PluginError(f"{path}: expected a folder with {' and '.join(missing)}")
    return TaskEntry(card=read_card(path / "card.toml", TaskCard), folder=path)


def select_tasks(names: Iterable[str]) -> list[TaskEntry]:
    """Tasks by slug, glob, family, tier or path of a folder, by slug within families.

    Raises:
        UnknownName: a name matches nothing.
        PluginError: a path holds no task, or two tasks share a slug.
        CardError: the card at a path is malformed.
    """
    chosen: dict[Path, TaskEntry] = {}
    for name in names:
        if _is_path(name):
            matched = [find_task(name)]
        else:
            matched = [
                entry
                for slug, entry in task_entries().items()
                if fnmatchcase(slug, name) or name in (entry.card.family, entry.card.tier)
            ]
        if not matched and _is_card(name):
            matched = [find_task(name)]
        if not matched:
            raise UnknownName("task", name, [*task_entries(), *FAMILIES, *TIERS])
        chosen |= {entry.folder: entry for entry in matched}
    by_slug: dict[str, TaskEntry] = {}
    for entry in chosen.values():
        other = by_slug.setdefault(entry.card.slug, entry)
        if other is not entry:
            raise PluginError(
                f"two tasks are called {entry.card.slug}: {other.folder} and {entry.folder}"
            )
    return sorted(
        by_slug.values(), key=lambda entry: (FAMILIES.index(entry.card.family), entry.card.slug)
    )


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name


def _is_card(name: str) -> bool:
    """Whether `name` is a folder here that holds a card."""
    return bool(name) and os.path.isfile(os.path.join(name, "card.toml"))


def _resolved(name: str) -> Path:
    """The absolute path, with ~ expanded.

    Raises:
        PluginError: no such place can exist, or it cannot be looked at.
    """
    try:
        path = Path(name).expanduser().resolve()
        path.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PluginError(f"{name}: {reason}; expected the path of a method or task") from error
    return path


def illegal(method: SubmissionCard, task: TaskCard) -> str | None:
    """Why `method` cannot enter `task`, or None."""
    if task.family not in method.families:
        return f"{method.slug} does not enter the family {task.family}"
    lacking = sorted(set(method.access) - set(task.access))
    if lacking:
        return f"{method.slug} needs {', '.join(lacking)}, which {task.slug} does not grant"
    if method.binary_only and task.n_classes != 2:
        return f"{method.slug} is defined for two classes only"
    for key, values in method.requires.items():
        given = task.recipe.get(key)
        if given not in values:
            wanted = ", ".join(map(str, values))
            return f"{method.slug} is defined for {key} {wanted}, {task.slug} has {given}"
    return None


@cache
def _task_code_hash(folder: Path) -> str:
    own = sorted(folder.glob("*.py"))
    return code_hash([folder / "card.toml", *own, *_shared_code(own)])


def _shared_code(files: list[Path]) -> list[Path]:
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


def task_ref(entry: TaskEntry) -> TaskRef:
    """The task as a record names it, with the hash of its code as it is now.

    Raises:
        PluginError: task.py is missing or not Python.
    """
    try:
        digest = _task_code_hash(entry.folder)
    except (OSError, SyntaxError) as error:
        raise PluginError(f"{entry.folder}: cannot read its task.py: {error}") from error
    return TaskRef(slug=entry.card.slug, version=entry.card.version, code_hash=digest)


def method_ref(entry: MethodEntry) -> MethodRef:
    """The method as a record names it, with the hash of its files as they are now.

    Raises:
        PluginError: a file is missing.
    """
    try:
        digest = code_hash(entry.files)
    except OSError as error:
        raise PluginError(f"{entry.source}: {error.strerror}; expected a method.py") from error
    return MethodRef(slug=entry.card.slug, version=entry.card.version, code_hash=digest)
