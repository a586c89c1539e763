"""What a worker's child does with a plugin: describe it, try it out, or train it.

Imports stand inside the functions: what a run needs, the worker has imported before it forks.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def answer(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What `request` asks for, done here and now; files that it leaves go to `folder`."""
    given = {**request, "folder": str(folder)}
    if "shared" in given:  # a probe continues what an earlier one began
        shutil.copytree(given["shared"], folder / "shared")
        given["shared"] = str(folder / "shared")
    commands = {"run": _run, "describe": _describe, "probe": _probe}
    return commands[request["command"]](given)


def _describe(request: dict[str, Any]) -> dict[str, Any]:
    """A method as data: its hooks, and its search space in every family."""
    from assay.errors import AssayError
    from assay.method import method_space, overridden_hooks
    from assay.plugins.loading import load_method

    try:
        method = load_method(Path(request["method"]))
        return {
            "hooks": overridden_hooks(method),
            "spaces": {
                family: method_space(method, family).model_dump(mode="json")
                for family in request["families"]
            },
        }
    except AssayError as error:
        return {"error": str(error)}


def _probe(request: dict[str, Any]) -> dict[str, Any]:
    """One of the probes of `assay check`."""
    from assay.worker import probe_method, probe_task

    probes = {
        "load": probe_method.load,
        "method": probe_method.probe_method,
        "task_fit": probe_method.probe_task_fit,
        "task": probe_task.probe_task,
    }
    return probes[request["probe"]](request)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """Train; the outcome says how it ended and lists the snapshots."""
    from assay.errors import AssayError
    from assay.plugins.loading import describe
    from assay.worker.session import Diverged

    trace: dict[str, Any] = {"snapshots": [], "usage": {}}
    source = Path(request["method"])
    try:
        _train(request, trace)
        return {"status": "completed", "message": "", **trace}
    except Diverged as error:
        return {"status": "diverged", "message": str(error), **trace}
    except AssayError as error:
        return {"status": "failed", "message": str(error), **trace}
    except Exception as error:
        import traceback

        traceback.print_exc()
        return {"status": "failed", "message": describe(error, source), **trace}


def _train(request: dict[str, Any], trace: dict[str, Any]) -> None:
    import torch
    from safetensors.torch import load_file

    from assay.method import hyperparameters_for
    from assay.plugins.loading import load_method, load_task
    from assay.space import checked_values
    from assay.untrusted.weights import write_tensors
    from assay.worker.session import Point, Session, WorkerSeeds
    from assay.worker.training import train

    folder = Path(request["folder"])
    device = torch.device("cuda" if request["visible_gpu"] is not None else "cpu")
    task = load_task(Path(request["task"]))
    method_class = load_method(Path(request["method"]))
    values = checked_values(
        hyperparameters_for(method_class, task.card.family), request["hyperparameters"]
    )
    tensors = load_file(request["train"])
    sessions = [
        Session(
            task=task,
            method=method_class(values),
            access=frozenset(request["access"]),
            reference=request["reference"],
            train=tensors,
            start=load_file(start),
            seeds=WorkerSeeds(**seeds),
            device=device,
        )
        for start, seeds in zip(request["starts"], request["seeds"], strict=True)
    ]

    def on_point(number: int, point: Point) -> None:
        name = f"start{number}-{point.batch}.safetensors"
        write_tensors(point.state, folder / name)
        trace["snapshots"].append(
            {
                "file": name,
                "start": number,
                "batch": point.batch,
                "passes": point.passes,
                "example_passes": point.example_passes,
                "seconds": point.seconds,
                "train_loss": point.train_loss,
            }
        )

    try:
        train(sessions, on_point)
    finally:
        trace["first_losses"] = [session.first_loss for session in sessions]
        trace["usage"] = {
            "batches": sum(session.plan.batch for session in sessions),
            "passes": sum(session.counter.passes for session in sessions),
            "examples": sum(session.plan.examples for session in sessions),
            "example_passes": sum(session.counter.example_passes for session in sessions),
            "train_seconds": sum(session.seconds for session in sessions),
            "optimizer_state_bytes": sessions[-1].optimizer_state_bytes(),
        }
