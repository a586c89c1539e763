"""The worker: a process that imports torch and Lightning once and forks for each run.

It speaks JSON lines with the supervisor; the first line says in which sandbox it stands. A forked
child looks around itself, imports the method, trains, and writes snapshots and `outcome.json`
into the one folder it can write to; the parent only waits, measures, kills and then hands over
what the child left. The parent never imports a plugin, so one run leaves nothing behind for the
next, and it is closed to its children: they share a user, not its memory or descriptors.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.identity import sha256
from assay.sandbox import landlock
from assay.worker.fork import WorkerSetup, _close_to_children, run_in_child

PRELOADED = (
    "assay.worker.training",
    "assay.families.class_imbalance",
    "assay.families.functions",
    "assay.families.noisy_labels",
    "assay.families.quantization",
    "safetensors.torch",
    "pytorch_optimizer",
)


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


def _place(given: Mapping[str, Any]) -> WorkerSetup:
    """The configuration as the supervisor gives it (isolation.launch_worker)."""
    place = WorkerSetup(given["mechanism"], Path(given["out"]), given["results"], given["expected"])
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

    from assay.families.toys import toy_card, toy_task
    from assay.method import Method
    from assay.worker.session import Session, WorkerSeeds
    from assay.worker.training import train

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
        seeds=WorkerSeeds(order=1, augment=2, method=3),
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


if __name__ == "__main__":
    main()
