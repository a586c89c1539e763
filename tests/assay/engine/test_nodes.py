"""The executor on a cluster whose nodes lack something, are other ones, or say what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.data.catalogue import DATASETS, DataFile, DatasetEntry, Download
from assay.data.files import data_dir
from assay.engine.executors import luggage
from assay.engine.executors.slot import (
    ERRORS,
    Introduction,
    RunAnswer,
    Slot,
    SlotSetup,
    Unfit,
    _difference,
)
from assay.errors import MachineError, RunHung, WorkerError
from assay.identity import sha256
from assay.plugins.registry import find_method, method_ref, task_entries, task_ref
from assay.records.schema import Compute
from assay.records.store import Store

from tests.assay.engine.fake_cluster import MACHINE, A, B, Driver


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
