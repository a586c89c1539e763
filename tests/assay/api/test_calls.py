"""`assay.run`, `board`, `compare`, `judge` and `Results`, without training anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import assay
import pytest
from assay.commands import run_many
from assay.commands.run_many import Finished
from assay.engine.pipeline import Progress
from assay.engine.planning import RunRequest, chosen_pairs
from assay.errors import AssayError, UnknownName
from assay.plugins.registry import find_task

COLUMNS = [
    "task", "family", "tier", "method", "repetition", "point", "selected", "hyperparameters",
    "status", "val", "test", "example_passes", "seconds", "level", "epoch", "method_hash", "id",
]  # fmt: skip


@pytest.fixture
def recorded(submission: Any) -> assay.Results:
    """Results of `my_opt` on two tasks, as `assay.run` would return them."""
    for task in ("digits_step", "beale"):
        submission.record(task)
    pairs = [(find_task(task), submission.method) for task in ("digits_step", "beale")]
    return assay.Results(submission.store.root, pairs=pairs)


def test_importing_it_is_quick() -> None:
    program = (
        "import time; t = time.process_time(); import assay; s = time.process_time() - t\n"
        "import sys; print(s); print([n for n in sys.modules if n.startswith('assay.')])"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
            for _ in range(3)]  # fmt: skip
    assert min(float(said.splitlines()[0]) for said in runs) < 0.1
    assert runs[0].splitlines()[1] == "[]"


def test_the_frame_has_one_row_a_run(recorded: assay.Results, submission: Any) -> None:
    frame = recorded.frame()
    assert list(frame.columns) == COLUMNS
    assert len(frame) == len(list(submission.store.runs())) == len(set(frame["id"]))
    assert set(frame["task"]) == {"digits_step", "beale"} and set(frame["method"]) == {"my_opt"}
    first = frame[(frame["task"] == "beale") & (frame["repetition"] == 0)]
    assert sorted(first["point"]) == [0, 1, 2, 3]
    assert list(first["selected"].sort_values()) == [False] * 3 + [True]
    assert list(first["val"][first["selected"]]) == [first["val"].max()]  # beale maximises
    assert set(frame.columns[frame.dtypes == "float64"]) == {"val", "test", "seconds"}
    assert frame["hyperparameters"].map(lambda point: "lr" in point).all()


def test_results_of_a_folder_hold_everything_in_it(recorded: assay.Results) -> None:
    whole = assay.Results(recorded.folder)
    assert len(whole.frame()) == len(recorded.frame())
    assert (whole.tasks, whole.methods) == (["beale", "digits_step"], ["my_opt"])
    assert len(assay.Results(recorded.folder / "none").frame()) == 0


def test_runs_of_older_code_are_not_in_the_results_of_a_call(
    recorded: assay.Results, submission: Any
) -> None:
    source = submission.folder / "method.py"
    source.write_text(source.read_text() + "changed = 1\n")
    pairs = [(find_task("beale"), submission.method)]
    assert len(assay.Results(recorded.folder, pairs=pairs).frame()) == 0


def test_results_show_a_board(recorded: assay.Results) -> None:
    text, page = repr(recorded), recorded._repr_html_()
    assert "runs of 1 method on 2 tasks in" in text.splitlines()[0]
    assert "digits_step v2" in text and "beale v2" in text
    assert page.count("<table>") >= 2 and "<td" in page and "my_opt" in page
    one = recorded.board("beale")
    assert [table.task for table in one.data.tasks] == ["beale"]
    assert "\nbeale v2" in repr(one)
    assert repr(recorded.board("functions")) == repr(one)


def test_a_comparison_and_its_errors(recorded: assay.Results) -> None:
    report = recorded.compare("my_opt", "my_opt", "beale").data
    assert [duel.task for duel in report.tasks] == ["beale"]
    with pytest.raises(AssayError, match="no results of adam here"):
        recorded.compare("my_opt", "adam")
    with pytest.raises(UnknownName, match="Did you mean my_opt"):
        assay.compare("my_op", "my_opt", results=recorded.folder)


def test_claims_are_judged(recorded: assay.Results, submission: Any) -> None:
    submission.record("digits_cnn")
    ledger = assay.judge("diffgrad", results=recorded.folder).data
    assert {row.method for row in ledger.rows} == {"diffgrad"}
    with pytest.raises(UnknownName, match="Did you mean diffgrad"):
        recorded.judge("difgrad")


def test_learning_rates_are_translated(recorded: assay.Results) -> None:
    found = assay.translate("beale", results=recorded.folder)
    assert [row.method for task in found.data.tasks for row in task.methods] == ["my_opt"]
    assert "my_opt" in repr(found) and "near an end" in found._repr_html_()


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="no method is called 'adma'. Did you mean adam"):
        assay.run("adma", "digits_cnn", results=tmp_path)
    with pytest.raises(UnknownName, match="no task is called 'digits_cmn'"):
        assay.run("adam", "digits_cmn", results=tmp_path)
    with pytest.raises(UnknownName, match="no preset is called 'fast'"):
        assay.run("adam", "digits_cnn", preset="fast", results=tmp_path)
    with pytest.raises(AssayError, match="no results for beale in .*; --with-local shows"):
        assay.board("beale", results=tmp_path)
    with pytest.raises(AssayError, match="no results for any of [0-9]+ tasks in "):
        assay.judge("lion", results=tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """The requests of `assay.run`, which are not carried out."""
    requests: list[RunRequest] = []

    def execute(request: RunRequest, say: Any) -> Finished:
        requests.append(request)
        ended = Progress(total=0, interrupted=request.threads == 2)
        return Finished(chosen_pairs(request, say), ended, ["mirror down"] * bool(request.mlflow))

    monkeypatch.setattr(run_many, "execute", execute)
    return requests


class Unhurried(assay.Method):
    """A method of this module."""


def test_slugs_paths_and_classes_are_run_together(
    asked: list[RunRequest], tmp_path: Path, submission: Any
) -> None:
    methods: list[Any] = ["sgd", submission.folder, Unhurried]
    found = assay.run(methods, ["beale", "digits_c*"], preset="quick", results=tmp_path, workers=3)
    (request,) = asked
    assert request.methods == [
        "sgd", str(submission.folder), str(tmp_path / "methods" / "unhurried.py")
    ]  # fmt: skip
    assert [task.card.slug for task in request.tasks] == ["digits_cnn", "beale"]
    assert (request.preset, request.workers, request.as_json) == ("quick", 3, False)
    assert "class Unhurried" in (tmp_path / "methods" / "unhurried.py").read_text()
    assert found.problems == [] and len(found.frame()) == 0


def test_ctrl_c_is_raised_and_says_that_records_stay(
    asked: list[RunRequest], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt, match="what was finished is recorded in"):
        assay.run("sgd", "beale", threads=2, results=tmp_path)


def test_a_mirror_that_is_behind_is_told(
    asked: list[RunRequest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assay.run("sgd", "beale", results=tmp_path, mlflow="sqlite:///x")
    assert "warning: mirror down" in capsys.readouterr().err
    assay.run("sgd", "beale", results=tmp_path, mlflow="sqlite:///x", progress=False)
    assert capsys.readouterr().err == ""


def test_addresses_of_copies_come_from_the_environment_unless_given(
    asked: list[RunRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = "postgresql://somewhere/studies"
    monkeypatch.setenv("ASSAY_MLFLOW", "http://somewhere")
    monkeypatch.setenv("ASSAY_OPTUNA_STORAGE", studies)
    assay.run("sgd", "beale", results=tmp_path)
    assay.run("sgd", "beale", results=tmp_path, mlflow="sqlite:///x")
    found = [(request.mlflow, request.optuna_storage) for request in asked]
    assert found == [("http://somewhere", studies), ("sqlite:///x", studies)]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: assay.run([], "beale"), "no method was given"),
        (lambda: assay.run("sgd", []), "no task was given"),
        (lambda: assay.run("sgd", "beale", workers=-1), "workers: expected at least 1, got -1"),
        (lambda: assay.diagnose([], "digits_mlp"), "no method was given"),
        (lambda: assay.diagnose("sgd", ["digits_mlp", "digits_cnn"]), "expected one task, got 2"),
        (
            lambda: assay.diagnose("sgd", "digits_mlp", repetitions=0),
            "repetitions: expected at least 1, got 0",
        ),
    ],
)
def test_to_ask_for_nothing_is_one_line(
    call: Any, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_MLFLOW", raising=False)
    monkeypatch.delenv("ASSAY_OPTUNA_STORAGE", raising=False)
    with pytest.raises(AssayError, match=says):
        call()


def test_one_method_is_shown_by_its_name_alone(recorded: assay.Results) -> None:
    found = [
        assay.board("beale", results=recorded.folder, methods=methods)
        for methods in ("my_opt", ["my_opt"])
    ]
    assert repr(found[0]) == repr(found[1])
