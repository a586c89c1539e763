"""Questions to a folder of results, as commands and Python's API ask them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from assay import paths
from assay.errors import AssayError, UnknownName
from assay.records.store import Store
from assay.ruleset import RULESET
from assay_leaderboard import queries

from tests.assay_leaderboard.making import R, Records, grid


@pytest.fixture
def results(checkout: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The records of the checkout, in a folder."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "published")
    checkout.write(Store(tmp_path / "results"))
    return tmp_path / "results"


def test_a_board_at_a_budget(results: Path) -> None:
    full = queries.board([], results)
    assert [table.task for table in full.tasks] == ["digits", "letters"]
    defaults = queries.board(["digits"], results, budget=1, methods=["adam"])
    assert (defaults.budget, [table.task for table in defaults.tasks]) == (1, ["digits"])
    assert defaults.tasks[0].rows[0].tuned == defaults.tasks[0].rows[0].defaults
    states = {row.method: row.state for row in full.tasks[1].rows}
    assert states == {"sgd": "ranked", "adam": "preliminary"}


def test_two_methods_have_the_verdict_of_the_board(results: Path) -> None:
    report = queries.compare("adam", "sgd", ["digits"], results, budget=2)
    (table,) = queries.board(["digits"], results, budget=2).tasks
    (row,) = [row for row in table.rows if row.method == "adam"]
    assert report.tasks[0].comparison == row.versus_reference is not None


def test_published_runs_are_added(results: Path, tmp_path: Path) -> None:
    alone = queries.board([], results)
    assert queries.board([], results, published=True) == alone, "there is no published folder"


def test_the_audit_reads_the_control(checkout: Records, results: Path, tmp_path: Path) -> None:
    before = queries.audit([], results)
    assert before.control is None and len(before.tasks) == 2
    more = Records(task_ref=checkout.task_ref, method_ref=checkout.method_ref)
    first = RULESET.control_repetition
    more.cell("digits", "sgd", *grid(0.9, 7), first=first)
    more.cell("letters", "sgd", *grid(0.9, 8, r=R - 2), first=first)
    more.write(Store(results))
    found = queries.audit([], results).control
    assert found is not None
    assert {cell.task: cell.n for cell in found.cells} == {"digits": R, "letters": R - 2}


def test_learning_rates_are_translated(checkout: Records, results: Path) -> None:
    found = queries.translate([], results)
    assert [task.task for task in found.tasks] == ["digits", "letters"]
    (adam, sgd) = found.tasks[0].methods
    assert (sgd.method, sgd.ratio, sgd.ranges["lr"].n) == ("sgd", None, R)
    assert adam.ratio == pytest.approx(adam.ranges["lr"].median / sgd.ranges["lr"].median)
    assert [task.task for task in queries.translate(["letters"], results).tasks] == ["letters"]


@pytest.mark.parametrize("budget", [0, -3, 9])
def test_a_budget_is_a_number_of_points(results: Path, budget: int) -> None:
    with pytest.raises(AssayError, match=f"1 .the defaults. to 8 points, got {budget}"):
        queries.board([], results, budget=budget)
    with pytest.raises(AssayError, match="1 .the defaults. to 8"):
        queries.compare("adam", "sgd", [], results, budget=budget)


def test_what_is_not_known(results: Path) -> None:
    with pytest.raises(UnknownName, match="epoch"):
        queries.board([], results, epoch="autumn")
    with pytest.raises(UnknownName, match="adamm"):
        queries.board([], results, methods=["adamm"])
    with pytest.raises(AssayError, match="no results of unused here"):
        queries.compare("unused", "sgd", [], results)
    command = f"assay run unused --task 'dig*' --task letters --quick --results {results}"
    with pytest.raises(AssayError, match=f"{re.escape(command)}$"):
        queries.compare("unused", "sgd", ["dig*", "letters"], results)
    with pytest.raises(AssayError, match="assay run METHOD"):
        queries.board([], results.parent / "nowhere")


def test_an_epoch_is_a_board_of_its_own(checkout: Records, results: Path) -> None:
    more = Records(task_ref=checkout.task_ref, method_ref=checkout.method_ref)
    more.cell("digits", "sgd", *grid(0.5, 7), epoch="autumn")
    more.write(Store(results))
    (table,) = queries.board([], results, epoch="autumn").tasks
    assert [row.method for row in table.rows] == ["sgd"]
    assert table.rows[0].tuned.mean == pytest.approx(0.5, abs=0.05)
