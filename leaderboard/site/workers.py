"""Parts made in processes of their own, as many as there are cores; or here, where one will do."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from leaderboard.memo import Memo
from leaderboard.site import parts, summaries
from leaderboard.site.folder import File, described, write
from leaderboard.site.parts import Context
from suite.errors import WorkerError

Rest = TypeVar("Rest")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Group:
    """What a group is made from."""

    members: Sequence[summaries.Member]
    known: Path | None
    """What was computed for it before."""
    root: Path
    """Where its files go."""
    memo: str
    """The path below that of what is computed now."""


class Workers:
    """Makes parts; processes are started when there is work for two."""

    def __init__(self, context: Context, n: int) -> None:
        self._context, self._n = context, n
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def tasks(self, slugs: Sequence[str], root: Path) -> Iterator[tuple[str, str, list[File]]]:
        """Slug, part (parts.TaskPart as JSON) and files of each task, as they get ready."""
        for slug, (text, files) in self._each(_task, [(slug, root) for slug in slugs], self._n):
            yield slug, text, files

    def groups(self, groups: Sequence[tuple[str, Group]]) -> Iterator[tuple[str, str, list[File]]]:
        """Name, part (summaries.GroupPart as JSON) and files of each group, as they get ready."""
        # Where most is known, starting processes would take as long as the work.
        known = self._pool is None and all(group.known for _, group in groups)
        for name, (text, files) in self._each(_group, groups, 1 if known else self._n):
            yield name, text, files

    def _each(
        self, function: Callable[[str, Rest], Result], items: Sequence[tuple[str, Rest]], n: int
    ) -> Iterator[tuple[str, Result]]:
        """The name of each item, and what the function makes of it, in n processes."""
        if min(n, len(items)) < 2:
            _begin(self._context)
            for item in items:
                yield item[0], function(*item)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=self._n,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._context,),
            )
        names = {self._pool.submit(function, *item): item[0] for item in items}
        try:
            for done in as_completed(names):
                yield names[done], done.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "a process that drew pages was killed, perhaps for want of memory; try --jobs 1"
            ) from error


_context: Context | None = None


def _begin(context: Context) -> None:
    global _context
    _context = context


def _start(context: Context) -> None:
    """In a process of its own, which lives for the build alone."""
    gc.disable()
    _begin(context)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for cycles: millions of records hold none, and it takes a fifth of the
    time of reading them.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _task(slug: str, root: Path) -> tuple[str, list[File]]:
    assert _context is not None
    part, files = parts.make(_context, slug, root)
    return part.model_dump_json(), files


def _group(name: str, group: Group) -> tuple[str, list[File]]:
    assert _context is not None
    memo = Memo.load(group.known)
    part = summaries.make(name, group.members, _context.ruleset, memo)
    memo.save(group.root / group.memo)
    pages = summaries.pages(part, group.members, _context)
    files = [write(group.root, path, text) for path, text in pages.items()]
    return part.model_dump_json(), [described(group.root, group.memo), *files]
