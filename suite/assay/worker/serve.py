"""The worker: a process that imports torch and Lightning once and forks for each run.

It answers the supervisor in JSON lines (assay.messages); the first line that it reads is its
WorkerStart. A forked child checks its sandbox, imports the method, trains, and writes snapshots and
`outcome.json` to the one folder it can write to. The parent waits, measures, kills, and hands over
what the child left. It never imports a plugin, so nothing of one run is left for the next, and its
children cannot reach its memory or descriptors, though they have its user.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from assay.identity import sha256
from assay.messages.worker import WORKER_REQUEST, Machine, WorkerStart
from assay.records.schema import RUN_LIBRARIES
from assay.sandbox import landlock, namespaces
from assay.worker.fork import WorkerSetup, close_to_children, run_in_child

PRELOADED = (
    "assay.worker.findings",
    "assay.worker.training",
    "assay.worker.oracle_client",
    "assay.families.class_imbalance",
    "assay.families.functions",
    "assay.families.noisy_labels",
    "assay.families.quantization",
    "safetensors.torch",
    "pytorch_optimizer",
)


def main() -> None:
    """Serve requests until stdin closes."""
    setup = _setup(WorkerStart.model_validate_json(sys.stdin.readline()))
    os.set_inheritable(setup.results, False)
    _raise_limit_on_files()
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints, prints to the log
    (setup.out / "tmp").mkdir(exist_ok=True)
    _preload()
    close_to_children()
    channel.write(describe_machine().model_dump_json() + "\n")
    for line in sys.stdin:
        ended = run_in_child(WORKER_REQUEST.validate_json(line), setup)
        channel.write(ended.model_dump_json() + "\n")


def _setup(start: WorkerStart) -> WorkerSetup:
    """What the supervisor said of the sandbox, with what its children need to enter it."""
    setup = WorkerSetup(start.mechanism, start.out, start.results, start.expected, start.user)
    if start.mechanism == "bubblewrap":
        inside = [path.relative_to(start.out) for path in _below(start.readable, start.out)]
        kept = dict.fromkeys(start.out / path.parts[0] for path in inside)
        return replace(setup, home=namespaces.here(), kept=tuple(kept))
    if start.user is not None:
        namespaces.open_to_all(start.readable)
    if start.mechanism != "landlock":
        return setup
    null, *devices = (Path("/dev") / name for name in ("null", "zero", "urandom", "random"))
    rules = landlock.ruleset(
        readable=[*start.readable, start.inbox, Path("/proc"), *devices],
        writable=[start.out, null],
        masked=start.masked,
    )
    return replace(setup, rules=rules)


def _raise_limit_on_files() -> None:
    """Take all open files that are allowed.

    The kernel hands on a descriptor only while those on their way, counted for all processes of a
    user together, are fewer than this limit; a run has a lower one (limits.apply).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _below(paths: Iterable[Path], folder: Path) -> list[Path]:
    return [path for path in paths if path.is_relative_to(folder)]


def _preload() -> None:
    """Import what every run needs, so that a forked child starts at once."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    import torch

    with _without_plots():
        importlib.import_module("pytorch_lightning")
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


@contextlib.contextmanager
def _without_plots() -> Iterator[None]:
    """Keep Lightning's metrics from importing matplotlib and scipy.signal where they find them.

    The two take a third of the CPU time of a worker's start. A method may still import them.
    """
    from lightning_utilities.core import imports

    def available(package: str) -> bool:
        return package != "matplotlib" and found(package)

    def version(package: str) -> str:
        if package == "matplotlib":
            raise importlib.metadata.PackageNotFoundError(package)
        return importlib.metadata.version(package)

    found = imports.package_available
    placeholder = ModuleType("scipy.signal")
    setattr(placeholder, "hamming", None)  # noqa: B010  # they import it to add this name
    sys.modules["scipy.signal"] = placeholder
    setattr(imports, "package_available", available)  # noqa: B010
    setattr(imports, "_version", version)  # noqa: B010
    try:
        yield
    finally:
        del sys.modules["scipy.signal"]
        setattr(imports, "package_available", found)  # noqa: B010
        setattr(imports, "_version", importlib.metadata.version)  # noqa: B010


def _warm_up() -> None:
    """Train a toy for two batches on noise.

    The first backward pass and the first Trainer of a process take some 40 ms longer than later
    ones; without this every child would pay for that.
    """
    import torch

    from assay.families.toys import toy_card, toy_task
    from assay.messages.worker import WorkerSeeds
    from assay.method import Method
    from assay.worker.session import Session
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


def describe_machine() -> Machine:
    """The machine, as records show it."""
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
    return Machine(
        python=platform.python_version(),
        torch=torch.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        cpu=name,
        cpu_flags_hash=sha256(flags),
        gpus=torch.cuda.device_count(),
        libraries={name: importlib.metadata.version(name) for name in RUN_LIBRARIES},
    )


if __name__ == "__main__":
    main()
