"""What the user asked to run: which methods on which tasks, and on which device."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.engine.servers import SCHEME, is_postgresql, nameless, scheme_of
from assay.epochs import Epoch
from assay.errors import AssayError, PluginError, UnknownName
from assay.plugins.packages import lacking_packages
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    find_method,
    illegal,
    namesake,
    unrecordable,
)
from assay.records.schema import MAX_THREADS, Compute
from assay.ruleset import MAX_REPETITIONS, Arm, Preset

Pairs = list[tuple[TaskEntry, MethodEntry]]


@dataclass(frozen=True)
class RayOptions:
    """Runs are done on the nodes of a Ray cluster."""

    address: str | None = None
    """As Ray has it ("auto", "host:port"); None: a Ray of this machine, started for the command."""
    gpus_per_run: float = 0.0
    """GPUs that a run holds; a fraction shares one."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for."""

    methods: Sequence[str]
    tasks: Sequence[TaskEntry]
    results: Path
    preset: Preset = "full"
    repetitions: int | None = None
    """How many, instead of the tier's."""
    workers: int | None = None
    threads: int = 1
    accelerator: str = "auto"
    isa: str = "avx2"
    allow_weaker: bool = False
    mlflow: str | None = None
    """A tracking server or a PostgreSQL database; "off": neither MLflow nor Optuna gets a copy."""
    optuna_storage: str | None = None
    """A PostgreSQL database."""
    as_json: bool = False
    ray: RayOptions | None = None
    """None: runs are done on this machine."""
    epoch: Epoch | None = None
    """Repetitions with this epoch's hidden seeds instead of the public ones."""
    arms: Sequence[Arm] = ("first",)
    """Of the A/A control. With the second, no `methods` means each task's reference."""

    def __post_init__(self) -> None:
        """Refuse a number of repetitions that the statistics cannot enumerate, one of threads that
        no record can hold, one of workers that is none, and a storage that is none.

        Raises:
            AssayError: a number is out of range, the storage is no PostgreSQL database, or MLflow's
                address is none.
        """
        scheme = scheme_of(self.mlflow or "off")
        named = (None, "off", "databricks", "databricks-uc")
        if self.mlflow not in named and scheme in ("no address", "file"):
            raise AssayError(
                "MLflow: expected a tracking server, http://HOST:PORT, or a PostgreSQL database, "
                f"{SCHEME}://USER@HOST/NAME, or off, got {scheme}; without one it is mlflow.db in "
                "the results folder"
            )
        if self.optuna_storage is not None:
            if not is_postgresql(self.optuna_storage):
                raise AssayError(
                    f"Optuna's storage: expected a PostgreSQL database, {SCHEME}://USER@HOST/NAME, "
                    f"got {scheme_of(self.optuna_storage)}; without one it is optuna.db in the "
                    "results folder"
                )
            if nameless(self.mlflow or "") == nameless(self.optuna_storage):
                raise AssayError(
                    "MLflow and Optuna were given one database, but both keep the version of their "
                    "tables in one place of it; expected a database of its own for each"
                )
            if self.mlflow == "off":
                raise AssayError(
                    "Optuna's storage was given with MLflow off, which leaves out both copies; "
                    "give one of the two"
                )
        if self.repetitions is not None and not 1 <= self.repetitions <= MAX_REPETITIONS:
            raise AssayError(
                f"repetitions: expected 1 to {MAX_REPETITIONS}, got {self.repetitions}"
            )
        if not 1 <= self.threads <= MAX_THREADS:
            raise AssayError(f"threads: expected 1 to {MAX_THREADS}, got {self.threads}")
        if self.workers is not None and self.workers < 1:
            raise AssayError(f"workers: expected at least 1, got {self.workers}")


def chosen_pairs(request: RunRequest, say: Callable[[str], None]) -> Pairs:
    """Legal (task, method) pairs; tells `say` which methods are left out.

    Raises:
        PluginError: methods that do not exist, share a name, need packages that are not installed,
            have the name of another one that is entered here, or a path that no record can hold,
            as tasks may; names all of them.
        AssayError: no method or no task is given, or no pair is legal.
    """
    methods: list[MethodEntry] = []
    problems = [taken for task in request.tasks if (taken := namesake(task))]
    references = {task.card.reference for task in request.tasks}
    of_references = "second" in request.arms and not request.methods
    if not request.tasks or not (request.methods or of_references):
        raise AssayError(f"no {'method' if request.tasks else 'task'} was given; expected some")
    for name in sorted(references) if of_references else dict.fromkeys(request.methods):
        try:
            methods.append(method := find_method(name))
            if taken := namesake(method):
                problems.append(taken)
            if lacking := lacking_packages(method.card):
                problems.append(lacking)
        except AssayError as error:
            problems.append(str(error))
    given: list[TaskEntry | MethodEntry] = [*request.tasks, *methods]
    problems += [said for one in given if (said := unrecordable(one))]
    slugs = [method.card.slug for method in methods]
    problems += [
        f"two of the methods given are called {slug}"
        for slug in sorted({slug for slug in slugs if slugs.count(slug) > 1})
    ]
    if problems:
        raise PluginError("\n".join(problems))
    pairs, refused = legal_pairs(request.tasks, methods)
    if of_references:
        return [(task, method) for task, method in pairs if method.card.slug == task.card.reference]
    if not pairs:
        raise AssayError("nothing can be run: " + "; ".join(refused))
    entered = {method.card.slug for _, method in pairs}
    for method in methods:
        if method.card.slug not in entered:
            reasons = legal_pairs(request.tasks, [method])[1]
            say(f"left out: {reasons[0]}")
    return pairs


def by_device(request: RunRequest, pairs: Pairs) -> Iterator[tuple[Compute, int, Pairs]]:
    """Pairs grouped by device, each with its number of workers on this machine.

    Under "auto" tasks above the lite tier, functions aside, go to a GPU if there is one; on a
    cluster, if runs hold one.
    """
    if request.accelerator not in ("auto", "cpu", "gpu"):
        raise UnknownName("accelerator", request.accelerator, ["auto", "cpu", "gpu"])
    if request.isa not in ("avx2", "native"):
        raise UnknownName("instruction set", request.isa, ["avx2", "native"])
    n_gpus = _n_gpus() if request.ray is None else math.ceil(request.ray.gpus_per_run)
    on_gpu: Pairs = []
    on_cpu: Pairs = []
    for pair in pairs:
        small = pair[0].card.tier == "lite" or pair[0].card.family == "functions"
        wants = request.accelerator == "gpu" or (
            request.accelerator == "auto" and n_gpus and not small
        )
        (on_gpu if wants else on_cpu).append(pair)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if on_cpu:
        n_workers = request.workers or max(1, (cores or 1) // request.threads)
        yield Compute(threads=request.threads, isa=request.isa), n_workers, on_cpu
    if on_gpu:
        compute = Compute(accelerator="gpu", threads=request.threads, isa=request.isa)
        yield compute, request.workers or max(1, n_gpus), on_gpu


def _n_gpus() -> int:
    """GPUs as the system lists them; torch is not imported here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() not in ("", "-1")])
    return len([path for path in Path("/dev").glob("nvidia[0-9]*")])


def legal_pairs(
    tasks: Sequence[TaskEntry], methods: Sequence[MethodEntry]
) -> tuple[list[tuple[TaskEntry, MethodEntry]], list[str]]:
    """Pairs that may run, and why the others may not (each reason once)."""
    pairs, refused = [], []
    for task in tasks:
        for method in methods:
            reason = illegal(method.card, task.card)
            if reason is None:
                pairs.append((task, method))
            else:
                refused.append(reason)
    return pairs, list(dict.fromkeys(refused))
