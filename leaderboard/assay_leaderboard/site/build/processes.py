"""Work in processes of their own, as many as there are cores; or here, where there is one.

On Linux they are forked: they start at once and know all that this process knows. Elsewhere a fork
is not safe, so they begin anew and are sent what they share, once.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, TypeVar

from assay.errors import WorkerError
from threadpoolctl import threadpool_limits

Shared = TypeVar("Shared")
Result = TypeVar("Result")
Name = TypeVar("Name")
_START = "fork" if sys.platform == "linux" else "spawn"
_PR_SET_PDEATHSIG = 1


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spare(processes: int, n_items: int) -> int:
    """Processes that each of so many items may use beside the others: at least one.

    One, where they would have to be sent all that they share.
    """
    return max(1, processes // max(1, n_items)) if _START == "fork" else 1


class Workers(Generic[Shared]):
    """Processes that share something, which must not change while they live."""

    def __init__(self, shared: Shared, n: int) -> None:
        self._shared = shared
        self._pool: ProcessPoolExecutor | None = None
        if n > 1:
            context = multiprocessing.get_context(_START)
            self._pool = ProcessPoolExecutor(n, context, _start, (shared,))

    def __enter__(self) -> Workers[Shared]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            if isinstance(error, KeyboardInterrupt):  # of which only a terminal tells them too
                for process in multiprocessing.active_children():
                    if process.pid is not None:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(process.pid, signal.SIGINT)
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(
        self, function: Callable[..., Result], items: Mapping[Name, tuple[Any, ...]]
    ) -> Iterator[tuple[Name, Result]]:
        """Begin function(shared, *arguments) for each item.

        Returns:
            The name of each and what it made, as they get ready. Without processes the work is done
            when it is asked for.

        Raises:
            WorkerError: a process was killed.
        """
        if self._pool is None:
            return ((name, function(self._shared, *rest)) for name, rest in items.items())
        submit = self._pool.submit
        with _alive(), _uninterrupted():
            futures = {submit(_call, function, *rest): name for name, rest in items.items()}
        return _finished(futures)


def _finished(futures: Mapping[Future[Result], Name]) -> Iterator[tuple[Name, Result]]:
    with _alive():
        for done in as_completed(futures):
            yield futures[done], done.result()


@contextlib.contextmanager
def _alive() -> Iterator[None]:
    """A process that was killed is said to be, whether work is given to it or waited for."""
    try:
        yield
    except BrokenProcessPool as error:
        raise WorkerError(
            "a process that drew pages was killed, perhaps for want of memory; try --jobs 1"
        ) from error


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until processes that begin have their own answer to it, and so do they."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


_shared: Any = None
_working = _stopped = False
"""In a process of ours; whether it is inside a job, and was told to end."""


def _start(shared: object) -> None:
    """In a process that lives for the build alone."""
    global _shared, _working
    _working = False  # the parent may be such a process itself, at work
    signal.signal(signal.SIGINT, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()
    threadpool_limits(1)  # there are as many processes as cores
    gc.disable()
    _shared = shared


def _end_with_parent() -> None:
    """Where the parent is killed, nobody else would ever end a process that waits for work."""
    parent = multiprocessing.parent_process()
    if sys.platform == "linux" and parent is not None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it was killed before
            os._exit(1)


def _stop(*_: object) -> None:
    """End what is under way, and begin nothing more.

    What is done is still handed over whole: the parent would wait for the rest of it for ever.
    """
    global _stopped
    _stopped = True
    if _working:
        raise KeyboardInterrupt


def _call(function: Callable[..., Result], *rest: object) -> Result:
    global _working
    _working = True
    try:
        if _stopped:
            raise KeyboardInterrupt
        return function(_shared, *rest)
    finally:
        _working = False


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for cycles: millions of records and all that is imported hold none, and
    it takes a fifth of the time of reading them.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
