"""What a worker's child does with a plugin: describe it, try it out, or train it.

Imports stand inside the functions: the worker has imported what a run needs before it forks, and
the rest is for few requests.
"""

from __future__ import annotations

import io
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from assay.messages.form import ORACLE, SNAPSHOTS, clip
from assay.messages.worker import (
    Describe,
    Description,
    Load,
    Outcome,
    ProbeMethod,
    ProbeParity,
    ProbeTask,
    ProbeTaskFit,
    Refusal,
    Run,
    SnapshotEntry,
    WorkerRequest,
)
from assay.records.schema import TrainingUsage


@dataclass
class _Trace:
    """What is known of a run so far; what an exception leaves of it is reported."""

    snapshots: list[SnapshotEntry] = field(default_factory=list)
    usage: TrainingUsage = field(default_factory=TrainingUsage)
    first_losses: list[float | None] = field(default_factory=list)


def answer(request: WorkerRequest, folder: Path) -> BaseModel:
    """Do a request here and now; its answer.

    Args:
        request: what to do.
        folder: for the files that it leaves.
    """
    if not isinstance(request, Run) and isinstance(sys.stdout, io.TextIOWrapper):
        # `assay check` shows what is printed, in order, even if the process is killed.
        sys.stdout.reconfigure(line_buffering=True)
    match request:
        case Run():
            return _run(request, folder)
        case Describe():
            return _describe(request)
        case Load():
            from assay.worker.probe_method import load

            return load(request)
        case ProbeParity():
            return _probe_parity(request)
        case ProbeMethod() | ProbeTaskFit() | ProbeTask():
            # A copy, as the inbox cannot be written to. It goes back to the supervisor.
            shared = folder / "shared"
            shutil.copytree(request.shared, shared)
            return _probe(request.model_copy(update={"shared": shared}))


def _probe(request: ProbeMethod | ProbeTaskFit | ProbeTask) -> BaseModel:
    from assay.worker import probe_method, probe_task

    match request:
        case ProbeMethod():
            return probe_method.probe_method(request)
        case ProbeTaskFit():
            return probe_method.probe_task_fit(request)
        case ProbeTask():
            return probe_task.probe_task(request)


def _probe_parity(request: ProbeParity) -> BaseModel:
    from assay.errors import AssayError
    from assay.worker.parity import probe_parity

    try:
        return probe_parity(request)
    except AssayError as error:
        return Refusal(error=clip(str(error)))


def _describe(request: Describe) -> Description | Refusal:
    from assay.errors import AssayError
    from assay.method import method_space, overridden_hooks
    from assay.plugins.loading import load_method
    from assay.worker.hook_mistakes import hook_mistakes

    try:
        method = load_method(request.method, request.entry_point, request.packages)
        fatal = [mistake.text for mistake in hook_mistakes(method, request.method) if mistake.fatal]
        if fatal:  # every run would fail
            return Refusal(error=clip("; ".join(fatal)))
        spaces = {family: method_space(method, family) for family in request.families}
        return Description(hooks=overridden_hooks(method), spaces=spaces)
    except AssayError as error:
        return Refusal(error=clip(str(error)))


def _run(request: Run, folder: Path) -> Outcome:
    """Train; how it ended, and the snapshots that were written to `folder`."""
    from assay.errors import AssayError
    from assay.worker.findings import explained
    from assay.worker.session import Diverged

    trace = _Trace()
    status: Literal["completed", "diverged", "failed"] = "failed"
    try:
        _train(request, folder, trace)
        status, message = "completed", ""
    except Diverged as error:
        status, message = "diverged", str(error)
    except AssayError as error:
        message = str(error)
    except Exception as error:
        import traceback

        traceback.print_exc()
        message = explained(error, request.method)
    return Outcome(
        status=status,
        message=clip(message),
        snapshots=trace.snapshots,
        usage=trace.usage,
        first_losses=trace.first_losses,
    )


def _train(request: Run, folder: Path, trace: _Trace) -> None:
    import torch
    from safetensors.torch import load_file

    from assay.families.oracle import Oracle
    from assay.method import hyperparameters_for
    from assay.plugins.loading import load_method, load_task
    from assay.space import checked_values
    from assay.untrusted.weights import snapshot_bytes
    from assay.worker.nudge import Nudge
    from assay.worker.oracle_client import OracleConnection, RemoteOracle
    from assay.worker.session import Point, Session
    from assay.worker.training import train

    device = torch.device("cuda" if request.visible_gpu is not None else "cpu")
    task = load_task(request.task)
    method_class = load_method(request.method, request.entry_point, request.packages)
    values = checked_values(
        hyperparameters_for(method_class, task.card.family), request.hyperparameters
    )
    tensors = load_file(request.train)
    starts = [load_file(start) for start in request.starts]
    oracles: list[Oracle | None] = [None] * len(starts)
    if request.oracle is not None:
        connection = OracleConnection(
            socket.socket(fileno=ORACLE), starts[0], len(tensors["inputs"])
        )
        oracles = [RemoteOracle(connection, number) for number in range(len(starts))]
    sessions = [
        Session(
            task=task,
            method=method_class(values),
            access=frozenset(request.access),
            reference=request.reference,
            train=tensors,
            start=start,
            seeds=seeds,
            device=device,
            oracle=oracle,
            thresholds=request.thresholds,
            nudge=Nudge(request.nudge) if request.nudge else None,
        )
        for start, seeds, oracle in zip(starts, request.seeds, oracles, strict=True)
    ]

    def on_point(number: int, point: Point) -> None:
        data = snapshot_bytes(point.state)
        with (folder / SNAPSHOTS).open("ab") as file:
            file.write(data)
        entry = SnapshotEntry(
            n_bytes=len(data),
            start=number,
            batch=point.batch,
            passes=point.passes,
            example_passes=point.example_passes,
            seconds=point.seconds,
            train_loss=point.train_loss,
        )
        trace.snapshots.append(entry)

    try:
        train(sessions, on_point)
    finally:
        trace.first_losses = [session.first_loss for session in sessions]
        trace.usage = TrainingUsage(
            batches=sum(session.plan.batch for session in sessions),
            passes=sum(session.counter.passes for session in sessions),
            examples=sum(session.plan.examples for session in sessions),
            example_passes=sum(session.counter.example_passes for session in sessions),
            train_seconds=sum(session.seconds for session in sessions),
            optimizer_state_bytes=sessions[-1].optimizer_state_bytes(),
        )
