"""Groups of runs that make one cell: those of one code, ruleset, hardware setting and space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from assay.records.schema import MethodRef, TaskRef
from assay.records.staleness import listed, stale, unknown_libraries
from assay.ruleset import Ruleset
from assay.space import Space

from assay_leaderboard.evidence.runs import Catalogue, Run


@dataclass(frozen=True)
class _Refs:
    """The task and the method as they are now."""

    task: TaskRef
    method: MethodRef
    local: bool


def _refs(task: str, runs: Iterable[Run], catalogue: Catalogue) -> _Refs:
    """Of a method that is not in the catalogue, the code of its newest run is the current one."""
    task_ref = catalogue.tasks[task][1]
    newest = max(runs, key=lambda run: (run.created_at, run.id)).method
    known = catalogue.methods.get(newest.slug)
    return _Refs(task_ref, known[1] if known else newest, local=known is None)


@dataclass(frozen=True)
class RunGroup:
    """Runs that make one cell."""

    runs: Sequence[Run]
    stale: str
    local: bool
    unknown: str = ""
    """Libraries that are not installed here, so that nobody can say whether they changed."""
    left_out: str = ""
    """How many stale runs there are beside these, and why they do not count."""


def largest(
    task: str,
    runs: Sequence[Run],
    catalogue: Catalogue,
    ruleset: Ruleset,
    problems: list[str],
    *,
    sealed: bool,
) -> RunGroup:
    """The runs that count: of the current groups, else of all, the largest; then the newest.

    Args:
        task: its slug.
        runs: of one method on the task, under the same seeds.
        catalogue: says which code is current.
        ruleset: the current one.
        problems: takes a line for each current group that does not count.
        sealed: sealed runs come before others, which do not rank.
    """
    refs = _refs(task, runs, catalogue)
    groups: dict[tuple[object, ...], list[Run]] = {}
    spaces: list[Space] = []  # equal ones may name their ranges in another order
    for run in runs:
        space = next((i for i, known in enumerate(spaces) if known == run.space), len(spaces))
        spaces += [run.space] if space == len(spaces) else []
        key = run.task, run.method, run.ruleset, run.compute, space
        groups.setdefault(key, []).append(run)
    known = [_group(own, refs, ruleset) for own in groups.values()]

    def weight(group: RunGroup) -> tuple[bool, bool, int, str, str]:
        newest = max((run.created_at, run.id) for run in group.runs)
        may_rank = not sealed or all(run.sealed for run in group.runs)
        return not group.stale, may_rank, len(group.runs), *newest

    counted = max(known, key=weight)
    for group in known:
        if group is not counted and not group.stale:
            problems.append(
                f"{runs[0].method.slug} on {task}: {len(group.runs)} runs of another "
                f"{_unlike(group.runs[0], counted.runs[0])} do not count beside the "
                f"{len(counted.runs)} that do"
            )
    return counted if counted.stale else replace(counted, left_out=_left_out(known))


def _group(runs: Sequence[Run], refs: _Refs, ruleset: Ruleset) -> RunGroup:
    first = runs[0]
    unknown = [
        *unknown_libraries(first.task.libraries, refs.task.libraries),
        *unknown_libraries(first.method.libraries, refs.method.libraries),
    ]
    return RunGroup(
        runs, stale(first, refs.task, refs.method, ruleset), refs.local, listed(unknown)
    )


def _left_out(groups: Sequence[RunGroup]) -> str:
    """How many runs of `groups` are stale, and why those of the largest are."""
    old = [group for group in groups if group.stale]
    if not old:
        return ""
    n = sum(len(group.runs) for group in old)
    why = max(old, key=lambda group: (len(group.runs), group.stale)).stale
    return f"{n} stale run{'s do' if n > 1 else ' does'} not count: {why}"


def _unlike(run: Run, counted: Run) -> str:
    """In what a current run differs from those that count."""
    ours, theirs = ({**r.task.libraries, **r.method.libraries} for r in (run, counted))
    if unlike := [f"{name} {ours.get(name, 'absent')}" for name in sorted(ours | theirs)
                  if ours.get(name) != theirs.get(name)]:  # fmt: skip
        return f"library ({listed(unlike)})"
    if run.compute == counted.compute:
        return "search space"
    own, others = run.compute.model_dump(), counted.compute.model_dump()
    unlike = [f"{name} {value}" for name, value in own.items() if value != others[name]]
    return f"hardware setting ({', '.join(unlike)})"
