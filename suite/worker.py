"""The worker: a process that imports torch and Lightning once and forks for each run.

It speaks JSON lines with the supervisor; the first line says in which sandbox it stands. A forked
child looks around itself, imports the method, trains, and writes snapshots and `outcome.json`
into the one folder it can write to; the parent only waits, measures, kills and then hands over
what the child left. The parent never imports a plugin, so one run leaves nothing behind for the
next, and it is closed to its children: they share a user, not its memory or descriptors.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import select
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite import landlock, limits, seccomp, selfprobe
from suite.answering import answer
from suite.identity import sha256
from suite.leavings import empty, hand_over
from suite.limits import Limit, Watch

PRELOADED = (
    "suite.training",
    "suite.families.class_imbalance",
    "suite.families.functions",
    "suite.families.noisy_labels",
    "suite.families.quantization",
    "safetensors.torch",
    "pytorch_optimizer",
)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
DEVIATES = 97
"""Exit code of a child that refuses to load a plugin."""
KEPT = 3
"""The child's end of the pipe that carries what it saw, until a plugin is loaded."""
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Place:
    """Where the worker stands."""

    mechanism: str
    out: Path
    """What a run may write to."""
    results: int
    """Descriptor of the folder for what a run left."""
    expected: Mapping[str, Any]
    """See selfprobe.deviations."""
    rules: int | None = None
    """Landlock's, which a child enters."""

    @property
    def own_namespace(self) -> bool:
        """Whether every other process that can be seen belongs to the run."""
        return self.mechanism == "bubblewrap"

    @property
    def folder(self) -> Path:
        """Of the run that goes on."""
        return self.out / "run"


def main() -> None:
    """Serve requests until stdin closes."""
    given = json.loads(sys.stdin.readline())
    place = _place(given)
    os.set_inheritable(place.results, False)
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints, prints to the log
    (place.out / "tmp").mkdir(exist_ok=True)
    _preload()
    _close_to_children()
    channel.write(json.dumps({"ready": describe_machine()}) + "\n")
    for line in sys.stdin:
        channel.write(json.dumps(run_in_child(json.loads(line), place)) + "\n")


def _close_to_children() -> None:
    """No child may read this process, though it is the same user; orphans come back to it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _place(given: Mapping[str, Any]) -> Place:
    """The configuration as the supervisor gives it (isolation.launch_worker)."""
    place = Place(given["mechanism"], Path(given["out"]), given["results"], given["expected"])
    if place.mechanism != "landlock":
        return place
    null, *devices = (Path("/dev") / name for name in ("null", "zero", "urandom", "random"))
    rules = landlock.ruleset(
        readable=[*map(Path, given["readable"]), Path(given["in"]), Path("/proc"), *devices],
        writable=[place.out, null],
        masked=[Path(path) for path in given["masked"]],
    )
    return replace(place, rules=rules)


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
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(1)  # more would start a pool of threads, which a fork does not survive
    _warm_up()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    # Filling fresh memory costs time and would only hide a plugin that reads it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Train a toy for two batches on noise.

    The first backward pass and the first Trainer of a process take some 40 ms longer than the
    next ones; without this every run would pay for that again.
    """
    import torch

    from suite.method import Method
    from suite.session import Seeds, Session
    from suite.toys import toy_card, toy_task
    from suite.training import train

    card = toy_card("class_imbalance")
    budget = card.budget.model_copy(update={"batches": 2})
    task = toy_task(card.model_copy(update={"budget": budget}))
    n = budget.batch_size
    tensors = {"inputs": torch.rand(n, 1, 8, 8), "targets": torch.arange(n) % card.n_classes}
    session = Session(
        task=task,
        method=Method(Method.Hyperparameters()),
        access=frozenset(),
        reference={},
        train=tensors,
        start=task.build_model(tensors).state_dict(),
        seeds=Seeds(order=1, augment=2, method=3),
        device=torch.device("cpu"),
    )
    train([session], lambda _, point: None)


def describe_machine() -> dict[str, Any]:
    """What the record says of the machine; no host name, user or path."""
    import torch

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


def run_in_child(request: dict[str, Any], place: Place) -> dict[str, Any]:
    """Do what is asked in a child; how it ended and what it used, measured from outside."""
    began = time.monotonic()
    place.folder.mkdir()
    (place.out / "tmp").mkdir(exist_ok=True)
    cpu = limits.cpu_seconds(request["seconds"], int(os.environ["OMP_NUM_THREADS"]))
    watch = Watch(place.out, cpu=cpu, own_namespace=place.own_namespace)
    saw, child_end = os.pipe()
    worker = os.getpid()
    pid = os.fork()
    if pid == 0:
        _die_with(worker)
        _child(request, place, child_end)  # never returns
    os.close(child_end)
    try:
        facts = _read_facts(saw, began + request["seconds"])
        limit = _supervise(pid, watch, began + request["seconds"])
    finally:
        os.close(saw)
        limits.kill_all(own_namespace=place.own_namespace)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    limits.end_all(own_namespace=place.own_namespace)
    code = os.waitstatus_to_exitcode(status)
    answer = {
        "limit": limit or _limit_of_signal(code),
        "exit": code,
        "wall_seconds": time.monotonic() - began,
        "cpu_seconds": watch.cpu_seconds(),
        "peak_bytes": usage.ru_maxrss * 1024,
        "probe_hash": sha256(json.dumps(facts, sort_keys=True)) if facts is not None else None,
        "deviations": selfprobe.deviations(facts, place.expected) if facts is not None else [],
    }
    hand_over(place.folder, place.results)
    empty(place.out)
    if place.own_namespace:
        empty(SHARED_MEMORY)
    return answer


def _read_facts(saw: int, deadline: float) -> selfprobe.Facts | None:
    """What the child saw before it loaded a plugin; None if it ended before."""
    text = b""
    while select.select([saw], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(saw, 65536)
        text += part
        if not part:
            break
    try:
        facts: selfprobe.Facts = json.loads(text)
    except ValueError:
        return None
    return facts


def _supervise(pid: int, watch: Watch, deadline: float) -> Limit | None:
    """Wait until the child ends or a limit is reached; exit if the supervisor is gone."""
    ended = os.pidfd_open(pid) if sys.platform == "linux" else None
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "wall time"
            waited = [sys.stdin] if ended is None else [sys.stdin, ended]
            ready, _, _ = select.select(waited, [], [], min(left, limits.POLL_SECONDS))
            # One request at a time: stdin is readable during a run only if the supervisor is gone.
            if sys.stdin in ready:
                limits.end_all(own_namespace=watch.own_namespace)
                os._exit(0)
            if limit := watch.exceeded():
                return limit
            if ended in ready or _has_ended(pid):
                return None
    finally:
        if ended is not None:
            os.close(ended)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _limit_of_signal(code: int) -> Limit | None:
    """The limit that the kernel enforces by a signal."""
    return "file size" if code == -signal.SIGXFSZ else None


def _die_with(worker: int) -> None:
    """A worker that is killed takes its run with it; where Linux is not, the run ends by itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker:
            os._exit(1)


def _child(request: dict[str, Any], place: Place, saw: int) -> None:
    """The forked process: look around, do what is asked, leave outcome.json, exit."""
    code = 1
    try:
        os.setsid()
        if place.rules is not None:
            landlock.enter(place.rules)
            landlock.drop_capabilities()
            landlock.filter_calls(seccomp.program())
        _take_over_descriptors(place.folder, saw)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        on_gpu = request["visible_gpu"] is not None
        limits.apply(own_namespace=place.own_namespace, address_space=not on_gpu)
        facts = selfprobe.look(kept=KEPT, own_namespace=place.own_namespace)
        if selfprobe.deviations(facts, place.expected):
            code = DEVIATES
        _write_all(KEPT, json.dumps(facts).encode())
        os.close(KEPT)
        if code == DEVIATES:
            return
        if on_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = str(request["visible_gpu"])
        outcome = answer(request, place.folder)
        partial = place.folder / "outcome.partial"
        partial.write_text(json.dumps(outcome, allow_nan=False))
        partial.rename(place.folder / "outcome.json")
        code = 0
    except BaseException as error:  # the log is all that can still be told
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _take_over_descriptors(folder: Path, saw: int) -> None:
    """Standard streams of its own, one pipe to the worker, nothing else."""
    log = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    kept = os.dup(saw) if saw == KEPT else saw
    for number, descriptor in ((0, null), (1, log), (2, log), (KEPT, kept)):
        os.dup2(descriptor, number)
    os.set_inheritable(KEPT, False)
    os.closerange(KEPT + 1, 65536)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main()
