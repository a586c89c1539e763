"""Trials of a method in workers: on the toy of each of its families, then on real tasks."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from assay.cards import Family
from assay.checking.parity import check_parity
from assay.checking.report import CheckResult, failed, fine, note, printed, read_findings
from assay.engine.outcomes import DidNotEnd
from assay.engine.pool import Pool
from assay.errors import DataError, PluginError, WorkerError
from assay.messages.scorer import DescribeTask, MakeToys, Prepare, Prepared, TaskDescription
from assay.messages.worker import FIT_CHECKS, METHOD_CHECKS, Done, ProbeMethod, ProbeTaskFit
from assay.plugins.registry import MethodEntry, TaskEntry

TOY_SECONDS, FIT_SECONDS = 60.0, 30.0


@dataclass(frozen=True)
class _Trial:
    """How one trial went."""

    results: Sequence[CheckResult]
    hung: bool = False
    log: Path | None = None
    """What the method printed."""

    @property
    def trains(self) -> bool:
        """Whether the method trained at all."""
        return not any(r.status == "failed" and r.check == "runs" for r in self.results)


@dataclass(frozen=True)
class Subject:
    """A method to try out."""

    method: MethodEntry
    families: Mapping[Family, bool]
    """Those to try it in; True where its search space is valid."""
    tasks: Sequence[TaskEntry]


def try_out(pool: Pool, subject: Subject, shared: Path) -> Iterator[CheckResult]:
    """Every result of a method's trials, and between toys and tasks of its comparison with others.

    While a worker trains, the scorer prepares the next trial. Tasks of a family are left out if
    the method does not train on the family's toy.

    Args:
        pool: where the method runs.
        subject: the method.
        shared: an empty folder.
    """
    with ThreadPoolExecutor(pool.n_workers + 1) as threads:
        toys = {
            family: threads.submit(_try_toy, pool, subject, family, shared)
            for family in subject.families
        }
        tasks = {
            task.card.slug: (task, threads.submit(_try_task, pool, subject, task, shared))
            for task in subject.tasks
        }
        try:
            tried = yield from _toy_results(toys)
            if tried:
                yield from check_parity(pool, subject.method)
            yield from _task_results(tried, tasks)
        finally:
            for future in (*toys.values(), *(future for _, future in tasks.values())):
                future.cancel()


def _toy_results(
    toys: Mapping[Family, Future[_Trial]],
) -> Generator[CheckResult, None, set[Family]]:
    """The results on toys. Returns the families in which the method trains."""
    trained: set[Family] = set()
    said = ""
    for number, (family, future) in enumerate(toys.items()):
        trial = future.result()
        yield from trial.results
        if trial.trains:
            trained.add(family)
        if not said and trial.log is not None and (said := printed(trial.log)):
            yield note("printed", said, family)
        left = list(toys)[number + 1 :]
        if trial.hung and left:
            yield note("runs", f"not tried in {', '.join(left)}: it would take as long again")
            return set()
    return trained


def _task_results(
    families: set[Family], tasks: Mapping[str, tuple[TaskEntry, Future[_Trial]]]
) -> Iterator[CheckResult]:
    """The results on the tasks of `families`: problems, and on how many there are none."""
    n_tried, n_fit = 0, 0
    missing: list[CheckResult] = []
    for slug, (task, future) in tasks.items():
        if task.card.family not in families:
            continue
        try:
            trial = future.result()
        except DataError as error:
            missing.append(note("tasks", f"not tried: {error}", slug))
            continue
        n_tried += 1
        n_fit += not trial.results
        yield from trial.results
        if trial.hung:
            yield note("tasks", "the other tasks were not tried: each would take as long again")
            return
    yield from missing
    if n_fit:
        yield fine("tasks", f"trains and exports on {n_fit} of {n_tried} tasks")


def _try_toy(pool: Pool, subject: Subject, family: Family, shared: Path) -> _Trial:
    """Every check of assay.worker.probe_method on one family's toy."""
    card, folder = subject.method.card, shared / f"toy-{family}"
    folder.mkdir()
    make = MakeToys(
        folder=folder, families=[family], binary=card.binary_only, requires=card.requires
    )
    try:
        pool.ask_scorer(make, Done)
    except (PluginError, WorkerError) as error:
        return _Trial([failed("runs", f"no toy can be made for this card: {error}", family)])
    request = ProbeMethod(
        method=subject.method.source,
        entry_point=subject.method.entry_point,
        shared=folder,
        family=family,
        access=card.access,
        corners=subject.families[family],
        seconds=TOY_SECONDS,
    )
    checks = [name for name in METHOD_CHECKS if request.corners or name != "search space"]
    return _probed(pool, request, family, checks)


def _try_task(pool: Pool, subject: Subject, task: TaskEntry, shared: Path) -> _Trial:
    """A few batches of one task.

    Raises:
        DataError: its data are not on this machine.
    """
    slug, folder = task.card.slug, shared / f"task-{task.card.slug}"
    folder.mkdir()
    prepare = Prepare(task=task.folder, repetition=0, seed_root="check")
    try:
        space = pool.ask_scorer(DescribeTask(task=task.folder), TaskDescription).reference
        files = pool.ask_scorer(prepare, Prepared)
    except (PluginError, WorkerError) as error:
        return _Trial([failed("tasks", f"{slug} cannot be prepared: {error}", slug)])
    request = ProbeTaskFit(
        method=subject.method.source,
        entry_point=subject.method.entry_point,
        shared=folder,
        family=task.card.family,
        access=[name for name in subject.method.card.access if name in task.card.access],
        task=task.folder,
        reference=space.defaults,
        train=files.train,
        starts=files.starts,
        seconds=FIT_SECONDS,
    )
    return _probed(pool, request, slug, FIT_CHECKS)


def _probed(
    pool: Pool, request: ProbeMethod | ProbeTaskFit, where: str, checks: Sequence[str]
) -> _Trial:
    """Have a worker do `request`; what its child found, and how it ended."""
    problem, hung = None, False
    left = request.shared.with_name(f"{request.shared.name}-left")
    left.mkdir()
    try:
        pool.answer(request, Done, left)
    except DidNotEnd as error:
        problem, hung = str(error), True
    except (PluginError, WorkerError) as error:
        problem = str(error)
    results = read_findings(left / "findings.jsonl", problem, where, checks)
    return _Trial(results, hung, left / "output.log")
