from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from assay import data
from assay.cards import TaskCard, read_card
from assay.families.class_imbalance import ClassImbalance
from assay.families.classification import Classification
from assay.families.noisy_labels import NoisyLabels
from assay.paths import ROOT
from assay.task import Seeds, Snapshot, Task

TASKS = ROOT / "tasks"


def cards(*families: str) -> list[TaskCard]:
    found = [read_card(path, TaskCard) for path in sorted(TASKS.glob("*/card.toml"))]
    return [card for card in found if card.family in families]


def load(card: TaskCard) -> Task:
    """The task of a shipped card, as its task.py defines it."""
    path = TASKS / card.slug / "task.py"
    spec = importlib.util.spec_from_file_location(f"task_{card.slug}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    )
    task = found(card)
    assert isinstance(task, Task)
    return task


def needs_data(card: TaskCard) -> None:
    """Skip the test where the files of the card's data set are not on this machine."""
    state = data.status(card.dataset.name)
    if state.state != "present":
        pytest.skip(f"{card.dataset.name} is {state.state}: {state.advice}")


def seeds(repetition: int = 0) -> Seeds:
    return Seeds("root", "task", repetition)


def snapshot(state: Mapping[str, torch.Tensor], batch: int = 1) -> Snapshot:
    return Snapshot(batch, batch, batch, state)


@pytest.fixture
def make() -> Callable[..., Any]:
    """Build a task of a family on digits, changed as given."""
    bases = {
        "classification": Classification,
        "noisy_labels": NoisyLabels,
        "class_imbalance": ClassImbalance,
    }

    def build(family: str = "classification", **changes: Any) -> Task:
        values: dict[str, Any] = {
            "slug": "toy",
            "version": 1,
            "title": "Toy",
            "summary": "Toy.",
            "family": family,
            "tier": "lite",
            "n_classes": 10,
            "dataset": {"name": "digits", "source": "here", "licence": "none"},
            "split": {"train": 400, "val": 200, "test": 600},
            "model": {"name": "mlp", "parameters": {"width": 8, "depth": 1}},
            "metric": {
                "name": "accuracy", "direction": "maximize", "chance": 0.1, "margin": 0.01
            },
            "budget": {"batches": 10, "batch_size": 32, "seconds": 60},
            "reference": "sgd",
        }  # fmt: skip
        return bases[family](TaskCard(**{**values, **changes}))

    return build
