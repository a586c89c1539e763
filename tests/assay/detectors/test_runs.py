"""The detectors on real runs: what a worker says beside what the scorer finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from assay.detectors import detect
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.plugins import registry
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import RunRecord, RunSpec
from assay.space import Space

HONEST = """
from assay.method import Method


class Honest(Method):
    pass
"""
PRETRAINED = """
import torch

from assay.method import Method


class Pretrained(Method):
    def configure_optimizer(self, model):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3.0)
        return super().configure_optimizer(model)
"""


def real_run(pool: Pool, task: TaskEntry, method: MethodEntry) -> RunRecord:
    spec = RunSpec(
        ruleset=2,
        task=task_ref(task),
        method=method_ref(method),
        hyperparameters={"reference.lr": 0.05, "reference.weight_decay": 5e-4},
        repetition=0,
        point=0,
    )
    return pool.run(Job(spec, task, method, Space()), "assay run")


def test_a_real_run_agrees_with_the_scorer_and_other_weights_do_not(
    pool: Pool,
    make_task: Callable[..., TaskEntry],
    make_method: Callable[[str, str], MethodEntry],
) -> None:
    task = make_task()
    for slug, source, expected in (("honest", HONEST, []), ("cheat", PRETRAINED, ["first_loss"])):
        record = real_run(pool, task, make_method(slug, source))
        assert record.status == "completed", record.message
        assert record.checks is not None
        flags = detect([record], {f"{slug}.py": source.encode()}, task.card, [])
        assert [flag.code for flag in flags] == expected
        (distance,) = record.checks.weight_distances
        assert distance is not None and distance > 0
        if not expected:
            assert record.checks.first_losses == record.checks.reference_first_losses


def test_functions_have_a_first_loss_per_start(
    pool: Pool, make_method: Callable[[str, str], MethodEntry]
) -> None:
    task = registry.find_task(str(Path("tasks/beale").resolve()))
    method = make_method("honest", HONEST)
    spec = RunSpec(
        ruleset=2,
        task=task_ref(task),
        method=method_ref(method),
        hyperparameters={"reference.lr": 0.05},
        repetition=0,
        point=0,
    )
    record = pool.run(Job(spec, task, method, Space()), "assay run")
    assert record.checks is not None and len(record.checks.first_losses) == 3
    assert record.checks.first_losses == record.checks.reference_first_losses
