"""A cluster without machines, and a driver that runs one cell on it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from assay.engine.cells import Cell
from assay.engine.executors import luggage
from assay.engine.executors.cluster import ClusterExecutor, Node, SlotLost
from assay.engine.executors.slot import Introduction, RunAnswer, SlotSetup
from assay.engine.pipeline import Pipeline, Progress
from assay.errors import WorkerError
from assay.messages.worker import Machine
from assay.records.schema import Compute, RunSpec
from assay.records.store import Store

MACHINE = Machine(
    python="3.11.9", torch="2.13.0+cpu", platform="Linux x86_64", cpu="A", cpu_flags_hash="0" * 64,
    gpus=0, libraries={"numpy": "2.4.0"},
)  # fmt: skip
A, B = Node("a", "host-a", 2), Node("b", "host-b", 1)
Hook = Callable[["FakeCluster", str, RunSpec], Any]


class FakeCluster:
    """Answers at once, as nodes of its choice would."""

    def __init__(self, pool: Any, *nodes: Node) -> None:
        self.pool, self.there = pool, list(nodes)
        self.machines: dict[str, Any] = {}
        """Introductions other than that of MACHINE, by node."""
        self.lacks: list[str] = []
        self.on_run: Hook = lambda cluster, node, spec: None
        """What happens instead of a run; None: it is done."""
        self.ran: list[str] = []
        self.shared: list[object] = []
        self.received: list[tuple[str, str, object]] = []
        self.closed: list[str] = []
        self.silent: set[str] = set()
        self.held: list[tuple[Future[Any], Any]] = []

    def nodes(self) -> list[Node]:
        return list(self.there)

    def resources(self) -> str:
        return "a run needs 1 CPU on one node, and the cluster has 0 CPU in all"

    def start(self, node: Node, setup: SlotSetup) -> str:
        return node.id

    def share(self, value: object) -> object:
        self.shared.append(value)
        return value

    def call(self, slot: str, method: str, *arguments: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        if slot in self.silent and method != "close":
            return answer
        try:
            found = getattr(self, method)(slot, *arguments)
        except (SlotLost, WorkerError) as error:
            answer.set_exception(error)
        else:
            if not isinstance(found, Future):
                answer.set_result(found)
        return answer

    def kill(self, slot: str) -> None:
        pass

    def introduce(self, slot: str) -> Any:
        own = Introduction(luggage.package_hash(), MACHINE, "bubblewrap", self.lacks)
        return self.machines.get(slot, own)

    def receive(self, slot: str, path: str, data: object) -> None:
        self.received.append((slot, path, data))

    def run(self, slot: str, cell: luggage.PackedCell, spec: RunSpec, reproduce: str) -> Any:
        found = self.on_run(self, slot, spec)
        if found is not None:
            return found
        self.ran.append(spec.id)
        job = self.cell.job(spec)
        return RunAnswer(self.pool.run(job, reproduce))

    def ping(self, slot: str) -> Any:
        pass

    def close(self, slot: str) -> None:
        self.closed.append(slot)

    cell: Cell


class Driver:
    """Runs a cell on a cluster into a store."""

    def __init__(self, cluster: FakeCluster, cell: Cell, results: Path) -> None:
        self.cluster, self.said, self.store = cluster, list[str](), Store(results)
        cluster.cell = self.cell = cell

    def run(self, **options: Any) -> Progress:
        setup = SlotSetup(Compute(), datasets=["digits", "toy_files"])
        executor = ClusterExecutor(self.cluster, setup, MACHINE, self.said.append, **options)
        try:
            return Pipeline(executor, self.store, None, lambda progress: None).run([self.cell])
        finally:
            executor.abort()

    @property
    def recorded(self) -> set[str]:
        return self.store.run_ids(self.cell.task_ref.slug, self.cell.method_ref.slug)
