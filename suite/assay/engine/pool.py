"""The local pool: one scorer and some long-lived workers, started, lent, replaced and closed."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from assay.engine import memory, runs
from assay.engine.clients import Answer, ChildDied, ScorerClient, WorkerClient
from assay.engine.executors import Tell
from assay.engine.executors.threads import ThreadExecutor
from assay.engine.outcomes import RunLost, read_answer, was_killed
from assay.engine.runs import Job
from assay.epochs import Epoch
from assay.errors import BadWeights, MachineError, PluginError, WorkerError
from assay.messages.scorer import (
    CloseOracle,
    Diagnose,
    Diagnosed,
    OracleOpened,
    Score,
    ScorerRequest,
)
from assay.messages.worker import Ended, Machine, ProbeTask, Run, TaskProbed, WorkerRequest
from assay.records.schema import Compute, Mechanism, RunRecord
from assay.sandbox import mechanisms

GRACE_SECONDS = 20.0
"""How much longer than its child a worker may take to answer."""
LEFT = ("output.log", "shared/findings.jsonl")
"""What a plugin printed, and what was found in it: files that a request other than a run leaves."""


class Pool(ThreadExecutor):
    """Workers and a scorer. Threads may share it: a request waits until a worker is free."""

    machine: Machine
    """The machine as the workers see it; there once the pool is entered."""
    folder: Path
    """The pool's own temporary folder, for the same time."""
    _scorer: ScorerClient

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
        self._scorer_lock, self._local = threading.Lock(), threading.local()
        self._oracles: set[Path] = set()
        self._auditor: WorkerClient | None = None
        self._idle: queue.SimpleQueue[WorkerClient] = queue.SimpleQueue()
        self._closed = False
        self._n_started = 0

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="assay-"))
        # A sandbox dies with the thread that started it, so a thread that lives as long as we do.
        self._launcher = ThreadPoolExecutor(1)
        try:
            self._scorer = self._start_scorer()
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
        self.wait_for_threads()
        for worker in self.workers:
            worker.close()
        for other in (getattr(self, "_scorer", None), self._auditor):
            if other is not None:
                other.close()
        self._launcher.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def abort(self) -> None:
        self._closed = True
        for worker in self.workers:
            worker.kill()

    def run(self, job: Job, reproduce: str, tell: Tell | None = None) -> RunRecord:
        """Do one run; see engine.runs.run.

        A run is tried once more, on a fresh worker, if its worker died or its process was killed by
        a signal though it had reached no limit: the machine may be at fault. If that happens again,
        the record says that the run failed, so that a method gains nothing by killing itself; but
        where there is a sign that the machine did it, nothing is recorded.

        Args:
            job: the run.
            reproduce: the command that repeats it.
            tell: gets a line about a run that is tried once more.

        Raises:
            MachineError: it was lost twice, and the machine or somebody on it is to blame.
        """
        oom_kills = memory.oom_kills()
        try:
            return runs.run(job, reproduce, self)
        except RunLost as error:
            if self._closed:
                raise
            if tell is not None:
                tell(f"{_named(job)}: {error}; the run was tried once more")
            try:
                return runs.run(job, reproduce, self)
            except RunLost as again:
                if self._closed:
                    raise
                if why := self._not_by_itself((error, again), oom_kills):
                    raise MachineError(
                        f"{_named(job)}: {why}; nothing was recorded, the next command tries it "
                        "again"
                    ) from again
                return runs.lost(job, again, reproduce, self)
        finally:
            if (fresh := self._take_reserved()) is not None:
                self._idle.put(fresh)

    def diagnose(self, job: Job) -> Diagnosed:
        """Do a run again and have its networks measured; see engine.runs.diagnose.

        Raises:
            RunLost: its worker or the scorer died.
        """
        return runs.diagnose(job, self)

    def _not_by_itself(self, deaths: Iterable[RunLost | ChildDied], oom_kills: int) -> str | None:
        """How we know that no method ended a process; None if one may have.

        Args:
            deaths: of processes.
            oom_kills: memory.oom_kills before the first of them.
        """
        if memory.oom_kills() > oom_kills:
            return (
                "the machine had no memory left and killed it; run fewer at once (-j 1) or give it "
                "more memory"
            )
        # Without namespaces a method may reach its worker and the scorer.
        if self.mechanism == "bubblewrap" and any(
            error.killed if isinstance(error, ChildDied) else error.from_outside for error in deaths
        ):
            return "somebody or something outside the sandbox killed it"
        return None

    def answer(
        self, request: WorkerRequest, kind: type[Answer], left: Path | None = None
    ) -> Answer:
        """Have a request that is not a run done by a worker and return its answer, a `kind`.

        If the worker dies of it, a fresh one is asked once more.

        Args:
            request: what to do.
            kind: the answer to expect.
            left: an empty folder that gets what the plugin printed and the findings.

        Raises:
            DidNotEnd: it was stopped after the request's `seconds`.
            Refused: the plugin cannot be loaded.
            PluginError: it gave no answer; says how it ended.
            MachineError: the machine or somebody on it ended the worker, twice.
            WorkerError: its sandbox is not as it should be.
        """
        oom_kills = memory.oom_kills()
        try:
            return self._answer(request, kind, left)
        except ChildDied as error:
            if self._closed:
                raise
            try:
                return self._answer(request, kind, left)
            except ChildDied as again:
                if why := self._not_by_itself((error, again), oom_kills):
                    raise MachineError(f"a worker ended twice: {why}; try again") from again
                raise PluginError(f"its worker ended twice over it: {again}") from again

    def _answer(self, request: WorkerRequest, kind: type[Answer], left: Path | None) -> Answer:
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="answer-") as name:
            ended = self.ask_worker(request, Path(name))
            return _taken(ended, Path(name), request, kind, left)

    def audit(self, request: ProbeTask, left: Path) -> TaskProbed:
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
                return _taken(ended, Path(name), request, TaskProbed, left)
        except WorkerError:
            if self._auditor is not None:
                self._auditor.close()
                self._auditor = None
            raise

    def ask_scorer(self, request: ScorerRequest, kind: type[Answer]) -> Answer:
        """Have a request done by the scorer; see ScorerClient.ask.

        A scorer that died is replaced and asked once more. What it cannot score is the fault of the
        run whose weights they are, and of no other.

        Raises:
            RunLost: the scorer died over a run, or the run's oracle died with an earlier scorer.
        """
        oracle: Path | None = getattr(request, "oracle", None)
        with self._scorer_lock:
            if oracle is not None and oracle not in self._oracles:
                raise RunLost("another scorer has taken its place", what="its scorer ended")
            try:
                answer = self._scorer.ask(request, kind)
            except ChildDied as error:
                if self._closed:
                    raise
                self._replace_scorer()
                if isinstance(request, Score | Diagnose | CloseOracle):
                    raise RunLost(
                        str(error), what="its scorer ended", from_outside=error.killed
                    ) from error
                answer = self._scorer.ask(request, kind)
            except MachineError:
                raise
            except WorkerError as error:
                if isinstance(request, Score | Diagnose):
                    raise BadWeights(f"its weights cannot be scored: {error}") from error
                raise
            if isinstance(answer, OracleOpened):
                self._oracles.add(answer.oracle)
            return answer

    def _replace_scorer(self) -> None:
        """Close the scorer, with whose oracles runs are lost, and start another."""
        self._scorer.close()
        self._oracles.clear()
        self._scorer = self._start_scorer()
        self._scorer.wait_ready()

    def _start_scorer(self) -> ScorerClient:
        self._n_started += 1
        problems = self.folder / f"problems{self._n_started}"
        problems.mkdir()
        return ScorerClient(problems, self.compute, self._log)

    def ask_worker(self, request: WorkerRequest, folder: Path) -> Ended:
        """Have a request done by the next free worker; see WorkerClient.do.

        A worker that died is replaced, and so is one whose run was killed. A thread that lost a run
        has the fresh one for its next request.

        Raises:
            RunLost: the worker died while it did a run.
            ChildDied: it died while it did another request.
        """
        reserved = self._take_reserved()
        worker = reserved or self._idle.get()
        is_run = isinstance(request, Run)
        try:
            if is_run and self.compute.accelerator == "gpu":
                gpus = visible_gpus(self.machine.gpus)
                gpu = gpus[self.workers.index(worker) % len(gpus)]
                request = request.model_copy(update={"visible_gpu": gpu})
            ended = worker.do(request, folder, request.seconds + GRACE_SECONDS)
            if is_run and reserved is None and was_killed(ended, folder):
                worker = self._replaced(worker)
                self._local.reserved = worker
            return ended
        except WorkerError as error:
            if not self._closed:
                worker = self._replaced(worker)
                if is_run and reserved is None:
                    self._local.reserved = worker
            if is_run and isinstance(error, ChildDied):
                raise RunLost(str(error), from_outside=error.killed) from error
            raise
        finally:
            if worker is not getattr(self._local, "reserved", None):
                self._idle.put(worker)

    def _take_reserved(self) -> WorkerClient | None:
        """The fresh worker that was kept for this thread, if any."""
        reserved: WorkerClient | None = getattr(self._local, "reserved", None)
        self._local.reserved = None
        return reserved

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


def visible_gpus(n: int) -> list[str]:
    """The GPUs of a machine with `n` that this process may use, as CUDA names them.

    Ray, SLURM and users say in CUDA_VISIBLE_DEVICES which; a worker does not see that variable.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [name.strip() for name in named if name.strip()] or [str(gpu) for gpu in range(n)]


def _taken(
    ended: Ended, folder: Path, request: WorkerRequest, kind: type[Answer], left: Path | None
) -> Answer:
    """The answer that lies in `folder`; the files of LEFT are moved to `left`."""
    try:
        return read_answer(ended, folder, request.seconds, kind)
    finally:
        if left is not None:
            for path in (folder / name for name in LEFT):
                with contextlib.suppress(OSError):  # there is none, or the plugin removed it
                    path.rename(left / path.name)


def _named(job: Job) -> str:
    spec = job.spec
    point = "" if spec.point is None else f", point {spec.point}"
    return f"{spec.method.slug} on {spec.task.slug} (repetition {spec.repetition}{point})"
