"""The arms of the A/A control, from a store of records to the report."""

from __future__ import annotations

from pathlib import Path

import html5lib
import pytest
from assay.records.store import Store
from assay.ruleset import RULESET
from assay_leaderboard import queries
from assay_leaderboard.audit import false_positives
from assay_leaderboard.site.html.links import SiteMap
from assay_leaderboard.site.pages.audit import audit_section

from tests.assay_leaderboard.making import R, Records, grid, noisy

FIRST = RULESET.control_repetition


@pytest.fixture(autouse=True)
def few_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_positives, "SPLITS", 20)


def test_the_ordinary_cell_is_held_against_the_control(checkout: Records, tmp_path: Path) -> None:
    val, test = grid(0.9, 3)
    checkout.cell("digits", "sgd", val, test, first=FIRST)
    checkout.add("letters", "sgd", noisy(0.5, 4, n=6), first=FIRST)  # stopped half way
    results = tmp_path / "results"
    checkout.write(Store(results))
    made = queries.audit([], results)
    found = made.control
    assert found is not None
    assert [(task.task, task.n) for task in found.cells] == [("digits", R), ("letters", 6)]
    page = SiteMap(frozenset({"digits"}), frozenset({"sgd"})).at("how")
    text = html5lib.parse(audit_section(made, page)["arms"].__html__(), namespaceHTMLElements=False)
    first, second = ([*row.itertext()] for row in text.findall(".//tbody/tr"))
    assert (first[0], first[1], first[2]) == ("digits", "sgd", str(R))
    assert (second[0], second[2]) == ("letters", "6")
    digits = found.cells[0]
    best = [row[vals.index(max(vals))] for vals, row in zip(val, test, strict=True)]
    assert digits.mean_control == pytest.approx(sum(best) / R)
    assert digits.mean == pytest.approx(sum(noisy(0.9, 0)) / R)
    assert found.pairs.rejected.n == 2


def test_every_method_with_a_control_is_held_against_itself(
    checkout: Records, tmp_path: Path
) -> None:
    for method in ("sgd", "adam"):
        checkout.cell("digits", method, *grid(0.9, 3), first=FIRST)
    checkout.write(Store(tmp_path / "results"))
    found = queries.audit([], tmp_path / "results").control
    assert found is not None
    assert [(cell.task, cell.method) for cell in found.cells] == [
        ("digits", "adam"), ("digits", "sgd")
    ]  # fmt: skip
    assert (found.n_tasks, found.n_methods, found.pairs.rejected.n) == (1, 2, 2)


def test_runs_of_the_control_are_on_no_board(checkout: Records, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    checkout.write(store)
    before = queries.board([], tmp_path / "results")
    checkout.cell("digits", "sgd", *grid(0.1, 3), first=FIRST)
    for run in checkout.of("sgd", "digits"):
        if run.spec.repetition >= FIRST:
            store.write(run)
    assert queries.board([], tmp_path / "results") == before
    assert queries.audit([], tmp_path / "results").control is not None


def test_without_a_control_there_is_no_report(checkout: Records, tmp_path: Path) -> None:
    checkout.write(Store(tmp_path / "results"))
    assert queries.audit([], tmp_path / "results").control is None
