"""Each natural mistake leads to one finding that says what was given and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from assay.checking import method_check
from assay.checking.method_check import check_method
from assay.checking.report import told_once
from assay.engine.pool import Pool
from assay.plugins.registry import find_task

from tests.assay.checking.mistakes import MISTAKES, WRAPPED, Mistake

TASKS = {"functions": "rosenbrock", "classification": "digits_mlp"}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_names_the_mistake_and_no_other(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Mistake
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    card = f'slug = "mine"\ntitle = "Mine"\nfamilies = ["{mistake.family}"]\n'
    (folder / "card.toml").write_text(card)
    (folder / "method.py").write_text(mistake.source)
    # A method that does not train on a toy is told nothing of tasks: none is tried in vain.
    in_vain = (mistake.check, mistake.status) == ("runs", "failed")
    tasks = [] if in_vain else [find_task(TASKS[mistake.family])]
    monkeypatch.setattr(method_check, "_lite_tasks", lambda card: tasks)
    results = list(told_once(check_method(pool, folder)))
    failures = [result for result in results if result.status == "failed"]
    found = failures or [r for r in results if r.status == "note" and r.check == mistake.check]
    assert [(result.check, result.status) for result in found] == [(mistake.check, mistake.status)]
    assert re.search(mistake.expected, found[0].detail), found[0].detail


def test_weights_of_other_names_are_not_taken_for_weights_that_stood_still(
    pool: Pool, tmp_path: Path
) -> None:
    source = tmp_path / "mine.py"
    source.write_text(
        WRAPPED.source.replace("(Method):", "(Method):\n    families = ['functions']")
    )
    results = told_once(check_method(pool, source, [find_task(TASKS[WRAPPED.family])]))
    failures = {result.check: result.detail for result in results if result.status == "failed"}
    assert list(failures) == ["snapshot", "tasks"]
    assert re.search(WRAPPED.expected, failures["snapshot"])
