"""Runs on a cluster instead of this machine's pool."""

from __future__ import annotations

import importlib.util
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from assay.engine.executors.cluster import ClusterExecutor
from assay.engine.executors.slot import SlotSetup
from assay.engine.planning import RayOptions, RunRequest
from assay.errors import AssayError, UnknownName, WorkerError
from assay.messages.worker import Machine
from assay.records.schema import Compute

EXECUTORS = ("local", "ray")
CONNECT_SECONDS = 10.0
_ADDRESS = re.compile(r"\[?(?P<host>[^\s/\[\]]+)\]?:(?P<port>\d{1,5})")


def ray_options(
    executor: str, address: str | None, gpus_per_run: float | None, accelerator: str
) -> RayOptions | None:
    """What the options of `assay run` say of a cluster; None: this machine's pool.

    Raises:
        AssayError: they do not fit together.
    """
    if executor not in EXECUTORS:
        raise UnknownName("executor", executor, EXECUTORS)
    if executor == "local":
        for option, given in (("--address", address), ("--gpus-per-run", gpus_per_run)):
            if given is not None:
                raise AssayError(f"{option} was given without --executor ray; expected both")
        return None
    if address is not None and address != "auto" and not _ADDRESS.fullmatch(address):
        raise AssayError(
            f"--address {address}: expected auto or host:port, as `ray start --head` prints it"
        )
    gpus = 1.0 if gpus_per_run is None and accelerator == "gpu" else gpus_per_run or 0.0
    if gpus > 1 or (gpus and accelerator == "cpu") or (accelerator == "gpu" and not gpus):
        raise AssayError(
            f"--gpus-per-run {gpus:g} with --accelerator {accelerator}: expected more than 0 and "
            "at most 1 where runs use a GPU, as each uses one, and none on CPUs"
        )
    return RayOptions(address, gpus)


def check_cluster(options: RayOptions) -> None:
    """Fail now rather than after planning, or after the minutes that Ray itself tries for.

    Raises:
        AssayError: Ray is not installed.
        WorkerError: nothing answers at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise AssayError(
            "--executor ray needs Ray, which is not installed: pip install 'trainassay[ray]'"
        )
    found = _ADDRESS.fullmatch(options.address or "")
    if found is None:
        return
    try:
        where = (found["host"], int(found["port"]))
        socket.create_connection(where, CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise WorkerError(
            f"no Ray at {options.address}: {getattr(error, 'strerror', None) or error}; start one "
            "with `ray start --head` and give the address that it prints"
        ) from error


@contextmanager
def open_cluster(
    request: RunRequest,
    compute: Compute,
    n_workers: int,
    machine: Machine,
    say: Callable[[str], None],
) -> Iterator[ClusterExecutor]:
    """An executor on the request's Ray cluster.

    Args:
        request: whose `ray` says where the cluster is.
        compute: what numbers depend on.
        n_workers: how many runs go on at once where the cluster is this machine.
        machine: this machine, which planned.
        say: gets a line about each node that is refused or lost.

    Raises:
        WorkerError: there is no cluster.
    """
    assert request.ray is not None
    from assay.engine.executors.ray import RayCluster, connected

    n_gpus = request.ray.gpus_per_run if compute.accelerator == "gpu" else 0.0
    wanted = n_workers if request.ray.address is None else request.workers
    setup = SlotSetup(
        compute=compute,
        datasets=sorted({task.card.dataset.name for task in request.tasks}),
        epoch=request.epoch,
        allow_weaker=request.allow_weaker,
    )
    with connected(request.ray.address, n_cpus=compute.threads, n_gpus=n_gpus, n_wanted=wanted):
        executor = ClusterExecutor(
            RayCluster(compute.threads, n_gpus), setup, machine, say, n_wanted=wanted
        )
        try:
            yield executor
        finally:
            executor.abort()
