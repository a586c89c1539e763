"""The executor on a cluster whose nodes and slots die, fall silent, come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from assay.engine.executors.cluster import ClusterExecutor, Node, SlotLost
from assay.engine.executors.slot import RunAnswer, SlotSetup, Unfit
from assay.errors import WorkerError
from assay.records.schema import Compute, RunSpec

from tests.assay.engine.fake_cluster import MACHINE, A, B, Driver, FakeCluster


def test_every_run_is_done_once_and_every_slot_is_closed(drive: Callable[..., Driver]) -> None:
    driver = drive(A, B)
    progress = driver.run()
    assert progress.problems == [] and driver.said == []
    assert driver.recorded == set(driver.cell.specs)
    assert sorted(driver.cluster.ran) == sorted(driver.cell.specs)
    assert sorted(driver.cluster.closed) == ["a", "a", "b"]
    assert len(driver.cluster.shared) == 1, "a cell's files are sent once, not with each run"


def test_only_so_many_slots_are_started_as_are_wanted(drive: Callable[..., Driver]) -> None:
    driver = drive(A, B)
    driver.run(n_wanted=2)
    assert sorted(driver.cluster.closed) == ["a", "a"]


def test_a_run_whose_slot_dies_goes_to_another_and_nothing_else_is_repeated(
    drive: Callable[..., Driver],
) -> None:
    lost = Counter[str]()

    def dies(cluster: FakeCluster, node: str, spec: RunSpec) -> None:
        if spec.repetition % 2 and not lost[spec.id]:
            lost[spec.id] += 1
            raise SlotLost("killed by signal 9")

    driver = drive(A, B)
    driver.cluster.on_run = dies
    progress = driver.run()
    assert lost and progress.problems == []
    assert sorted(driver.cluster.ran) == sorted(driver.cell.specs)
    assert driver.recorded == set(driver.cell.specs)
    assert sum("the run was tried once more" in note for note in progress.notes) == len(lost)


def test_a_run_that_is_lost_again_and_again_is_left_for_the_next_command(
    drive: Callable[..., Driver],
) -> None:
    def dies(cluster: FakeCluster, node: str, spec: RunSpec) -> None:
        if (spec.repetition, spec.point) == (1, 2):
            raise SlotLost("out of memory")

    driver = drive(A)
    driver.cluster.on_run = dies
    progress = driver.run()
    assert len(driver.recorded) == len(driver.cell.specs) - 1
    (problem,) = progress.problems
    assert "lost 3 times" in problem and "host-a: out of memory" in problem
    driver.cluster.on_run = lambda cluster, node, spec: None
    driver.run()
    assert driver.recorded == set(driver.cell.specs)
    assert sorted(driver.cluster.ran) == sorted(driver.cell.specs), "what is recorded is not rerun"


def test_a_node_that_goes_takes_no_run_with_it_and_one_that_comes_is_used(
    drive: Callable[..., Driver],
) -> None:
    def goes(cluster: FakeCluster, node: str, spec: RunSpec) -> Any:
        if node == "a" and len(cluster.ran) > 2:
            cluster.there = [B]
            return Future()  # no answer ever comes
        return None

    driver = drive(A)
    driver.cluster.on_run = goes
    progress = driver.run()
    assert driver.recorded == set(driver.cell.specs)
    assert sorted(driver.cluster.ran) == sorted(driver.cell.specs)
    assert any("host-a: the node is gone" in note for note in progress.notes)


def test_a_silent_slot_is_given_up_and_what_it_says_later_is_dropped(
    drive: Callable[..., Driver], fake_pool: Any
) -> None:
    held = list[tuple[Future[Any], RunSpec]]()

    def hangs(cluster: FakeCluster, node: str, spec: RunSpec) -> Any:
        if node == "a" and not held:
            cluster.silent.add("a")
            held.append((Future(), spec))
            return held[0][0]
        if held and node == "b":  # the hanging node wakes up after its run was done elsewhere
            record = fake_pool(share_diverged=0).run(cluster.cell.job(held[0][1]), "late")
            if not held[0][0].done():
                held[0][0].set_result(RunAnswer(record))
        return None

    driver = drive(Node("a", "host-a", 1), B)
    driver.cluster.on_run = hangs
    driver.run()
    assert driver.recorded == set(driver.cell.specs)
    assert all(record.reproduce != "late" for record in driver.store.runs())
    assert sorted(driver.cluster.ran) == sorted(driver.cell.specs)


def test_a_slot_that_hangs_while_it_starts_is_given_up(drive: Callable[..., Driver]) -> None:
    driver = drive(B)
    introduce, asked = driver.cluster.introduce, Counter[str]()

    def hangs_at_first(slot: str) -> Any:
        asked["introduce"] += 1
        return introduce(slot) if asked["introduce"] > 1 else Future()

    def ping(slot: str) -> Any:
        asked["ping"] += 1
        return Future() if asked["ping"] == 2 else None  # it had begun, and then stopped

    driver.cluster.introduce = hangs_at_first  # type: ignore[method-assign]
    driver.cluster.ping = ping  # type: ignore[method-assign]
    driver.run()
    assert driver.recorded == set(driver.cell.specs)
    assert asked["introduce"] == 2


def test_nodes_that_are_all_gone_may_come_back(drive: Callable[..., Driver]) -> None:
    def goes(cluster: FakeCluster, node: str, spec: RunSpec) -> Any:
        if node == "a" and len(cluster.ran) > 2:
            cluster.there = []
            return Future()
        return None

    driver = drive(A)
    driver.cluster.on_run = goes
    resources = driver.cluster.resources

    def comes() -> str:
        driver.cluster.there = [B]
        return resources()

    driver.cluster.resources = comes  # type: ignore[method-assign]
    driver.run()
    assert driver.recorded == set(driver.cell.specs)
    assert sorted(driver.cluster.ran) == sorted(driver.cell.specs)
    assert driver.said == [f"waiting for nodes: {resources()}"]


def test_without_a_node_with_room_it_ends_at_once_unless_nodes_may_come(
    drive: Callable[..., Driver],
) -> None:
    driver = drive()
    with pytest.raises(WorkerError, match="the cluster has 0 CPU in all"):
        driver.run()
    with pytest.raises(WorkerError, match="the cluster has 0 CPU in all"):
        driver.run(n_wanted=1, patience_seconds=0.02)
    assert driver.said == [f"waiting for nodes: {driver.cluster.resources()}"]


def test_a_node_where_a_process_was_killed_at_the_start_is_tried_again(
    drive: Callable[..., Driver],
) -> None:
    driver = drive(B)
    introduce, answers = driver.cluster.introduce, [Unfit("killed", passing=True)] * 2

    def at_last(slot: str) -> Any:
        return answers.pop() if answers else introduce(slot)

    driver.cluster.introduce = at_last  # type: ignore[method-assign]
    driver.run()
    assert driver.recorded == set(driver.cell.specs) and driver.said == []


def test_a_slot_that_never_gets_ready_is_not_started_for_ever(drive: Callable[..., Driver]) -> None:
    driver = drive(B)

    def introduce(slot: str) -> Any:
        raise SlotLost("No module named 'assay'")

    driver.cluster.introduce = introduce  # type: ignore[method-assign]
    with pytest.raises(WorkerError, match="end before they are ready: No module named 'assay'"):
        driver.run()


def test_an_executor_waits_no_longer_than_it_is_asked_to(
    drive: Callable[..., Driver],
) -> None:
    driver = drive(B)
    driver.cluster.on_run = lambda cluster, node, spec: Future()
    setup = SlotSetup(Compute())
    executor = ClusterExecutor(driver.cluster, setup, MACHINE, driver.said.append)
    (spec, *_) = driver.cell.specs.values()
    executor.submit(driver.cell.job(spec), "", driver.said.append)
    assert executor.finished(0.05) == []
    executor.abort()
    assert driver.cluster.closed == ["b"]
