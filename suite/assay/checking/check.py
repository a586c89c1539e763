"""`assay check`: everything that is wrong with a method or a task, in one report.

Cards are checked here. Code is imported only by child processes of a worker, in which
assay.worker.probe_method tries a method on toy tasks and assay.worker.probe_task examines a task.
Authors and CI run the same checks.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from assay.cards import FAMILIES, TRACKS, Access, Family, SubmissionCard, TaskCard, read_card
from assay.checking.report import CheckReport, CheckResult, failed, fine, note, read_findings
from assay.engine.outcomes import DidNotEnd, Refused
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import AssayError, CardError, DataError, PluginError, UnknownName, WorkerError
from assay.messages import (
    DescribeTask,
    Done,
    Load,
    Loaded,
    MakeToys,
    Prepare,
    Prepared,
    ProbeMethod,
    ProbeTask,
    ProbeTaskFit,
    TaskDescription,
)
from assay.plugins.packages import lacking_packages
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    find_method,
    folders,
    illegal,
    installed_entries,
    method_entries,
    task_entries,
)
from assay.records.schema import Compute, RunRecord

Kind = Literal["method", "task"]
LOAD_SECONDS, METHOD_SECONDS, FIT_SECONDS, TASK_SECONDS = 30.0, 30.0, 10.0, 300.0
SLOW_LITE_SECONDS = 2.0
"""CPU time of a run above which a task is too slow for the lite tier."""
NULL_SHARE = 0.25
"""Untrained weights may score this share of the way from chance to the reference."""


def check_all(
    paths: list[str],
    as_json: bool,
    *,
    allow_weaker: bool = False,
    tasks: Sequence[TaskEntry] | None = None,
) -> bool:
    """Check methods and tasks, given by slug or path; False if anything failed.

    Args:
        paths: slugs or paths.
        as_json: print one JSON document at the end instead of lines.
        allow_weaker: check without a sandbox where none works.
        tasks: try methods out on these; default: every lite task that a method may enter.
    """
    report = CheckReport(as_json=as_json)
    subjects: list[tuple[Kind, str, Path]] = []
    for name in paths:
        try:
            subjects += [(kind, name, path) for kind, path in _resolve(name)]
        except AssayError as error:
            report.show("", name, [failed("name", str(error))])
    if subjects:
        with Pool(n_workers=1, compute=Compute(), allow_weaker=allow_weaker) as pool:
            for kind, name, path in subjects:
                if kind == "method":
                    report.show(kind, name, told_once(check_method(pool, path, tasks)))
                else:
                    report.show(kind, name, check_task(pool, path))
    report.close()
    return report.passed


def _resolve(name: str) -> list[tuple[Kind, Path]]:
    """The method, the task or both that a name stands for: a slug, a folder or a file.

    Raises:
        AssayError: it stands for neither.
    """
    plain = "/" not in name and os.sep not in name and not name.endswith(".py")
    if plain:
        kinds: tuple[tuple[Kind, str], ...] = (("method", "submissions"), ("task", "tasks"))
        known = {kind: {path.name: path for path in folders(where)} for kind, where in kinds}
        found = [(kind, paths[name]) for kind, paths in known.items() if name in paths]
        if not found and any(name in part for part in installed_entries({})):
            found = [("method", Path(name))]
        if found:
            return found
        if not Path(name).is_dir():
            raise UnknownName(
                "method or task", name, {n for paths in known.values() for n in paths}
            )
    path = Path(name).expanduser().resolve()
    if path.is_file():
        if path.name in ("task.py", "method.py", "card.toml"):
            path = path.parent
        elif path.suffix == ".py":
            return [("method", path)]
    for kind in get_args(Kind):
        if (path / f"{kind}.py").is_file():
            return [(kind, path)]
    raise PluginError(
        f"{path}: expected a folder with card.toml and method.py or task.py, or a .py file"
    )


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
    runnable = yield from _check_code(pool, entry)
    if runnable:
        shared = Path(tempfile.mkdtemp(prefix="assay-check-"))
        try:
            families = {task.card.family for task in tasks} if tasks else set(runnable)
            wanted = {name: sound for name, sound in runnable.items() if name in families}
            yield from _check_on_toys(pool, entry, shared, wanted)
            enterable = _enterable(entry.card, list(wanted), tasks)
            yield from _check_on_tasks(pool, entry, shared, enterable)
        finally:
            shutil.rmtree(shared, ignore_errors=True)


def _enterable(
    card: SubmissionCard, families: Sequence[Family], tasks: Sequence[TaskEntry] | None
) -> list[TaskEntry]:
    """The tasks to try a method out on."""
    if tasks is None:
        try:
            tasks = [entry for entry in task_entries().values() if entry.card.tier == "lite"]
        except CardError:
            return []  # said by _check_references
    return [e for e in tasks if e.card.family in families and illegal(card, e.card) is None]


def _stand_in(path: Path) -> SubmissionCard:
    """A card to use instead of a malformed one, so that the code can still be checked."""
    try:
        data = tomllib.loads((path / "card.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
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
        loaded = pool.answer(request, Loaded)
    except Refused as error:
        yield failed("import", str(error))
        return {}
    except PluginError as error:
        yield failed("import", f"importing {source.name}: {error}")
        return {}
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


def _check_on_toys(
    pool: Pool, entry: MethodEntry, shared: Path, families: Mapping[Family, bool]
) -> Iterator[CheckResult]:
    card = entry.card
    toys = MakeToys(
        folder=shared, families=list(families), binary=card.binary_only, requires=card.requires
    )
    try:
        pool.ask_scorer(toys, Done)
    except (PluginError, WorkerError) as error:
        yield failed("runs", f"no toy can be made for this card: {error}")
        return
    tried: list[str] = []
    for family, sound in families.items():
        common: dict[str, Any] = {
            "method": entry.source, "entry_point": entry.entry_point, "shared": shared,
            "family": family, "access": card.access,
        }  # fmt: skip
        log, problem, hung = shared / family / "findings.jsonl", None, False
        try:
            probe = ProbeMethod(**common, corners=sound, seconds=METHOD_SECONDS)
            pool.answer(probe, Done)
        except PluginError as error:
            problem, hung = str(error), isinstance(error, DidNotEnd)
        yield from read_findings(log, problem, family)
        tried.append(family)
        if hung and len(tried) < len(families):
            left = ", ".join(name for name in families if name not in tried)
            yield note("runs", f"not tried in {left}: it would take as long again")
            return


def _check_on_tasks(
    pool: Pool, entry: MethodEntry, shared: Path, tasks: Sequence[TaskEntry]
) -> Iterator[CheckResult]:
    """A few batches of every task it may enter."""
    n_fit = 0
    for task in tasks:
        folder = shared / f"task-{task.card.slug}"
        folder.mkdir()
        repetition: dict[str, Any] = {
            "task": task.folder, "purpose": "tuning", "repetition": 0, "seed_root": "check",
        }  # fmt: skip
        problem = None
        try:
            space = pool.ask_scorer(DescribeTask(task=task.folder), TaskDescription).reference
            files = pool.ask_scorer(Prepare(**repetition), Prepared)
            probe = ProbeTaskFit(
                method=entry.source,
                entry_point=entry.entry_point,
                shared=folder,
                family=task.card.family,
                access=[name for name in entry.card.access if name in task.card.access],
                task=task.folder,
                reference=space.defaults,
                train=files.train,
                starts=files.starts,
                seconds=FIT_SECONDS,
            )
            pool.answer(probe, Done)
        except DataError:
            continue  # data that are not on this machine
        except (PluginError, WorkerError) as error:
            problem = str(error)
        found = list(read_findings(folder / "findings.jsonl", problem, task.card.slug))
        n_fit += not any(result.status == "failed" for result in found)
        yield from found
    if n_fit:
        yield fine("tasks", f"trains and exports on {n_fit} of {len(tasks)} tasks")


def told_once(results: Iterable[CheckResult]) -> Iterator[CheckResult]:
    """Each failure once: where else it was found is said at the end."""
    places: dict[tuple[str, str], list[str]] = {}
    for result in results:
        where = places.setdefault((result.status, result.detail), [])
        where.append(result.family or "")
        if result.status != "failed" or len(where) == 1:
            yield result
    for (status, detail), where in places.items():
        if status == "failed" and len(where) > 1:
            others = ", ".join(name for name in dict.fromkeys(where[1:]) if name)
            yield note("again", f"{detail.splitlines()[0][:60]}... also in {others}")


def check_task(pool: Pool, folder: Path) -> Iterator[CheckResult]:
    """All checks of one task folder."""
    try:
        card = read_card(folder / "card.toml", TaskCard)
    except CardError as error:
        yield from (failed("card", problem) for problem in error.problems)
        return
    entry = TaskEntry(card, folder)
    yield fine("card", f"{card.family}, {card.tier}, {card.metric.name} ({card.metric.direction})")
    yield from _check_targets(card)
    if card.superseded_by and card.superseded_by not in task_entries():
        yield failed("card", f"superseded_by: {_unknown('task', card.superseded_by)}")
    shared = Path(tempfile.mkdtemp(prefix="assay-check-"))
    problem, null = None, None
    try:
        try:
            null = pool.audit(ProbeTask(task=folder, shared=shared, seconds=TASK_SECONDS)).null
        except PluginError as error:
            problem = str(error)
        yield from read_findings(shared / "findings.jsonl", problem, None)
    finally:
        shutil.rmtree(shared, ignore_errors=True)
    yield from _check_reference(pool, entry, null)


def _check_targets(card: TaskCard) -> Iterator[CheckResult]:
    """Targets get harder from easy to reference to stretch, and all are better than chance."""
    sign = 1 if card.metric.direction == "maximize" else -1
    order = {"easy": 0, "reference": 1, "stretch": 2}
    targets = sorted(card.targets, key=lambda target: order[target.name])
    values = [sign * card.metric.chance, *(sign * target.value for target in targets)]
    if len({target.name for target in targets}) < len(targets):
        yield failed("card", "targets: each of easy, reference and stretch at most once")
    elif any(a >= b for a, b in pairwise(values)):
        shown = ", ".join(f"{target.name} {target.value:g}" for target in targets)
        yield failed(
            "card",
            f"targets: expected chance {card.metric.chance:g}, {shown} to get harder in turn",
        )


def _check_reference(pool: Pool, task: TaskEntry, null: float | None) -> Iterator[CheckResult]:
    """The reference submission exists, may enter the task, and beats untrained weights."""
    card = task.card
    try:
        reference = find_method(card.reference)
    except UnknownName as error:
        yield failed("reference", str(error))
        return
    except CardError as error:
        yield note("reference", f"not run: {len(error.problems)} problems in cards of methods")
        return
    if (reason := illegal(reference.card, card)) is not None:
        yield failed("reference", reason)
        return
    if card.tier != "lite" or null is None:
        why = "its tier is beyond lite" if card.tier != "lite" else "the task failed before"
        yield note("reference", f"{card.reference} was not run: {why}")
        return
    try:
        record = _reference_run(pool, task, reference)
    except AssayError as error:
        yield failed("reference", str(error))
        return
    yield from _judge_reference(card, record, null)


def _reference_run(pool: Pool, task: TaskEntry, reference: MethodEntry) -> RunRecord:
    from assay.engine.cells import make_cells

    (cell,) = make_cells([(task, reference)], pool, "full")
    spec = cell.spec(dict(cell.space.defaults), "repetition", 0)
    return pool.run(Job(spec, task, reference), cell.reproduce(spec))


def _judge_reference(card: TaskCard, record: RunRecord, null: float) -> Iterator[CheckResult]:
    if record.result is None:
        yield failed("reference", f"{card.reference}: {record.status}: {record.message}")
        return
    metric, usage = card.metric, record.usage
    sign = 1 if metric.direction == "maximize" else -1
    gain = sign * (record.result.test - metric.chance)
    scored = f"{metric.name} {record.result.test:.4g} with {card.reference}'s defaults"
    if gain <= 0:
        yield failed("reference", f"{scored} is no better than chance ({metric.chance:g})")
        return
    yield fine("reference", scored)
    off = sign * (null - metric.chance) / gain
    untrained = f"untrained weights score {null:.3g}, chance is {metric.chance:g}"
    if card.family == "quantization":
        yield note("null", f"{untrained}; the start is trained in float")
    elif abs(off) > NULL_SHARE:
        yield failed(
            "null", f"{untrained}: correct metric.chance, or the task measures no learning"
        )
    else:
        yield fine("null", untrained)
    spent = (
        f"{usage.wall_seconds:.2f} s a run ({usage.cpu_seconds:.2f} s of CPU), "
        f"{usage.peak_bytes / 2**20:.0f} MiB; the limit is {card.budget.seconds:g} s"
    )
    slow = card.tier == "lite" and usage.cpu_seconds > SLOW_LITE_SECONDS
    yield note("cost", f"{spent}: slow for the lite tier") if slow else fine("cost", spent)
