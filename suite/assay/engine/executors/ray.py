"""The cluster that Ray runs, here or at an address. Imported only where Ray is asked for.

A slot is an actor that Ray puts on a given node. It holds the CPU threads and the share of a GPU
that one run may use, so Ray puts nothing else there. Where the user wants a number of slots, Ray's
autoscaler is asked for as much.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from assay.engine.executors.cluster import Node, SlotLost
from assay.engine.executors.slot import Slot, SlotSetup
from assay.errors import WorkerError

OBJECT_STORE_BYTES = 256 * 2**20
"""Of a Ray on this machine, to which no data set is ever sent."""
MAX_SAID = 300
"""Characters of what Ray says of an error."""
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
CONTROL, AT_ONCE = "control", ("ping", "close")
"""The group of the calls that are answered while a run goes on, and these calls."""


class SlotProcess:
    """What runs in an actor's process: a slot, whose methods are called by name."""

    def __init__(self, kind: type[Slot], setup: SlotSetup) -> None:
        self._slot = kind(setup)

    def call(self, method: str, *arguments: Any) -> Any:
        """The answer of one of the slot's methods."""
        return getattr(self._slot, method)(*arguments)


_ACTOR = ray.remote(concurrency_groups={CONTROL: 2}, max_restarts=0, max_task_retries=0)(
    SlotProcess
)


class RayCluster:
    """A Cluster of Ray's, to which this process is connected."""

    def __init__(self, n_cpus: float, n_gpus: float, kind: type[Slot] = Slot) -> None:
        """Describe a slot.

        Args:
            n_cpus: CPU threads of a run.
            n_gpus: GPUs of a run; a fraction shares one.
            kind: what to make of it on the node.
        """
        self._needs = {"CPU": n_cpus} | ({"GPU": n_gpus} if n_gpus else {})
        self._kind = kind

    def nodes(self) -> list[Node]:
        found = []
        for node in ray.nodes():
            has, needs = node["Resources"], self._needs.items()
            n_slots = min(int(has.get(name, 0.0) / need + 1e-9) for name, need in needs)
            if node["Alive"] and n_slots:
                name, short = node["NodeName"] or node["NodeManagerAddress"], node["NodeID"][:8]
                found.append(Node(node["NodeID"], f"{name} ({short})", n_slots))
        return found

    def resources(self) -> str:
        has = ray.cluster_resources()
        needs = ", ".join(f"{need:g} {name}" for name, need in self._needs.items())
        there = ", ".join(f"{has.get(name, 0.0):g} {name}" for name in self._needs)
        return f"a run needs {needs} on one node, and the cluster has {there} in all"

    def start(self, node: Node, setup: SlotSetup) -> Any:
        return _ACTOR.options(
            num_cpus=self._needs["CPU"],
            num_gpus=self._needs.get("GPU", 0),
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        ).remote(self._kind, setup)

    def share(self, value: object) -> Any:
        try:
            return ray.put(value)
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise WorkerError(f"Ray's object store is full: {_said(error)}") from error

    def call(self, slot: Any, method: str, *arguments: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        act = slot.call.options(concurrency_group=CONTROL) if method in AT_ONCE else slot.call
        asked = act.remote(method, *arguments).future()
        asked.add_done_callback(lambda asked: _settle(asked, answer))
        return answer

    def kill(self, slot: Any) -> None:
        ray.kill(slot)


def _settle(asked: Future[Any], answer: Future[Any]) -> None:
    """Hand an answer of Ray's on, with errors as Cluster.call has them."""
    error = asked.exception()
    if error is None:
        answer.set_result(asked.result())
    elif isinstance(error, RayTaskError):
        answer.set_exception(WorkerError(f"a slot failed: {_said(error.cause)}"))
    else:
        answer.set_exception(SlotLost(_ends(error)))


def _said(error: BaseException) -> str:
    return " ".join(_COLOUR.sub("", f"{type(error).__name__}: {error}").split())[:MAX_SAID]


def _ends(error: BaseException) -> str:
    """The first and the last line; between them Ray has ids, or the middle of a traceback."""
    said = _COLOUR.sub("", str(error)) or repr(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    ends = lines if len(lines) < 3 else [lines[0], lines[-1]]
    return " ... ".join(line[: MAX_SAID // 2] for line in ends)


@contextmanager
def connected(
    address: str | None, *, n_cpus: float, n_gpus: float, n_wanted: int | None
) -> Iterator[None]:
    """Be a driver of the Ray at `address`; without one, of a Ray that is started here.

    Args:
        address: as `ray.init` takes it.
        n_cpus: CPU threads of a run.
        n_gpus: GPUs of a run.
        n_wanted: how many runs are to go on at once; an autoscaler is asked for as much.

    Raises:
        WorkerError: there is no Ray at the address, or it does not take us.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"address": address}
    if address is not None:  # try once, which takes Ray 40 s, and not 20 times
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    if address is None:
        options = {"address": "local", "object_store_memory": OBJECT_STORE_BYTES,
                   "include_dashboard": False}  # fmt: skip
        if n_wanted is not None:
            options["num_cpus"] = n_cpus * n_wanted
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        # What Ray has to say of its workers is said by us; it would go to standard output.
        vars(ray._private.worker)["_worker_logs_enabled"] = False
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray raises whatever it likes, Exception itself among others
        where = "on this machine" if address is None else f"at {address}"
        raise WorkerError(f"no Ray {where}: {_said(error)}") from error
    finally:
        _take_back(handlers)
    asks = n_wanted is not None and address is not None
    try:
        if asks:
            needs = {"CPU": n_cpus} | ({"GPU": n_gpus} if n_gpus else {})
            request_resources(bundles=[needs] * (n_wanted or 0))
        yield
    finally:
        if asks:
            with suppress(RayError, RuntimeError, OSError):  # the cluster is gone
                request_resources(bundles=[])
        ray.shutdown()


def _take_back(handlers: Mapping[signal.Signals, Any]) -> None:
    """Handle signals as before: Ray's handler would end this process without a summary."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)
