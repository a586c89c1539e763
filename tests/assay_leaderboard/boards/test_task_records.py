"""The evidence on a task: its cells, the runs of these, and what does not fit."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from assay.records.store import Store
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.task_records import from_folders, from_records
from assay_leaderboard.evidence.results_folder import TaskRecords, load_folder, open_folder

from tests.assay_leaderboard.making import K, R, Records, grid


@pytest.fixture
def made() -> Records:
    """Two methods, one of them in an older version too."""
    records = Records().task("digits")
    records.cell("digits", "sgd", *grid(0.9, 0))
    records.cell("digits", "adam", *grid(0.8, 1))
    records.cell("digits", "adam", *grid(0.99, 2), method_code="before")
    return records


def test_it_holds_the_runs_of_the_cells_and_no_other(made: Records) -> None:
    found = made.task_evidence("digits")
    assert [cell.method for cell in found.cells] == ["adam", "sgd"]
    assert (len(found.runs), len(made.runs)) == (2 * R * K, 3 * R * K)
    assert found.problems == []
    adam = found.cells[0]
    runs = found.of(adam)
    assert [(run.spec.repetition, run.spec.point) for run in runs] == [
        (r, k) for r in range(R) for k in range(K)
    ]
    assert [run.id for run in found.selected(adam)] == adam.selected_runs


def test_board_and_task_evidence_see_the_same(made: Records) -> None:
    board = build(made.evidence, made.catalogue, ["digits"], RULESET)
    found = made.task_evidence("digits")
    assert build(found.evidence, made.catalogue, ["digits"], RULESET) == board


def test_it_survives_pickling(made: Records) -> None:
    found = made.task_evidence("digits")
    again = pickle.loads(pickle.dumps(found))
    assert again.runs == found.runs
    assert [cell.values().tolist() for cell in again.cells] == [
        cell.values().tolist() for cell in found.cells
    ]


def test_from_a_store_as_from_memory(made: Records, tmp_path: Path) -> None:
    made.write(Store(tmp_path))
    found = from_folders("digits", [open_folder(tmp_path)], made.catalogue, RULESET)
    assert found.runs == made.task_evidence("digits").runs
    board = load_folder(tmp_path, {"digits"}, {"digits"})
    assert build(board, made.catalogue, ["digits"], RULESET) == build(
        found.evidence, made.catalogue, ["digits"], RULESET
    )


def test_the_first_folder_counts(made: Records) -> None:
    run = made.of("sgd")[0]
    other = run.model_copy(update={"message": "another one"})
    first, second = TaskRecords.of(made.runs.values()), TaskRecords.of([other])
    catalogue = made.catalogue
    assert from_records("digits", [first, second], catalogue, RULESET).runs[run.id] == run
    assert from_records("digits", [second, first], catalogue, RULESET).runs[run.id] == other


def test_hostile_files_are_named_and_break_nothing(made: Records, tmp_path: Path) -> None:
    store = Store(tmp_path)
    made.write(store)
    run, other = made.of("sgd")[:2]
    store.path_of(run).write_text('{"schema_version": 2, "kind": "run"')
    store.path_of(other).write_text(
        store.path_of(other).read_text().replace('"val": 0', '"val": 9e999')
    )
    found = from_folders("digits", [open_folder(tmp_path)], made.catalogue, RULESET)
    assert len(found.problems) == 2
    assert all(str(tmp_path) in problem for problem in found.problems)
    sgd = next(cell for cell in found.cells if cell.method == "sgd")
    assert (sgd.state, sgd.n) == ("incomplete", R - 1)


def test_two_processes_read_what_one_reads(demo_records: Records, tmp_path: Path) -> None:
    store = Store(tmp_path)
    demo_records.write(store)
    store.path_of(demo_records.of("sgd")[0]).write_text("{")
    tasks = {"digits", "letters", "valley", "fixed"}
    one, two = (load_folder(tmp_path, tasks, tasks, jobs=n) for n in (1, 2))
    assert len(one.problems) == 1
    assert two == one
    assert list(two.runs) == list(one.runs)
