"""An executor that does runs in threads of this process."""

from __future__ import annotations

import contextlib
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

from assay.engine.executors import Tell
from assay.engine.runs import Job
from assay.records.schema import RunRecord


class ThreadExecutor:
    """An Executor for whatever can do a run when it is asked to, several at once."""

    n_workers: int

    def run(self, job: Job, reproduce: str, tell: Tell | None = None) -> RunRecord:
        """Do one run and wait for it."""
        raise NotImplementedError

    @property
    def n_slots(self) -> int:
        return self.n_workers

    def submit(self, job: Job, reproduce: str, tell: Tell) -> Future[RunRecord]:
        future = self._threads.submit(self.run, job, reproduce, tell)
        future.add_done_callback(self._ended.put)
        return future

    def finished(self, seconds: float) -> list[Future[RunRecord]]:
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._ended.get(timeout=seconds))
            while True:
                found.append(self._ended.get_nowait())
        return found

    def wait_for_threads(self) -> None:
        """Drop what has not begun and wait for the rest."""
        self._threads.shutdown(cancel_futures=True)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.n_workers + 1)  # one waits, so that no worker does

    @cached_property
    def _ended(self) -> queue.SimpleQueue[Future[RunRecord]]:
        return queue.SimpleQueue()
