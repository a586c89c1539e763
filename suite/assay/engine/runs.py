"""One run, from its spec to its record: prepare, train, score, write down."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

from assay import __version__, paths
from assay.engine.clients import Answer, UnusableMethod, disk_full
from assay.engine.outcomes import RunLost, checks, read_outcome, verdict
from assay.epochs import Epoch
from assay.errors import AssayError, BadWeights, EpochError, PluginError, RecordError, RunHung
from assay.identity import derive_seed, sha256
from assay.messages.scorer import (
    CloseOracle,
    Diagnose,
    Diagnosed,
    OpenOracle,
    OracleClosed,
    OracleOpened,
    Prepare,
    Prepared,
    Score,
    Scored,
    ScorerRequest,
)
from assay.messages.worker import Ended, Machine, Outcome, Run, WorkerRequest, WorkerSeeds
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.diagnosis import thresholds
from assay.records.rounding import rounded
from assay.records.schema import (
    Compute,
    CurvePoint,
    Environment,
    Mechanism,
    RunRecord,
    RunSpec,
    Status,
    Usage,
)
from assay.records.staleness import changed
from assay.ruleset import RULESET, SCORER_VERSION
from assay.sandbox import limits, mechanisms
from assay.space import Space, Value
from assay.untrusted.text import plain_text

REFERENCE_PREFIX = "reference."
MIN_FREE_BYTES = 16_000_000
MAX_MESSAGE = 2000
"""Characters of a record's message."""


@dataclass(frozen=True)
class Job:
    """One run to do."""

    spec: RunSpec
    task: TaskEntry
    method: MethodEntry
    space: Space
    """The search space that the repetition's points were drawn from."""
    nudge: int = 0
    """See messages.worker.Run."""


@dataclass(frozen=True)
class Trained:
    """What came of a run, before it is written down."""

    status: Status
    message: str
    ended: Ended
    outcome: Outcome | None
    oracle: OracleClosed
    scored: Scored | None = None


class Processes(Protocol):
    """What a run needs: a scorer, a worker and what is known of them (engine.pool.Pool)."""

    compute: Compute
    epoch: Epoch | None
    mechanism: Mechanism
    machine: Machine
    folder: Path
    """For temporary files."""

    def ask_scorer(self, request: ScorerRequest, kind: type[Answer]) -> Answer:
        """Have the scorer do a request."""

    def ask_worker(self, request: WorkerRequest, folder: Path) -> Ended:
        """Have a worker do a request; what its child left is in `folder` then."""


def run(job: Job, reproduce: str, processes: Processes) -> RunRecord:
    """Do one run.

    Args:
        job: the run.
        reproduce: the command that repeats it, for its record.
        processes: where it is done.

    Raises:
        DataError: the task's data are missing.
        EpochError: the spec has hidden seeds that were not given.
        StorageError: the disk is full.
        RunHung: the run was stopped at the limit on wall time.
        RunLost: its worker died or its process was killed; see Pool.run.
        MachineError: the scorer had no memory or the like.
        WorkerError: a process of ours died.
        UnusableMethod: the method or a library that it imports was edited meanwhile.
        PluginError: the task was.
    """
    with _training(job, processes) as training:
        status, message, scored = training.status, training.message, None
        if training.outcome is not None and status == "completed":
            try:
                score = Score(
                    **training.weights,
                    seeds=training.request.seeds,
                    accelerator=job.spec.compute.accelerator,
                    oracle=training.request.oracle,
                )
                scored = processes.ask_scorer(score, Scored)
            except BadWeights as error:
                status, message = "failed", str(error)
    check_unchanged(job)
    closed = training.oracle.closed
    trained = Trained(status, message, training.ended, training.outcome, closed, scored)
    return _record(job, trained, reproduce, processes)


def diagnose(job: Job, processes: Processes) -> Diagnosed:
    """Do a run again, with more snapshots, and have them measured instead of scored.

    Args:
        job: a run on a labelled task, with public seeds.
        processes: where it is done.

    Raises:
        RecordError: it does not complete.
        AssayError: see `run`.
    """
    with _training(job, processes, thresholds(job.task.card.budget)) as training:
        if training.outcome is None or training.status != "completed":
            said = f"{training.status}: {training.message[:MAX_MESSAGE]}"
            raise RecordError(f"run {job.spec.id} ended otherwise than its record, {said}")
        found = processes.ask_scorer(Diagnose(**training.weights), Diagnosed)
    check_unchanged(job)
    return found


@dataclass(frozen=True)
class _Training:
    """What a worker made of a run; its files are there until the context is left."""

    request: Run
    oracle: _Oracle
    ended: Ended
    outcome: Outcome | None
    status: Status
    message: str
    weights: dict[str, Any]
    """Of the scorer's requests about its snapshots."""


@contextmanager
def _training(
    job: Job, processes: Processes, thresholds: list[int] | None = None
) -> Iterator[_Training]:
    """Have a run trained; `thresholds` are those of its request."""
    spec, seed_root = job.spec, _seed_root(job.spec, processes.epoch)
    repetition: dict[str, Any] = {
        "task": job.task.folder,
        "repetition": spec.repetition,
        "seed_root": seed_root,
    }
    prepared = processes.ask_scorer(Prepare(**repetition), Prepared)
    with (
        tempfile.TemporaryDirectory(dir=processes.folder, prefix=f"{spec.id}-") as name,
        _Oracle(job, repetition, processes) as oracle,
    ):
        folder, request = Path(name), _request(job, seed_root, prepared, oracle.path)
        request = request.model_copy(update={"thresholds": thresholds})
        ended = processes.ask_worker(request, folder)
        if ended.limit == "wall time":
            raise _hung(spec, ended)
        outcome = read_outcome(folder)
        status, message = verdict(ended, outcome, folder, request.cpu_seconds)
        if status == "failed":
            _check_disk(processes.folder)
        snapshots = outcome.snapshots if outcome else []
        weights = {**repetition, "folder": folder, "snapshots": snapshots}
        yield _Training(request, oracle, ended, outcome, status, message, weights)


class _Oracle:
    """A context in which a run on a function has an oracle; other runs have none."""

    path: Path | None = None
    """Its socket."""
    closed = OracleClosed()
    """What it says of the run; there once the context is left."""

    def __init__(self, job: Job, repetition: dict[str, Any], processes: Processes) -> None:
        self._wanted = job.task.card.family == "functions"
        self._repetition, self._processes = repetition, processes

    def __enter__(self) -> Self:
        if self._wanted:
            opened = self._processes.ask_scorer(OpenOracle(**self._repetition), OracleOpened)
            self.path = opened.oracle
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.path is None:
            return
        try:
            self.closed = self._processes.ask_scorer(CloseOracle(oracle=self.path), OracleClosed)
        except AssayError:
            if kind is None:
                raise


def lost(job: Job, error: RunLost, reproduce: str, processes: Processes) -> RunRecord:
    """The record of a run that was lost twice: it failed, so that nobody gets free tries."""
    ended = error.ended or Ended(
        limit=None, exit=-9, wall_seconds=0.0, cpu_seconds=0.0, peak_bytes=0, probe_hash=None,
        deviations=[],
    )  # fmt: skip
    message = f"{error.what} twice while it ran: {error}"
    return _record(
        job, Trained("failed", message, ended, None, OracleClosed()), reproduce, processes
    )


def _request(job: Job, seed_root: str, prepared: Prepared, oracle: Path | None) -> Run:
    """What the worker is asked to do."""
    own, reference = split_values(job.spec)
    seconds = job.task.card.budget.seconds
    return Run(
        method=job.method.source,
        entry_point=job.method.entry_point,
        task=job.task.folder,
        access=sorted(set(job.method.card.access) & set(job.task.card.access)),
        seconds=limits.hang_seconds(seconds),
        cpu_seconds=seconds * job.spec.compute.threads,
        hyperparameters=own,
        reference=reference,
        train=prepared.train,
        starts=prepared.starts,
        seeds=[worker_seeds(seed_root, job.spec, n) for n in range(len(prepared.starts))],
        oracle=oracle,
        nudge=job.nudge,
    )


def split_values(spec: RunSpec) -> tuple[dict[str, Value], dict[str, Value]]:
    """The method's own hyperparameters and the reference optimizer's."""
    items, cut = spec.hyperparameters.items(), len(REFERENCE_PREFIX)
    own = {key: value for key, value in items if not key.startswith(REFERENCE_PREFIX)}
    return own, {key[cut:]: value for key, value in items if key not in own}


def worker_seeds(seed_root: str, spec: RunSpec, start: int) -> WorkerSeeds:
    """The seeds of one start: they depend on the task and the repetition, not on the method."""
    name = (spec.task.slug, spec.repetition, "worker", start)
    order, augment, method = (
        derive_seed(seed_root, *name, part) for part in ("order", "augment", "method")
    )
    return WorkerSeeds(order=order, augment=augment, method=method)


def _seed_root(spec: RunSpec, epoch: Epoch | None) -> str:
    """The root of the run's seeds: the scorer gets it, a worker gets only seeds drawn from it."""
    if spec.epoch is None:
        return RULESET.seed_root
    if epoch is None or epoch.name != spec.epoch:
        raise EpochError(f"run {spec.id} has the hidden seeds of the epoch {spec.epoch}")
    return epoch.seed_root


def _hung(spec: RunSpec, ended: Ended) -> RunHung:
    """Where a run hung, and that nothing was recorded: the machine may be at fault."""
    point = "" if spec.point is None else f", point {spec.point}"
    return RunHung(
        f"{spec.method.slug} on {spec.task.slug} (repetition {spec.repetition}{point}): "
        f"stopped as it did not end: {ended.cpu_seconds:.3g} s of CPU time used in "
        f"{ended.wall_seconds:.3g} s; nothing was recorded, the next command tries it again"
    )


def check_unchanged(job: Job) -> None:
    """Refuse a run whose code is no longer what its spec says: it may have had either.

    A run's process gets the files as they lie there when it starts, and imports libraries itself.

    Raises:
        UnusableMethod: the method is another one now.
        PluginError: the task is.
    """
    advice = "this run was not recorded; the same command runs what is there now"
    if why := changed(job.spec.task, task_ref(job.task)):
        raise PluginError(f"edited while it ran: the task {why}; {advice}")
    try:
        why = changed(job.spec.method, method_ref(job.method))
    except PluginError as error:
        raise UnusableMethod(f"edited while it ran: {error}") from error
    if why:
        raise UnusableMethod(f"edited while it ran: the method {why}; {advice}")


def _check_disk(folder: Path) -> None:
    """Raise StorageError on a full disk: a run that failed there says nothing of its method."""
    if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
        raise disk_full(folder)


def _record(job: Job, trained: Trained, reproduce: str, processes: Processes) -> RunRecord:
    ended, outcome, scored = trained.ended, trained.outcome, trained.scored
    device = "gpu" if processes.compute.accelerator == "gpu" else "cpu"
    claimed = outcome.usage.model_dump() if outcome else {}
    claimed |= trained.oracle.model_dump(exclude_none=True, exclude={"cpu_seconds"})
    # A process that was stopped for a while counts that time as training; the worker does not.
    claimed["train_seconds"] = min(claimed.get("train_seconds", 0.0), ended.wall_seconds)
    record = RunRecord(
        id=job.spec.id,
        spec=job.spec,
        space=job.space,
        family=job.task.card.family,
        tier=job.task.card.tier,
        status=trained.status,
        message=plain_text(trained.message[:MAX_MESSAGE]),
        result=scored.result if scored else None,
        curve=_curve(outcome, scored, ended.wall_seconds) if outcome and scored else [],
        usage=Usage(
            **claimed,
            wall_seconds=ended.wall_seconds,
            cpu_seconds=ended.cpu_seconds + trained.oracle.cpu_seconds,
            peak_bytes=ended.peak_bytes,
        ),
        environment=Environment(
            assay=__version__,
            device=device,
            **_source(),
            **processes.machine.model_dump(exclude={"gpus"}),
        ),
        isolation=mechanisms.describe(
            processes.mechanism, ended.probe_hash, oracle=job.task.card.family == "functions"
        ),
        scorer_version=SCORER_VERSION,
        weights_sha256=scored.weights_sha256 if scored else None,
        checks=checks(outcome, scored),
        reproduce=reproduce,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    return rounded(record)


def _curve(outcome: Outcome, scored: Scored, wall_seconds: float) -> list[CurvePoint]:
    return [
        CurvePoint(
            batch=entry.batch,
            passes=point.passes,
            example_passes=point.example_passes,
            seconds=min(entry.seconds, wall_seconds),
            train_loss=entry.train_loss,
            start=entry.start,
            val=point.val,
            test=point.test,
            x=point.x,
            y=point.y,
        )
        for entry, point in zip(outcome.snapshots, scored.curve, strict=False)
    ]


@cache
def _source() -> dict[str, Any]:
    """Commit and dirty flag of the checkout this runs from, and its lock file's hash, if any."""
    root = paths.ROOT
    lock = root / "constraints.txt"
    found: dict[str, Any] = {"commit": None, "dirty": None}
    found["lock_hash"] = sha256(lock.read_bytes()) if lock.is_file() else None
    if (root / ".git").exists():
        try:
            head = _git(root, "rev-parse", "HEAD")
            changed = _git(root, "status", "--porcelain", "--untracked-files=no")
            found |= {"commit": head, "dirty": bool(changed)}
        except (OSError, subprocess.SubprocessError):
            pass
    return found


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
