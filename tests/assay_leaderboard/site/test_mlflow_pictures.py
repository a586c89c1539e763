"""Pictures of a cell as files: what MLflow gets."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from assay.records.schema import CurvePoint
from assay.records.store import Store
from assay_leaderboard.site.mlflow_pictures import draw


def test_a_cell_is_drawn_as_files_of_their_own(checkout: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for run in checkout.of("sgd", "digits"):
        curve = [
            CurvePoint(
                batch=b, passes=b, seconds=0.1, train_loss=None, val=b / 20, test=b / 20, start=0
            )
            for b in (5, 10)
        ]
        checkout.change(run.id, curve=curve)
    checkout.write(store)
    drawn = draw(store, checkout.of("sgd", "digits")[0])
    assert {"learning-curve.svg", "tuning-budget.svg"} <= drawn.keys()
    for text in drawn.values():
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "<script" not in text


def test_nothing_is_drawn_of_a_task_that_has_changed(checkout: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    checkout.write(store)
    run = checkout.of("sgd", "digits")[0]
    task = run.spec.task.model_copy(update={"code_hash": "0" * 64})
    spec = run.spec.model_copy(update={"task": task})
    assert draw(store, run.model_copy(update={"spec": spec})) == {}


def test_the_engine_finds_what_draws() -> None:
    (found,) = entry_points(group="assay.pictures")
    assert found.load() is draw
