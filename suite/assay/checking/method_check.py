"""The checks of a method: its card, its code, and a trial of it on toys and tasks."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

from assay.cards import FAMILIES, TRACKS, Access, Family, SubmissionCard
from assay.checking.report import CheckResult, failed, fine, note, printed
from assay.checking.trials import Subject, try_out
from assay.detectors.source_data import source_data
from assay.engine.outcomes import Refused
from assay.engine.pool import Pool
from assay.errors import AssayError, CardError, PluginError, UnknownName, WorkerError
from assay.messages.worker import Load, Loaded
from assay.plugins.files import read_file
from assay.plugins.packages import lacking_packages
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    find_method,
    illegal,
    method_entries,
    task_entries,
)
from assay.syntax import NotParsed, parse_toml

LOAD_SECONDS = 30.0


def check_method(
    pool: Pool, path: Path, tasks: Sequence[TaskEntry] | None = None
) -> Iterator[CheckResult]:
    """Everything about one method: a folder, or a single .py file.

    Args:
        pool: where its code runs.
        path: the folder or the file; the slug of a method of an installed package.
        tasks: those to try it out on; default: every lite task that it may enter.
    """
    try:
        entry = find_method(str(path))
        card = entry.card
        access = f", needs {', '.join(card.access)}" if card.access else ""
        yield fine("card", f"track {card.track}, {len(card.families)} families{access}")
        yield from _check_references(card)
        yield from _check_pairs(card)
        if lacking := lacking_packages(card):
            yield failed("packages", lacking)
    except CardError as error:
        yield from (failed("card", problem) for problem in error.problems)
        entry = MethodEntry(_stand_in(path), path / "method.py")
    except AssayError as error:
        yield failed("card", str(error))
        if not (path / "method.py").is_file():
            return
        entry = MethodEntry(_stand_in(path), path / "method.py")
    card = entry.card
    try:
        yield from _check_data(entry)
    except PluginError as error:
        yield failed("files", str(error))
        return
    runnable = yield from _check_code(pool, entry)
    if not runnable:
        return
    if tasks is not None:
        tasks = yield from _legal(card, tasks)
        families = {task.card.family for task in tasks}
        runnable = {name: sound for name, sound in runnable.items() if name in families}
    with tempfile.TemporaryDirectory(prefix="assay-check-") as name:
        subject = Subject(entry, runnable, _lite_tasks(card) if tasks is None else tasks)
        yield from try_out(pool, subject, Path(name))


def _legal(
    card: SubmissionCard, tasks: Sequence[TaskEntry]
) -> Generator[CheckResult, None, list[TaskEntry]]:
    """Which of `tasks` the method may enter; why it may not enter the others is said."""
    legal = []
    for task in tasks:
        reason = illegal(card, task.card)
        if reason is None:
            legal.append(task)
        else:
            yield note("tasks", f"not tried: {reason}", task.card.slug)
    if not legal:
        yield failed("tasks", "it may enter none of the tasks that were asked for")
    return legal


def _lite_tasks(card: SubmissionCard) -> list[TaskEntry]:
    """Every lite task that the method may enter."""
    try:
        entries = task_entries().values()
    except CardError:
        return []  # said by _check_references
    return [e for e in entries if e.card.tier == "lite" and illegal(card, e.card) is None]


def _stand_in(path: Path) -> SubmissionCard:
    """A card to use instead of a malformed one, so that the code can still be checked."""
    try:
        data = parse_toml(read_file(path / "card.toml"))
    except (PluginError, NotParsed):
        data = {}

    def valid(key: str, allowed: Sequence[str]) -> list[str]:
        given = data.get(key)
        return [value for value in allowed if isinstance(given, list) and value in given]

    return SubmissionCard.model_validate(
        {
            "slug": "stand_in",
            "title": "Stand-in",
            "track": data.get("track") if data.get("track") in TRACKS else "open",
            "families": valid("families", FAMILIES) or ["classification"],
            "access": valid("access", get_args(Access)),
            "binary_only": data.get("binary_only") is True,
        }
    )


def _check_references(card: SubmissionCard) -> Iterator[CheckResult]:
    """The methods and tasks that a card names exist."""
    try:
        methods, tasks = method_entries(), task_entries()
    except CardError as error:
        n = len(error.problems)
        yield note("card", f"names of others were not checked: {n} problems in other cards")
        return
    for number, claim in enumerate(card.claims):
        where = f"claims[{number}]"
        if claim.better_than != "reference" and claim.better_than not in methods:
            yield failed("card", f"{where}.better_than: {_unknown('method', claim.better_than)}")
        missing = [p for p in claim.tasks if not any(fnmatchcase(slug, p) for slug in tasks)]
        if missing:
            shown = ", ".join(missing)
            yield note("card", f"{where}.tasks: no task is called {shown}: not tested there")
    if card.supersedes and card.supersedes not in methods:
        yield failed("card", f"supersedes: {_unknown('method', card.supersedes)}")


def _unknown(kind: str, slug: str) -> str:
    known = method_entries() if kind == "method" else task_entries()
    return str(UnknownName(kind, slug, known))


def _check_pairs(card: SubmissionCard) -> Iterator[CheckResult]:
    """Which tasks of its families a method may enter, and why not the others."""
    try:
        tasks = [e.card for e in task_entries().values() if e.card.family in card.families]
    except CardError:
        return  # _check_references reported it
    reasons = [reason for task in tasks if (reason := illegal(card, task)) is not None]
    different = list(dict.fromkeys(reasons))
    if tasks and len(reasons) == len(tasks):
        yield failed("tasks", "it may enter none: " + "; ".join(different))
        return
    more = [f"and {len(different) - 3} more reasons"] if len(different) > 3 else []
    entered = f"may enter {len(tasks) - len(reasons)} of {len(tasks)} in its families"
    yield fine("tasks", "; ".join([entered, *different[:3], *more]))


def _check_data(entry: MethodEntry) -> Iterator[CheckResult]:
    """How much data the source carries; raises PluginError if a file is missing or too large."""
    data = source_data(entry.contents)
    kinds = sorted(data.parts.items(), key=lambda part: -part[1])
    parts = ", ".join(f"{kind} {bits:,}" for kind, bits in kinds if bits)
    yield fine("data", f"{data.total_bits:,} bits ({parts})")
    for excess in data.excess:
        yield note("data", f"readers will see this flagged: {excess}")


def _check_code(pool: Pool, entry: MethodEntry) -> Generator[CheckResult, None, dict[Family, bool]]:
    """The code can be imported, overrides hooks of its track only, and declares valid spaces.

    Returns:
        The families in which the method can be tried; True where its search space is valid.
    """
    card, source = entry.card, entry.source
    request = Load(
        method=source,
        entry_point=entry.entry_point,
        families=card.families,
        seconds=LOAD_SECONDS,
    )
    try:
        with tempfile.TemporaryDirectory(dir=pool.folder, prefix="load-") as name:
            loaded = pool.answer(request, Loaded, Path(name))
            said = printed(Path(name) / "output.log")
    except Refused as error:
        yield failed("import", str(error))
        return {}
    except (PluginError, WorkerError) as error:
        yield failed("import", f"importing {source.name}: {error}")
        return {}
    if said:
        yield note("printed", f"when it is imported:\n{said}")
    hooks = loaded.hooks
    yield fine("import", f"overrides {', '.join(hooks) or 'nothing'}")
    foreign = [hook for hook in hooks if hook not in TRACKS[card.track]]
    if foreign:
        allowed = ", ".join(sorted(TRACKS[card.track]))
        yield failed(
            "track",
            f"track {card.track} does not allow {', '.join(foreign)} (it allows {allowed}); "
            "choose another track in card.toml: `open` allows every hook",
        )
    for family in loaded.unknown_families:
        yield failed("search space", str(UnknownName("family", family, FAMILIES)))
    for mistake in loaded.mistakes:
        yield failed("hooks", mistake)
    problems = loaded.space_problems
    for text in dict.fromkeys(problems.values()):
        where = [family for family, problem in problems.items() if problem == text]
        yield failed("search space", text, where[0] if len(where) == 1 else None)
    return {family: family not in problems for family in loaded.runnable}
