"""The evidence on a task: the study that counts, its runs, and what does not fit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from assay.plugins import registry
from assay.publication import publish
from assay.publication.pack import pack_method
from assay.records.schema import study_id
from assay.records.store import Store
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.task_records import from_folders, from_records
from assay_leaderboard.evidence.cells import Catalogue, Evidence
from assay_leaderboard.evidence.results_folder import (
    TaskRecords,
    load_folder,
    open_folder,
    together,
    unread,
)


@pytest.fixture
def made(new_records: Any) -> Any:
    """Two methods with trials of their own, one of them in an older version too."""
    records = new_records().task("digits")
    for method, best in (("sgd", 0.9), ("adam", 0.8)):
        study = records.add("digits", method, [best] * 3, [0.5] * 3)
        records.tune(study, [0.4, best, 0.3], [0.41, best, "diverged"])
    records.add("digits", "adam", [0.99] * 3, method_code="before")
    return records


def ids(records: Any, method: str) -> set[str]:
    (study,) = [s for s in records.studies if s.method.slug == method and s.trials[0].val == 0.4]
    named = {*study.selected_runs, *study.default_runs, *(trial.run_id for trial in study.trials)}
    assert len(named) == 9
    return named


def test_it_holds_the_runs_of_the_studies_that_count_and_no_other(made: Any) -> None:
    found = made.task_evidence("digits")
    assert set(found.runs) == ids(made, "sgd") | ids(made, "adam")
    assert [cell.method for cell in found.cells] == ["adam", "sgd"]
    assert found.problems == []
    assert len(made.runs) == 21


def test_board_and_task_evidence_see_the_same_studies(made: Any) -> None:
    board = build(made.evidence, made.catalogue, ["digits"], RULESET)
    found = made.task_evidence("digits")
    shown = {row.method: row.study for row in board.tasks[0].rows}
    assert {cell.method: cell.study.id for cell in found.cells} == shown
    again = build(found.evidence, made.catalogue, ["digits"], RULESET)
    assert again == board


def test_it_survives_pickling(made: Any) -> None:
    found = made.task_evidence("digits")
    assert pickle.loads(pickle.dumps(found)) == found


def test_from_a_store_as_from_memory(made: Any, tmp_path: Path) -> None:
    made.studies = [study for study in made.studies if study.trials[0].val == 0.4]
    for i, study in enumerate(made.studies):  # ids are checked when they are read
        points = [trial.hyperparameters for trial in study.trials]
        own = study_id(study.task, study.method, study.compute, 1, points, 3)
        made.studies[i] = study.model_copy(update={"id": own})
    made.write(Store(tmp_path))
    found = from_folders("digits", [open_folder(tmp_path)], made.catalogue, RULESET)
    expected = made.task_evidence("digits")
    assert (found.cells, found.runs) == (expected.cells, expected.runs)
    board = load_folder(tmp_path, {"digits"}, {"digits"})
    assert build(board, made.catalogue, ["digits"], RULESET) == build(
        found.evidence, made.catalogue, ["digits"], RULESET
    )
    assert len(board.runs) < len(found.runs), "the board needs no tuning runs"


def test_trials_are_in_the_order_of_selection(made: Any) -> None:
    trials = made.task_evidence("digits").all_trials["sgd"]
    assert trials.numbers == (2, 0, 1)
    assert trials.tests.tolist() == [0.1, 0.41, 0.9], "a diverged trial counts as chance"


def test_a_trial_without_a_record_leaves_no_budget_curve(made: Any, new_records: Any) -> None:
    study = next(s for s in made.studies if s.method.slug == "adam")
    del made.runs[study.trials[1].run_id]
    found = made.task_evidence("digits")
    assert set(found.all_trials) == {"sgd"}
    cell = next(cell for cell in found.cells if cell.method == "adam")
    assert found.test_of(cell, study.trials[1]) is None


@pytest.mark.parametrize("what", ["repetition", "point", "method"])
def test_a_run_of_something_else_is_no_trial(made: Any, what: str) -> None:
    study = next(s for s in made.studies if s.method.slug == "adam")
    sgd = next(s for s in made.studies if s.method.slug == "sgd")
    wrong = {
        "repetition": study.selected_runs[0],
        "point": study.trials[0].run_id,
        "method": sgd.trials[1].run_id,
    }[what]
    trials = [
        trial.model_copy(update={"run_id": wrong}) if trial.number == 1 else trial
        for trial in study.trials
    ]
    made.studies[made.studies.index(study)] = study.model_copy(update={"trials": trials})
    found = made.task_evidence("digits")
    (problem,) = found.problems
    assert problem.endswith(f"run {wrong} is not its trial 1")
    cell = next(cell for cell in found.cells if cell.method == "adam")
    assert found.test_of(cell, found.studies[cell.method].trials[1]) is None
    assert set(found.all_trials) == {"sgd"}


def test_absurd_trials_are_left_out_and_named(made: Any) -> None:
    study = next(s for s in made.studies if s.method.slug == "adam")
    run = made.runs[study.trials[1].run_id]
    made.change(run.id, result=run.result.model_copy(update={"test": 1e200}))
    found = made.task_evidence("digits")
    assert found.problems[0].endswith("has the score 1e+200, which is no score")
    assert set(found.all_trials) == {"sgd"}


def test_the_first_folder_counts(made: Any) -> None:
    study = next(s for s in made.studies if s.method.slug == "sgd")
    run_id = study.selected_runs[0]
    other = made.runs[run_id].model_copy(update={"message": "another one"})
    first = TaskRecords.of(made.studies, made.runs)
    second = TaskRecords.of(made.studies, {run_id: other})
    catalogue = made.catalogue
    assert from_records("digits", [first, second], catalogue, RULESET).runs[run_id] != other
    assert from_records("digits", [second, first], catalogue, RULESET).runs[run_id] == other


def test_bundles_and_the_records_beside_them(
    bundles: dict[str, Path], tmp_path: Path, submission: Any
) -> None:
    """Of a published folder: trials, trust, and the same cells as the terminal's reader."""
    for path in bundles.values():
        publish.add(tmp_path, "publish", path)
    submission.record("digits_step", salt="at home")
    folders = [open_folder(tmp_path), open_folder(submission.store.root)]
    assert folders[0].tasks == {"beale", "digits_step"}
    entry = registry.task_entries()["digits_step"]
    catalogue = Catalogue({"digits_step": (entry.card, registry.task_ref(entry))}, {})
    found = from_folders("digits_step", folders, catalogue, RULESET)
    (cell,) = found.cells
    assert cell.tier == "T1" and found.trials(cell) is not None
    study = found.studies[cell.method]
    named = [len(study.trials), len(study.selected_runs), len(study.default_runs)]
    assert len(found.runs) == sum(named)
    evidence = Evidence([], {})
    for results in folders:
        evidence = together(evidence, load_folder(results.folder, {"digits_step"}, results.tasks))
    assert build(evidence, catalogue, ["digits_step"], RULESET) == build(
        found.evidence, catalogue, ["digits_step"], RULESET
    )
    assert unread(folders[0], {"beale"}) == [
        "task digits_step is not known here: 1 bundles not shown"
    ]
    assert unread(folders[1], {"beale"}) == [
        "task digits_step is not known here: 1 studies not shown"
    ]


def test_packing_is_what_makes_them(submission: Any, tmp_path: Path) -> None:
    submission.record("beale")
    (path,) = pack_method(submission.method, submission.store, tmp_path).written
    assert unread(open_folder(tmp_path), set()) == [f"{path.name}: no entry of the log names it"]
