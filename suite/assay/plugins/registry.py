"""Tasks and submissions by folder: their cards, their hashes, and which pairs are legal.

Cards and source files are read as data here; assay.plugins.loading imports the code.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from assay import paths
from assay.cards import FAMILIES, SubmissionCard, TaskCard, read_card
from assay.errors import AssayError, CardError, PluginError, UnknownName
from assay.identity import source_hash
from assay.plugins.class_card import card_of_class, card_of_file
from assay.plugins.files import EQUATIONS, is_folder, method_files, read_files
from assay.plugins.installed import (
    folders_of,
    module_file,
    package_modules,
    split_point,
    submission_points,
)
from assay.plugins.libraries import foreign_imports, libraries
from assay.plugins.task_code import task_code
from assay.records.schema import MethodRef, TaskRef
from assay.ruleset import RULESET
from assay.untrusted import text

TIERS = tuple(RULESET.tuning_points)


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
    """method.py, a single file outside the checkout, or a module of an installed package."""
    entry_point: str = ""
    """Value of the entry point through which an installed package names it; else empty."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder with method.py and card.toml, as a submission must be."""
        return not split_point(self.entry_point)[1] and is_folder(self.source)

    @property
    def files(self) -> dict[str, Path]:
        """What the method's hash covers, by name; a module of its package as "pkg/module.py".

        Raises:
            PluginError: a file cannot be read.
        """
        own, modules = worker_files(self.source, self.entry_point)
        return own | modules

    @property
    def equations(self) -> Path | None:
        """The file with its published equations, which its hash does not cover; None without."""
        path = self.source.parent / EQUATIONS
        return path if self.is_folder and path.is_file() else None

    @property
    def contents(self) -> dict[str, bytes]:
        """Those files as they are now.

        Raises:
            PluginError: one is missing or too large.
        """
        return read_files(self.files)


def worker_files(source: Path, entry_point: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """A method's own files by name, and modules of its package by their place in sys.path.

    These are hashed, and these and no others reach a worker.

    Raises:
        PluginError: a file cannot be read.
    """
    if split_point(entry_point)[1]:
        return {}, package_modules(entry_point, ())
    own = method_files(source)
    if not entry_point:
        return own, {}
    code = [path for name, path in own.items() if name.endswith(".py")]
    return own, package_modules(entry_point, code)


def folders(kind: str) -> list[Path]:
    """The checkout's plugin folders of one kind ("tasks" or "submissions")."""
    return sorted(path.parent for path in (paths.ROOT / kind).glob("*/card.toml"))


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
    found = {
        card.slug: MethodEntry(card=card, source=folder / "method.py")
        for folder, card in _cards("submissions", SubmissionCard)
    }
    return installed_entries(found)[0] | found


def installed_entries(
    taken: Mapping[str, MethodEntry],
) -> tuple[dict[str, MethodEntry], dict[str, str]]:
    """The methods of installed packages by slug, and a line for each that cannot be used.

    Args:
        taken: the checkout's methods, whose slugs no package may have.

    Returns:
        The methods; and what is wrong with others, by slug, or by the entry point's name.
    """
    found: dict[str, MethodEntry] = {}
    problems: dict[str, str] = {}
    for point in submission_points():
        where = f"installed method {point.name!r} ({point.value})"
        for slug, entry in _of_point(point):
            if isinstance(entry, MethodEntry) and (slug in taken or slug in found):
                entry = f"the slug {slug} is taken"
            if isinstance(entry, MethodEntry):
                found[slug] = entry
            elif slug not in found:
                problems[slug] = f"{where}: {entry}"
    return found, problems


def installed_problems() -> dict[str, str]:
    """A line for each method of an installed package that cannot be used, by slug."""
    own = {slug: entry for slug, entry in method_entries().items() if not entry.entry_point}
    return installed_entries(own)[1]


def _of_point(point: EntryPoint) -> Iterator[tuple[str, MethodEntry | str]]:
    """The methods that one entry point names by slug, or what is wrong with each."""
    module, name = split_point(point.value)
    try:
        if not name:
            for folder in folders_of(module):
                yield folder.name, _packaged_folder(folder, point.value)
            return
        path = module_file(module)
        if path is None:
            raise PluginError(f"there is no module {module!r}")
        entry = MethodEntry(card_of_class(path, name, point.name), path, point.value)
        read_files(entry.files)  # raises what is wrong with them
        yield point.name, entry
    except AssayError as error:
        yield point.name, " ".join(str(error).split())


def _packaged_folder(folder: Path, value: str) -> MethodEntry | str:
    try:
        card = read_card(folder / "card.toml", SubmissionCard)
        entry = MethodEntry(card, folder / "method.py", value)
        read_files(entry.files)  # raises what is wrong with them
    except AssayError as error:
        return " ".join(str(error).split())
    return entry


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
        PluginError: the path holds no method, or a package names one that cannot be used.
        CardError: its card is malformed.
    """
    if not _is_path(name) and not name.endswith(".py"):
        entries = method_entries()
        if name in entries:
            return entries[name]
        if not _is_card(name):
            if problem := installed_problems().get(name):
                raise PluginError(problem)
            raise UnknownName("method", name, entries)
    path = resolved(name)
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
    return MethodEntry(card_of_file(path), path)


def method_argument(entry: MethodEntry) -> str:
    """What `find_method` finds this method by: its slug, or its path from the current folder."""
    known = method_entries().get(entry.card.slug)
    if known is not None and known.source == entry.source:
        return entry.card.slug
    return _from_here(entry.source.parent if entry.is_folder else entry.source)


def task_argument(entry: TaskEntry) -> str:
    """What `find_task` finds this task by: its slug, or its path from the current folder."""
    known = task_entries().get(entry.card.slug)
    if known is not None and known.folder == entry.folder:
        return entry.card.slug
    return _from_here(entry.folder)


def namesake(entry: MethodEntry | TaskEntry) -> str | None:
    """Why a method or task may not run under its name: one that is entered here has it, and other
    code; else None. Readers and detectors would take the results for those of the entered one.

    Raises:
        PluginError: the files of either cannot be read.
    """
    slug = entry.card.slug
    if isinstance(entry, MethodEntry):
        kind, place, method = "method", entry.source, method_entries().get(slug)
        if method is None or method.source == place:
            return None
        if method_ref(method).code_hash == method_ref(entry).code_hash:
            return None
        place = place.parent if entry.is_folder else place
        own = "folder and its slug" if entry.is_folder else "file"
        advice = f'; if it succeeds {slug}, its card may say so: supersedes = "{slug}"'
    else:
        kind, place, task = "task", entry.folder, task_entries().get(slug)
        if task is None or task.folder == place:
            return None
        if task_ref(task).code_hash == task_ref(entry).code_hash:
            return None
        own, advice = "folder and its slug", ""
    return (
        f"{_from_here(place)}: its name {slug} is that of a {kind} entered here, whose code is "
        f"another; rename the {own}, or give {slug} for the entered one{advice}"
    )


def unrecordable(entry: MethodEntry | TaskEntry) -> str | None:
    """Why a run of a method or task could have no record, which names its path; else None."""
    argument = method_argument(entry) if isinstance(entry, MethodEntry) else task_argument(entry)
    problem = text.unsafe(argument)
    if problem is None:
        return None
    return (
        f"{text.plain_text(argument)}: its path {problem}, so that no record could name it; rename "
        "the folder or file"
    )


def _from_here(path: Path) -> str:
    """A path from the current folder that cannot be taken for a slug or an option."""
    found = os.path.relpath(path)
    return found if found.startswith("..") else os.path.join(".", found)


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
    path = resolved(name)
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


def resolved(name: str) -> Path:
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


def task_ref(entry: TaskEntry) -> TaskRef:
    """The task as a record names it, with the hash of its code and its libraries as they are now.

    Raises:
        PluginError: task.py is missing or not Python.
    """
    try:
        digest, imported = task_code(entry.folder)
    except (OSError, SyntaxError) as error:
        raise PluginError(f"{entry.folder}: cannot read its task.py: {error}") from error
    needs = libraries(imported)
    card = entry.card
    return TaskRef(slug=card.slug, version=card.version, code_hash=digest, libraries=needs)


def method_ref(entry: MethodEntry) -> MethodRef:
    """The method as a record names it, with its files' hash and its libraries as they are now.

    Raises:
        PluginError: a file is missing or too large.
    """
    if not entry.source.is_file():
        raise PluginError(f"{entry.source}: no such file; expected a method.py")
    card, contents = entry.card, entry.contents
    code = (data for name, data in contents.items() if name.endswith(".py"))
    package = split_point(entry.entry_point)[0].partition(".")[0]
    needs = libraries(foreign_imports(code, package), card.packages)
    digest = source_hash(contents.items())
    return MethodRef(slug=card.slug, version=card.version, code_hash=digest, libraries=needs)
