"""The worker: a process that imports torch and Lightning once and forks for each run.

It speaks JSON lines with the supervisor. A forked child imports the method, trains, writes
snapshots and `outcome.json` into the run's folder and exits; the parent only waits, measures and
kills. The parent never imports a plugin, so one run leaves nothing behind for the next.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

PRELOADED = (
    "suite.training",
    "suite.families.class_imbalance",
    "suite.families.functions",
    "suite.families.noisy_labels",
    "suite.families.quantization",
    "safetensors.torch",
    "pytorch_optimizer",
)

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve requests until stdin closes."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints, prints to the log
    _preload()
    channel.write(json.dumps({"ready": describe_machine()}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        channel.write(json.dumps(_forked(request, channel.fileno())) + "\n")


def _preload() -> None:
    """Import what every run needs, so that a forked child starts at once."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    import torch

    for name in PRELOADED:
        importlib.import_module(name)
    for name in ("pytorch_lightning", "lightning_fabric"):  # they set their level on import
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs time and would only hide a plugin that reads it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    gc.collect()
    gc.freeze()


def describe_machine() -> dict[str, Any]:
    """What the record says of the machine; no host name, user or path."""
    import torch

    from suite.identity import sha256

    name, flags = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        for row in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = row.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = " ".join(sorted(value.split()))
                break
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": name,
        "cpu_flags_hash": sha256(flags),
        "gpus": torch.cuda.device_count(),
    }


def _forked(request: dict[str, Any], channel: int) -> dict[str, Any]:
    """Run a request in a child; how it ended and what it used, measured from outside."""
    began = time.monotonic()
    alive, child_end = os.pipe()
    worker = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(channel)  # only the worker answers, and its death closes the channel at once
        _die_with(worker)
        _child(request)  # never returns
    os.close(child_end)
    try:
        # One request at a time: stdin is readable during a run only if the supervisor is gone.
        ended, _, _ = select.select([alive, sys.stdin], [], [], request["seconds"])
        timed_out = not ended
    finally:
        os.close(alive)
        _kill_group(pid)
    _, status, usage = os.wait4(pid, 0)
    if ended and alive not in ended:
        os._exit(0)
    return {
        "timed_out": timed_out,
        "exit": os.waitstatus_to_exitcode(status),
        "wall_seconds": time.monotonic() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def _die_with(worker: int) -> None:
    """A worker that is killed takes its run with it; where Linux is not, the run ends by itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker:
            os._exit(1)


def _kill_group(pid: int) -> None:
    """Nothing a run started outlives it."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _child(request: dict[str, Any]) -> None:
    """The forked process: do what is asked, leave outcome.json, exit."""
    code = 1
    try:
        os.setsid()
        folder = Path(request["folder"])
        output = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if request["visible_gpu"] is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = str(request["visible_gpu"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        outcome = {"run": _run, "describe": _describe, "probe": _probe}[request["command"]](request)
        partial = folder / "outcome.partial"
        partial.write_text(json.dumps(outcome, allow_nan=False))
        partial.rename(folder / "outcome.json")
        code = 0
    except BaseException as error:  # the log is all that can still be told
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _describe(request: dict[str, Any]) -> dict[str, Any]:
    """A method as data: its hooks, and its search space in every family."""
    from suite.errors import AssayError
    from suite.method import method_space, overridden_hooks
    from suite.registry import load_method

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
    from suite import auditing, probing

    probes = {
        "load": probing.load,
        "toys": probing.make_toys,
        "method": probing.probe_method,
        "resume": probing.probe_resume,
        "task": auditing.probe_task,
    }
    return probes[request["probe"]](request)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """Train; the outcome says how it ended and lists the snapshots."""
    from suite.errors import AssayError
    from suite.registry import describe
    from suite.training import Diverged

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

    from suite.method import hyperparameters_for
    from suite.registry import load_method, load_task
    from suite.space import checked_values
    from suite.training import Point, Seeds, Session, train
    from suite.weights import write_tensors

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
            seeds=Seeds(**seeds),
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
                "seconds": point.seconds,
                "train_loss": point.train_loss,
            }
        )

    try:
        train(sessions, on_point)
    finally:
        trace["first_losses"] = [session.first_loss for session in sessions]
        trace["usage"] = {
            "batches": sum(session.spent.batches for session in sessions),
            "passes": sum(session.spent.passes for session in sessions),
            "examples": sum(session.spent.examples for session in sessions),
            "train_seconds": sum(session.spent.seconds for session in sessions),
            "optimizer_state_bytes": sessions[-1].optimizer_state_bytes(),
        }


if __name__ == "__main__":
    main()
