"""Worker processes: as many as there are cores, or this process alone.

On Linux they are forked, which takes no time and shares the memory of this process. Elsewhere fork
is not safe: they start from nothing and are sent a copy of what they share.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, TypeVar

from assay.errors import WorkerError

Shared = TypeVar("Shared")
Result = TypeVar("Result")
Name = TypeVar("Name")
_START = "fork" if sys.platform == "linux" else "spawn"
_PR_SET_PDEATHSIG = 1


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_at_hand() -> int:
    """Cores that a process can share short work among: 1 where it cannot fork, or has threads.

    A fork copies only the thread that asks for it, and the locks that others hold.
    """
    alone = _START == "fork" and threading.active_count() == 1
    return available_cores() if alone else 1


class Workers(Generic[Shared]):
    """Worker processes that share a value, which must not change while they live."""

    def __init__(self, shared: Shared, n: int, advice: str) -> None:
        """Prepare `n` processes; with 1 or less the work is done in this process.

        Args:
            shared: the value.
            n: processes.
            advice: what the user is told to do where a process was killed.
        """
        self._shared, self._advice = shared, advice
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
        if self._pool is None:
            return
        if isinstance(error, KeyboardInterrupt):  # a terminal tells the workers too; kill does not
            for process in multiprocessing.active_children():
                if process.pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGINT)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(
        self, function: Callable[..., Result], items: Mapping[Name, tuple[Any, ...]]
    ) -> Iterator[tuple[Name, Result]]:
        """Begin function(shared, *arguments) for each item.

        Args:
            function: of a module, so that its name can be sent to a process.
            items: arguments by name.

        Returns:
            The name and the result of each item, in the order in which they finish. In a single
            process an item is worked on when it is asked for.

        Raises:
            WorkerError: a process was killed.
        """
        if self._pool is None:
            return ((name, function(self._shared, *rest)) for name, rest in items.items())
        submit = self._pool.submit
        with self._killed_is_an_error(), _sigint_blocked():
            futures = {submit(_call, function, *rest): name for name, rest in items.items()}
        return self._results(futures)

    def _results(self, futures: Mapping[Future[Result], Name]) -> Iterator[tuple[Name, Result]]:
        with self._killed_is_an_error():
            for done in as_completed(futures):
                yield futures[done], done.result()

    @contextlib.contextmanager
    def _killed_is_an_error(self) -> Iterator[None]:
        """Tell the user where a worker process was killed."""
        try:
            yield
        except BrokenProcessPool as error:
            raise WorkerError(
                f"a worker process was killed, perhaps for want of memory; {self._advice}"
            ) from error


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Hold Ctrl-C back while processes start: they begin with its default, a traceback."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


# The rest runs in the worker processes.

_shared: Any = None
_working = False
"""Inside `_call`."""
_interrupted = False


def _start(shared: object) -> None:
    """Set up a worker process."""
    global _shared
    _shared = shared
    signal.signal(signal.SIGINT, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _die_with_parent()


def _die_with_parent() -> None:
    """Kill this process when its parent dies (Linux only); it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if sys.platform == "linux" and parent is not None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it died before the call above
            os._exit(1)


def _interrupt(*_: object) -> None:
    """On Ctrl-C: end the item under way and begin no other.

    Between items nothing is raised: a result that is half sent would make the parent wait for ever.
    """
    global _interrupted
    _interrupted = True
    if _working:
        raise KeyboardInterrupt


def _call(function: Callable[..., Result], *rest: object) -> Result:
    global _working
    _working = True
    try:
        if _interrupted:
            raise KeyboardInterrupt
        return function(_shared, *rest)
    finally:
        _working = False
