"""The checks of a task, against tasks with one fault each and a sound one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from assay.checking.report import CheckResult
from assay.checking.task_check import check_task
from assay.engine.pool import Pool
from assay.paths import ROOT


def failures(findings: Iterable[CheckResult]) -> dict[str, str]:
    return {found.check: found.detail for found in findings if found.status == "failed"}


TASK = """
from __future__ import annotations
from dataclasses import replace
import torch
from assay.families.classification import Classification
from assay.task import Problem
class Mine(Classification):
"""


def task_folder(folder: Path, code: str, **changes: str) -> Path:
    folder = folder / "digits_mlp"
    folder.mkdir()
    text = (ROOT / "tasks" / "digits_mlp" / "card.toml").read_text()
    text = re.sub(r"\[\[targets\]\]\n(\w+ = .*\n)+", "", text)
    changes = {"batches": "200", **changes}
    for key, value in changes.items():
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
    (folder / "card.toml").write_text(text)
    (folder / "task.py").write_text(TASK + code)
    return folder


def test_a_sound_task_passes(pool: Pool, tmp_path: Path) -> None:
    findings = list(check_task(pool, task_folder(tmp_path, "    pass\n")))
    assert failures(findings) == {}
    assert [found.check for found in findings] == [
        "card", "loads", "prepare", "sealed", "layout", "loss", "reference", "null", "cost"
    ]  # fmt: skip


TASK_FAULTS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "draws outside its seeds": (
        """
    def prepare(self, seeds):
        problem = super().prepare(seeds)
        noise = torch.rand(1)
        return replace(problem, train={**problem.train, "noise": noise})
""",
        {},
        {"prepare": "same seeds give other tensors .*train.noise"},
    ),
    "gives sealed labels away": (
        """
    def prepare(self, seeds):
        problem = super().prepare(seeds)
        given = {**problem.train, "extra": problem.sealed["test_targets"]}
        return replace(problem, train=given)
""",
        {},
        {"sealed": "test_targets is handed to the worker as train.extra"},
    ),
    "trains on the test set": (
        """
    def prepare(self, seeds):
        problem = super().prepare(seeds)
        train = {name: problem.sealed[f"test_{name}"][:300] for name in ("inputs", "targets")}
        return replace(problem, train={n: t.contiguous() for n, t in train.items()})
""",
        {},
        {"sealed": r"train and test share 100.0% of the smaller"},
    ),
    "loss of the wrong shape": (
        """
    def loss(self, outputs, targets, reduction="mean"):
        return super().loss(outputs, targets)
""",
        {},
        {"loss": r"has shape \(\) and, with reduction='none', \(\); expected \(\) and \(32,\)"},
    ),
    "wrong chance level": ("    pass\n", {"chance": "0.5"}, {"null": "correct metric.chance"}),
    "unknown reference": (
        "    pass\n",
        {"reference": '"sdg"'},
        {"reference": "no method is called 'sdg'. Did you mean sgd"},
    ),
    "says it is deterministic": (
        "    pass\n",
        {"schedule": '"linear"\ndeterministic = true'},
        {"prepare": "differs, but the card says deterministic"},
    ),
}


@pytest.mark.parametrize("code, changes, expected", TASK_FAULTS.values(), ids=TASK_FAULTS)
def test_names_the_fault_of_a_task(
    pool: Pool, tmp_path: Path, code: str, changes: dict[str, str], expected: dict[str, str]
) -> None:
    found = failures(check_task(pool, task_folder(tmp_path, code, **changes)))
    assert found.keys() == expected.keys()
    for check, pattern in expected.items():
        assert re.search(pattern, found[check]), found[check]


def test_targets_must_get_harder(pool: Pool, tmp_path: Path) -> None:
    folder = task_folder(tmp_path, "    pass\n", reference='"sdg"')
    with (folder / "card.toml").open("a") as card:
        for name, value in (("easy", 0.9), ("stretch", 0.8)):
            card.write(f'\n[[targets]]\nname = "{name}"\nvalue = {value}\n')
    found = failures(check_task(pool, folder))
    assert "chance 0.1, easy 0.9, stretch 0.8 to get harder" in found["card"]
