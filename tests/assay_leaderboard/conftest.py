"""Fixtures: made-up records, and checkouts that hold some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from assay import paths
from assay.plugins import registry
from hypothesis import settings

from tests.assay_leaderboard.making import Records, demo, grid, noisy

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

TASK_TOML = """
slug = "{slug}"
version = 1
title = "Task {slug} [red]\\u001b[31m"
summary = "Made up."
family = "classification"
tier = "lite"
reference = "sgd"
dataset = {{ name = "none", source = "none", licence = "none" }}
model = {{ name = "mlp" }}
metric = {{ name = "accuracy", direction = "maximize", chance = 0.1, margin = 0.005 }}
anchor = {{ value = 0.9, n = 12, standard_error = 0.003 }}
budget = {{ batches = 10, batch_size = 2, seconds = 10 }}
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """A checkout of two tasks and three methods, and records made with its present code."""
    for slug in ("digits", "letters"):
        folder = tmp_path / "tasks" / slug
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(TASK_TOML.format(slug=slug))
        (folder / "task.py").write_text("raise RuntimeError('a plugin was imported')")
    for slug in ("sgd", "adam", "unused"):
        folder = tmp_path / "submissions" / slug
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(f'slug = "{slug}"\ntitle = "{slug}"\n')
        (folder / "method.py").write_text("raise RuntimeError('a plugin was imported')")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_RESULTS", raising=False)
    registry.task_entries.cache_clear()
    registry.method_entries.cache_clear()
    made = Records(
        task_ref=lambda slug, _: registry.task_ref(registry.task_entries()[slug]),
        method_ref=lambda slug, _: registry.method_ref(registry.method_entries()[slug]),
    )
    for task in ("digits", "letters"):
        made.add(task, "sgd", noisy(0.9, 0))
    made.add("digits", "adam", [*noisy(0.95, 0, n=10), "diverged", "failed"])
    made.cell("letters", "adam", *grid(0.95, 1, r=6, k=4))
    yield made
    registry.task_entries.cache_clear()
    registry.method_entries.cache_clear()


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def new_records() -> type[Records]:
    return Records


@pytest.fixture
def demo_records() -> Records:
    return demo()


@pytest.fixture
def scores() -> Callable[..., list[float]]:
    return noisy
