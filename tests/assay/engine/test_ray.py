"""Real runs on real raylets, with real signals. Needs the extra `ray`, which CI lacks."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assay.engine.cells import make_cells
from assay.engine.executors.cluster import ClusterExecutor
from assay.engine.executors.slot import SlotSetup
from assay.engine.pipeline import Pipeline
from assay.engine.pool import Pool
from assay.errors import WorkerError
from assay.messages.worker import Machine
from assay.plugins.registry import find_method, task_entries
from assay.records.schema import Compute
from assay.records.store import Store

pytest.importorskip("ray", reason="the extra trainassay[ray] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
MACHINE = Machine(
    python="3", torch="2", platform="Linux", cpu="A", cpu_flags_hash="0" * 64, gpus=0, libraries={}
)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head without CPUs, for the driver, and two nodes of one CPU; the last test ends one."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def slots() -> list[int]:
    """Process ids of the slots on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"SlotProcess" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_what_listens_and_is_not_ray_is_one_line() -> None:
    from assay.engine.executors.ray import connected

    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with (
            pytest.raises(WorkerError, match=f"no Ray at {address}: ") as caught,
            connected(address, n_cpus=1, n_gpus=0, n_wanted=None),
        ):
            pass
    assert len(str(caught.value).splitlines()) == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cluster_without_the_gpus_is_one_line(nodes: Any, make_cell: Any) -> None:
    from assay.engine.executors.ray import RayCluster, connected

    cell = make_cell(task_entries()["beale"], find_method("sgd"))
    (spec, *_) = cell.specs.values()
    with connected(nodes.address, n_cpus=1, n_gpus=1, n_wanted=None):
        executor = ClusterExecutor(RayCluster(1, 1), SlotSetup(Compute()), MACHINE, print)
        executor.submit(cell.job(spec), "", print)
        with pytest.raises(WorkerError) as caught:
            executor.finished(60)
    said = str(caught.value)
    assert said.endswith(
        "a run needs 1 CPU, 1 GPU on one node, and the cluster has 2 CPU, 0 GPU in all"
    )
    assert len(said.splitlines()) == 1


def test_a_full_object_store_is_one_line() -> None:
    from assay.engine.executors.ray import RayCluster, connected
    from ray.cluster_utils import Cluster

    no_room_on_disk = {"local_fs_capacity_threshold": 0.0}
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * 2**20,
            "_system_config": no_room_on_disk}  # fmt: skip
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        with connected(cluster.address, n_cpus=1, n_gpus=0, n_wanted=None):
            ray = RayCluster(1, 0)
            ray.share(b"small")
            with pytest.raises(WorkerError, match="^Ray's object store is full: ") as caught:
                ray.share(bytes(120 * 2**20))
    finally:
        cluster.shutdown()
    assert len(str(caught.value).splitlines()) == 1


def test_with_a_slot_and_a_node_killed_the_records_are_those_of_the_local_pool(
    nodes: Any, pool: Pool, tmp_path: Path
) -> None:
    from assay.engine.executors.ray import RayCluster, connected

    pair = (task_entries()["beale"], find_method("sgd"))
    cells = make_cells([pair], pool, "quick", n_repetitions=4)
    local, remote = Store(tmp_path / "local"), Store(tmp_path / "ray")
    Pipeline(pool, local, None, lambda progress: None).run(cells)

    def break_things() -> None:
        wait_for_records(remote, 2)
        for pid in slots()[:1]:
            os.kill(pid, signal.SIGKILL)
        wait_for_records(remote, 5)
        nodes.remove_node(nodes.worker_nodes.copy().pop(), allow_graceful=False)

    breaking = threading.Thread(target=break_things)
    said: list[str] = []
    with connected(nodes.address, n_cpus=1, n_gpus=0, n_wanted=None):
        setup = SlotSetup(Compute(), allow_weaker=True)
        executor = ClusterExecutor(RayCluster(1, 0), setup, pool.machine, said.append)
        breaking.start()
        try:
            progress = Pipeline(executor, remote, None, lambda progress: None).run(cells)
        finally:
            executor.abort()
            breaking.join()
    assert progress.problems == [] and said == []
    assert contents(remote) == contents(local)
    assert len(contents(local)) == len(cells[0].specs) == progress.done


def wait_for_records(store: Store, n: int) -> None:
    end = time.monotonic() + 600
    while len(list(store.root.glob("runs/*/*/*.json"))) < n and time.monotonic() < end:
        time.sleep(0.05)


def contents(store: Store) -> dict[str, tuple[Any, ...]]:
    return {
        record.id: (record.status, record.weights_sha256, record.result, record.isolation.level)
        for record in store.runs()
    }
