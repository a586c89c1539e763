"""The local pool: long-lived workers and one scorer, and the path of one run through them."""

from __future__ import annotations

import datetime
import queue
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from assay import __version__
from assay.cards import FAMILIES
from assay.engine.clients import ScorerClient, WorkerClient
from assay.engine.outcomes import answer_of, checks, read_outcome, verdict
from assay.engine.runs import Job, _source, _split_values, _worker_seeds
from assay.engine.scorer import SCORER_VERSION
from assay.epochs import Epoch
from assay.errors import DataError, EpochError, PluginError, StorageError, WorkerError
from assay.plugins.registry import MethodEntry, TaskEntry
from assay.records.schema import (
    Compute,
    CurvePoint,
    Environment,
    Mechanism,
    Outcome,
    Result,
    RunRecord,
    RunSpec,
    Status,
    Usage,
)
from assay.ruleset import RULESET
from assay.sandbox import mechanisms
from assay.space import Space
from assay.untrusted.text import plain_text

GRACE_SECONDS = 20.0
MIN_FREE_BYTES = 16_000_000
DESCRIBE_SECONDS = 60.0


class Description(BaseModel):
    """A method as the worker describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hooks: list[str]
    spaces: dict[str, Space]


class Pool:
    """Workers and a scorer; `run` may be called from as many threads as there are workers."""

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
        self.gpus: list[int] = []
        self._closed = False
        self._n_started = 0

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="assay-"))
        # A sandbox dies with the thread that started it, so one that stays as long as we do.
        self._launcher = ThreadPoolExecutor(1)
        try:
            (self._folder / "problems").mkdir()
            log = self._folder / "log"
            self._scorer = ScorerClient(self._folder / "problems", self.compute, log)
            self._peers = [self._worker() for _ in range(self.n_workers)]
            for peer in (self._scorer, *self._peers):
                peer.wait_ready()
            self._idle: queue.SimpleQueue[WorkerClient] = queue.SimpleQueue()
            for peer in self._peers:
                self._idle.put(peer)
        except BaseException:
            self.__exit__()
            raise
        self.machine: dict[str, Any] = self._peers[0].hello
        if self.compute.accelerator == "gpu" and not self.machine["gpus"]:
            self.__exit__()
            raise WorkerError("no GPU was found; expected at least one for --accelerator gpu")
        self._slots = {peer: number for number, peer in enumerate(self._peers)}
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for peer in (*getattr(self, "_peers", ()), getattr(self, "_scorer", None)):
            if peer is not None:
                peer.close()
        self._launcher.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _worker(self) -> WorkerClient:
        self._n_started += 1
        box = mechanisms.Box(self._folder / f"worker{self._n_started}")
        log = self._folder / "log"
        return self._launcher.submit(WorkerClient, box, self.mechanism, self.compute, log).result()

    def abort(self) -> None:
        """Kill every worker at once; runs in flight are lost, nothing else."""
        self._closed = True
        for peer in self._peers:
            peer.kill()

    def describe(self, method: MethodEntry) -> Description:
        """Ask a worker for the method's hooks and search spaces.

        Raises:
            PluginError: the method cannot be loaded or its space is malformed.
        """
        request = {
            "command": "describe",
            "method": str(method.source),
            "families": list(FAMILIES),
        }
        try:
            answer = self.answer(request, DESCRIBE_SECONDS)
        except PluginError as error:
            raise PluginError(f"{method.card.slug}: {error}") from error
        if "error" in answer:
            raise PluginError(f"{method.card.slug}: {answer['error']}")
        try:
            return Description.model_validate(answer)
        except ValidationError as error:
            raise PluginError(f"{method.card.slug}: described itself wrongly: {error}") from error

    def answer(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """What a worker's child says to a request that is not a run.

        Raises:
            DidNotEnd: it was stopped after `seconds`.
            PluginError: it said nothing; how it ended.
        """
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="answer-") as name:
            folder = Path(name)
            given = {**request, "folder": name, "seconds": seconds}
            ended = self._on_worker(given)
            return answer_of(ended, folder, seconds)

    def reference_space(self, task: TaskEntry) -> Space:
        """The search space of the task's reference optimizer."""
        answer = self._ask_scorer({"command": "describe_task", "task": str(task.folder)})
        return Space.model_validate(answer["reference"])

    def make_toys(self, request: Mapping[str, Any]) -> None:
        """Have the toys of `assay check` drawn by the scorer; see probing.make_toys.

        Raises:
            PluginError: none can be made for the card.
        """
        self._ask_scorer({**request, "command": "make_toys"})

    def audit(self, task: Path, shared: Path, seconds: float) -> dict[str, Any]:
        """What auditing.probe_task says of a task, in a worker that finds data sets.

        Like the scorer, which will import the same file, it stands in no sandbox.

        Raises:
            DidNotEnd: it was stopped after `seconds`.
            PluginError: it said nothing; how it ended.
        """
        request = {
            "command": "probe", "probe": "task", "task": str(task), "shared": str(shared),
            "seconds": seconds, "visible_gpu": None,
        }  # fmt: skip
        box = mechanisms.Box(self._folder / "auditor")
        auditor = WorkerClient(
            box, "subprocess", self.compute, self._folder / "log", with_data=True
        )
        try:
            auditor.wait_ready()
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="audit-") as name:
                ended = auditor.do(request, Path(name), seconds + GRACE_SECONDS)
                return answer_of(ended, Path(name), seconds)
        finally:
            auditor.close()
            shutil.rmtree(box.root)

    def run(self, job: Job, reproduce: str) -> RunRecord:
        """Do one run, from its problem to its record.

        Raises:
            DataError: the task's data are missing.
            EpochError: the spec has hidden seeds that this pool was not given.
            WorkerError: a process of ours died.
        """
        spec, card = job.spec, job.task.card
        seed_root = self._seed_root(spec)
        problem = {
            "task": str(job.task.folder),
            "purpose": spec.purpose,
            "repetition": spec.repetition,
            "seed_root": seed_root,
        }
        prepared = self._ask_scorer({"command": "prepare", **problem})
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=f"{spec.id}-") as name:
            folder = Path(name)
            starts = range(len(prepared["starts"]))
            request = {
                "command": "run",
                "folder": name,
                "method": str(job.method.source),
                "access": sorted(set(job.method.card.access) & set(card.access)),
                "seconds": card.budget.seconds,
                **_split_values(spec),
                **prepared,
                "task": str(job.task.folder),
                "seeds": [_worker_seeds(seed_root, spec, n) for n in starts],
            }
            ended = self._on_worker(request)
            outcome = read_outcome(folder)
            status, message = verdict(ended, outcome, folder, card.budget.seconds)
            if status == "failed":
                self._check_disk()
            scored: dict[str, Any] = {}
            if outcome is not None and status == "completed":
                listed = [entry.model_dump() for entry in outcome.snapshots]
                request = {
                    "command": "score",
                    **problem,
                    "folder": name,
                    "snapshots": listed,
                    "seeds": request["seeds"],
                    "accelerator": spec.compute.accelerator,
                }
                scored = self._ask_scorer(request)
                if "bad" in scored:
                    status, message = "failed", scored["bad"]
        return self._record(job, status, message, ended, outcome, scored, reproduce)

    def _seed_root(self, spec: RunSpec) -> str:
        """The root of the run's seeds. It goes to the scorer alone; a worker gets seeds."""
        if spec.epoch is None:
            return RULESET.seed_root
        if self.epoch is None or self.epoch.name != spec.epoch:
            raise EpochError(f"run {spec.id} has the hidden seeds of the epoch {spec.epoch}")
        return self.epoch.seed_root

    def _check_disk(self) -> None:
        """A run that failed on a full disk says nothing of its method.

        Raises:
            StorageError: there is no room for what a run writes.
        """
        if shutil.disk_usage(self._folder).free < MIN_FREE_BYTES:
            raise StorageError(f"the disk is full ({self._folder.parent}): free some space")

    def _record(
        self,
        job: Job,
        status: Status,
        message: str,
        ended: Mapping[str, Any],
        outcome: Outcome | None,
        scored: Mapping[str, Any],
        reproduce: str,
    ) -> RunRecord:
        machine = {key: value for key, value in self.machine.items() if key != "gpus"}
        device = "gpu" if self.compute.accelerator == "gpu" else "cpu"
        snapshots = outcome.snapshots if outcome else []
        curve = [
            # Microseconds: more digits are noise that fills a bundle.
            CurvePoint(
                **entry.model_dump(exclude={"file", "seconds"}),
                seconds=round(entry.seconds, 6),
                **point,
            )
            for entry, point in zip(snapshots, scored.get("curve", []), strict=False)
        ]
        measured = {key: ended[key] for key in ("wall_seconds", "cpu_seconds", "peak_bytes")}
        usage = (outcome.usage if outcome else Usage()).model_copy(update=measured)
        return RunRecord(
            id=job.spec.id,
            spec=job.spec,
            family=job.task.card.family,
            tier=job.task.card.tier,
            status=status,
            message=plain_text(message[:2000]),
            result=Result(**scored["result"]) if status == "completed" else None,
            curve=curve,
            usage=usage,
            environment=Environment(assay=__version__, device=device, **_source(), **machine),
            isolation=mechanisms.describe(self.mechanism, ended["probe_hash"]),
            scorer_version=SCORER_VERSION,
            weights_sha256=scored.get("weights_sha256"),
            checks=checks(outcome, scored),
            reproduce=reproduce,
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def _on_worker(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a request on a free worker; replace a worker that died."""
        peer = self._idle.get()
        request.setdefault("visible_gpu", None)
        if request["command"] == "run" and self.compute.accelerator == "gpu":
            request["visible_gpu"] = self._slots[peer] % self.machine["gpus"]
        try:
            seconds = request["seconds"] + GRACE_SECONDS
            answer = peer.do(request, Path(request["folder"]), seconds)
        except WorkerError:
            if not self._closed:
                peer.close()
                fresh = self._worker()
                fresh.wait_ready()
                self._slots[fresh] = self._slots.pop(peer)
                self._peers[self._peers.index(peer)] = fresh
                peer = fresh
            raise
        finally:
            self._idle.put(peer)
        return answer

    def _ask_scorer(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = self._scorer.ask(request, 7200.0)
        if "error" in answer:
            if "No space left" in answer["error"]:
                raise StorageError(f"the disk is full ({self._folder.parent}): free some space")
            kind = {"data": DataError, "task": PluginError}.get(answer["kind"], WorkerError)
            raise kind(answer["error"])
        return answer
