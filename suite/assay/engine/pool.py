"""The local pool: one scorer and some long-lived workers, started, lent, replaced and closed."""

from __future__ import annotations

import contextlib
import queue
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from assay.engine import runs
from assay.engine.clients import Answer, ScorerClient, WorkerClient
from assay.engine.outcomes import read_answer
from assay.engine.runs import Job
from assay.epochs import Epoch
from assay.errors import WorkerError
from assay.messages import (
    Ended,
    Machine,
    ProbeTask,
    Run,
    ScorerRequest,
    TaskProbed,
    WorkerRequest,
)
from assay.records.schema import Compute, Mechanism, RunRecord
from assay.sandbox import mechanisms

GRACE_SECONDS = 20.0
"""How much longer than its child a worker may take to answer."""


class Pool:
    """Workers and a scorer. Threads may share it: a request waits until a worker is free."""

    machine: Machine
    """The machine as the workers see it; there once the pool is entered."""
    folder: Path
    """The pool's own temporary folder, for the same time."""

    def __init__(
        self,
        *,
        n_workers: int,
        compute: Compute,
        epoch: Epoch | None = None,
        allow_weaker: bool = False,
        mechanism: Mechanism | None = None,
    ) -> None:
        """Choose a sandbox; nothing is started before `with`.

        Args:
            n_workers: how many runs go on at once.
            compute: what numbers depend on.
            epoch: whose hidden seeds its repetitions may have.
            allow_weaker: take `subprocess` where no sandbox works.
            mechanism: this one, and no other; by default the strongest that works here.

        Raises:
            WorkerError: there is no sandbox, and `allow_weaker` was not given.
        """
        self.n_workers, self.compute, self.epoch = n_workers, compute, epoch
        self.mechanism: Mechanism = mechanism or mechanisms.choose(
            compute=compute, allow_weaker=allow_weaker
        )
        self.workers: list[WorkerClient] = []
        self._scorer: ScorerClient | None = None
        self._auditor: WorkerClient | None = None
        self._idle: queue.SimpleQueue[WorkerClient] = queue.SimpleQueue()
        self._closed = False
        self._n_started = 0

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="assay-"))
        # A sandbox dies with the thread that started it, so a thread that lives as long as we do.
        self._launcher = ThreadPoolExecutor(1)
        try:
            (self.folder / "problems").mkdir()
            self._scorer = ScorerClient(self.folder / "problems", self.compute, self._log)
            for _ in range(self.n_workers):
                self.workers.append(self._start_worker())
            self._scorer.wait_ready()
            for worker in self.workers:
                worker.wait_ready()
                self._idle.put(worker)
            self.machine = self.workers[0].machine
            if self.compute.accelerator == "gpu" and not self.machine.gpus:
                raise WorkerError("no GPU was found; expected at least one for --accelerator gpu")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for worker in self.workers:
            worker.close()
        for other in (self._scorer, self._auditor):
            if other is not None:
                other.close()
        self._launcher.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def abort(self) -> None:
        """Kill every worker at once; runs in flight are lost, nothing else."""
        self._closed = True
        for worker in self.workers:
            worker.kill()

    def run(self, job: Job, reproduce: str) -> RunRecord:
        """Do one run; see engine.runs.run."""
        return runs.run(job, reproduce, self)

    def answer(self, request: WorkerRequest, kind: type[Answer], log: Path | None = None) -> Answer:
        """Have a request that is not a run done by a worker and return its answer, a `kind`.

        Args:
            request: what to do.
            kind: the answer to expect.
            log: a new file for what the plugin prints.

        Raises:
            DidNotEnd: it was stopped after the request's `seconds`.
            Refused: the plugin cannot be loaded.
            PluginError: it gave no answer; says how it ended.
        """
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="answer-") as name:
            ended = self.ask_worker(request, Path(name))
            try:
                return read_answer(ended, Path(name), request.seconds, kind)
            finally:
                if log is not None:
                    with contextlib.suppress(OSError):  # it has removed its log
                        (Path(name) / "output.log").rename(log)

    def audit(self, request: ProbeTask) -> TaskProbed:
        """Have a task checked by the one worker that finds data sets. Raises as `answer`.

        It stands in no sandbox, like the scorer, which will import the same file. The first call
        starts it: a start takes as long as most checks.
        """
        try:
            if self._auditor is None:
                box = mechanisms.Box(self.folder / f"auditor{self._n_started}")
                self._n_started += 1
                self._auditor = WorkerClient(
                    box, "subprocess", self.compute, self._log, with_data=True
                )
                self._auditor.wait_ready()
            with tempfile.TemporaryDirectory(dir=self.folder, prefix="audit-") as name:
                ended = self._auditor.do(request, Path(name), request.seconds + GRACE_SECONDS)
                return read_answer(ended, Path(name), request.seconds, TaskProbed)
        except WorkerError:
            if self._auditor is not None:
                self._auditor.close()
                self._auditor = None
            raise

    def ask_scorer(self, request: ScorerRequest, kind: type[Answer]) -> Answer:
        """Have a request done by the scorer; see ScorerClient.ask."""
        assert self._scorer is not None
        return self._scorer.ask(request, kind)

    def ask_worker(self, request: WorkerRequest, folder: Path) -> Ended:
        """Have a request done by the next free worker; see WorkerClient.do.

        A worker that died is replaced before the error is raised.
        """
        worker = self._idle.get()
        try:
            if isinstance(request, Run) and self.compute.accelerator == "gpu":
                gpu = self.workers.index(worker) % self.machine.gpus
                request = request.model_copy(update={"visible_gpu": gpu})
            return worker.do(request, folder, request.seconds + GRACE_SECONDS)
        except WorkerError:
            if not self._closed:
                worker = self._replaced(worker)
            raise
        finally:
            self._idle.put(worker)

    def _replaced(self, worker: WorkerClient) -> WorkerClient:
        """Close a worker and start another in its place."""
        worker.close()
        fresh = self._start_worker()
        fresh.wait_ready()
        self.workers[self.workers.index(worker)] = fresh
        return fresh

    def _start_worker(self) -> WorkerClient:
        self._n_started += 1
        box = mechanisms.Box(self.folder / f"worker{self._n_started}")
        return self._launcher.submit(
            WorkerClient, box, self.mechanism, self.compute, self._log
        ).result()

    @property
    def _log(self) -> Path:
        """For what the scorer and the workers print themselves."""
        return self.folder / "log"
