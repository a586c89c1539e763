"""The executor on a cluster of nodes that die, fall silent, lack something or are other ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from assay.data.catalogue import DATASETS, DataFile, DatasetEntry, Download
from assay.data.files import data_dir
from assay.engine.cells import Cell
from assay.engine.executors import cluster as cluster_module
from assay.engine.executors import luggage
from assay.engine.executors.cluster import ClusterExecutor, Node, SlotLost
from assay.engine.executors.slot import (
    ERRORS,
    Introduction,
    RunAnswer,
    Slot,
    SlotSetup,
    Unfit,
    _difference,
)
from assay.engine.pipeline import Pipeline, Progress
from assay.errors import MachineError, RunHung, WorkerError
from assay.identity import sha256
from assay.messages.worker import Machine
from assay.plugins.registry import find_method, method_ref, task_entries, task_ref
from assay.records.schema import Compute, RunSpec
from assay.records.store import Store

MACHINE = Machine(
    python="3.11.9", torch="2.13.0+cpu", platform="Linux x86_64", cpu="A", cpu_flags_hash="0" * 64,
    gpus=0, libraries={"numpy": "2.4.0"},
)  # fmt: skip
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


A, B = Node("a", "host-a", 2), Node("b", "host-b", 1)


@pytest.fixture
def drive(
    fake_pool: Any, make_task: Any, make_method: Any, make_cell: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Driver]:  # fmt: skip
    monkeypatch.setattr(cluster_module, "TEND_SECONDS", 0.0)
    monkeypatch.setattr(cluster_module, "PING_SECONDS", 0.0)
    cell = make_cell(make_task(), make_method("sgd", "a = 1\n"))

    def make(*nodes: Node) -> Driver:
        cluster = FakeCluster(fake_pool(share_diverged=0), *nodes)
        return Driver(cluster, cell, tmp_path / "results")

    return make


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


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Unfit("no sandbox works here: install bubblewrap"), "install bubblewrap"),
        (Introduction(sha256("other"), MACHINE, "bubblewrap", []), "another Assay"),
        (
            Introduction(
                luggage.package_hash(),
                MACHINE.model_copy(update={"torch": "2.12.1+cpu"}),
                "bubblewrap",
                [],
            ),
            "torch 2.12.1, and this machine 2.13.0",
        ),
        (
            Introduction(
                luggage.package_hash(),
                MACHINE.model_copy(update={"libraries": {"numpy": "2.3.0"}}),
                "bubblewrap",
                [],
            ),
            "numpy 2.3.0, and this machine 2.4.0",
        ),
    ],
)
def test_a_node_that_would_give_other_results_is_refused_by_name(
    drive: Callable[..., Driver], answer: Any, reason: str
) -> None:
    driver = drive(A, B)
    driver.cluster.machines["a"] = answer
    driver.run()
    assert driver.recorded == set(driver.cell.specs)
    (said,) = driver.said
    assert said.startswith("not used: node host-a: ") and reason in said
    driver.cluster.machines["b"] = answer
    alone = drive(A, B)
    alone.cluster.machines = {"a": answer, "b": answer}
    alone.store = Store(driver.store.root.parent / "others")
    with pytest.raises(WorkerError, match="no node can do these runs: node host-a: ") as caught:
        alone.run()
    assert "node host-b: " in str(caught.value)


def test_another_processor_is_used_and_told_once(drive: Callable[..., Driver]) -> None:
    driver = drive(A, B)
    other = MACHINE.model_copy(update={"cpu": "B"})
    driver.cluster.machines["b"] = Introduction(luggage.package_hash(), other, "bubblewrap", [])
    driver.run()
    assert driver.recorded == set(driver.cell.specs)
    (said,) = driver.said
    assert "is of another kind" in said


def test_a_full_disk_of_a_node_is_its_own_and_its_run_goes_elsewhere(
    drive: Callable[..., Driver],
) -> None:
    driver = drive(A, B)
    driver.cluster.on_run = lambda cluster, node, spec: (
        Unfit("the disk is full") if node == "a" else None
    )
    progress = driver.run()
    assert progress.problems == []
    assert driver.recorded == set(driver.cell.specs)
    assert driver.said == ["not used: node host-a: the disk is full"]


def test_what_a_run_ends_with_on_a_node_is_told_as_here(drive: Callable[..., Driver]) -> None:
    driver = drive(B)
    hung = RunAnswer(error=(ERRORS.index(RunHung), "sgd on toy: stopped as it did not end"))
    driver.cluster.on_run = lambda cluster, node, spec: hung
    progress = driver.run()
    (problem,) = progress.problems
    assert "stopped as it did not end" in problem and driver.recorded == set()


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


def test_a_published_file_is_read_once_and_sent_to_slots_that_lack_it(
    drive: Callable[..., Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "here"))
    file = DataFile("toy/file.csv", f"sha256:{sha256(b'1,2')}")
    monkeypatch.setitem(
        DATASETS,
        "toy_files",
        DatasetEntry("toy_files", 2, (file,), (Download("https://example.org", file),)),
    )
    target = data_dir() / file.path
    target.parent.mkdir(parents=True)
    target.write_bytes(b"1,2")
    driver = drive(A, B)
    driver.cluster.lacks = [file.path]
    driver.run()
    assert driver.cluster.shared.count(b"1,2") == 1
    assert sorted(driver.cluster.received) == [(node, file.path, b"1,2") for node in "aab"]

    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "there"))
    slot = Slot(SlotSetup(Compute(), datasets=["toy_files"]))
    assert luggage.lacking(["toy_files"]) == [file.path]
    wrong = slot.receive(file.path, b"3,4")
    assert isinstance(wrong, Unfit) and "arrived with the digest" in wrong.reason
    assert luggage.lacking(["toy_files"]) == [file.path]
    assert slot.receive(file.path, b"1,2") is None
    assert luggage.lacking(["toy_files"]) == []
    began = (data_dir() / file.path).stat().st_mtime_ns
    assert slot.receive(file.path, b"1,2") is None, "another slot of the node"
    assert (data_dir() / file.path).stat().st_mtime_ns == began


def test_plugins_arrive_as_what_was_planned_or_the_node_says_how_they_differ(
    make_cell: Any, tmp_path: Path
) -> None:
    cell = make_cell(task_entries()["digits_mlp"], find_method("sgd"))
    (spec, *_) = cell.specs.values()
    packed = luggage.pack_cell(cell.job(spec))
    task, method = luggage.unpack_cell(packed, tmp_path / "node")
    assert method.source.is_relative_to(tmp_path) and task.folder.is_relative_to(tmp_path)
    assert _difference(spec, task_ref(task), method_ref(method)) == ""
    method.source.write_text(method.source.read_text() + "\nCHANGED = 1\n")
    assert "the method sgd is another one there" in _difference(
        spec, task_ref(task), method_ref(method)
    )
    lacking = spec.model_copy(
        update={"task": spec.task.model_copy(update={"libraries": {"elsewhere": "1.0"}})}
    )
    assert "needs elsewhere" in _difference(lacking, task_ref(task), cell.method_ref)


def test_a_method_that_was_edited_before_it_was_sent_is_told_of_and_no_node_is_refused(
    drive: Callable[..., Driver],
) -> None:
    driver = drive(A)
    source = driver.cell.method.source
    source.write_text(source.read_text() + "b = 2\n")
    progress = driver.run()
    assert driver.recorded == set() and driver.said == []
    (problem,) = progress.problems
    assert "edited while it ran" in problem


def test_every_kind_of_error_arrives_as_itself() -> None:
    assert ERRORS.index(MachineError) < ERRORS.index(WorkerError), "the most special one first"
    for kind in ERRORS:
        assert next(other for other in ERRORS if issubclass(kind, other)) is kind


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
