"""A task at fault stops with one line and charges no method: the scorer, in this process."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from assay.engine.scorer import _answered, _Scorer
from assay.messages.form import SNAPSHOTS
from assay.messages.scorer import Prepare, Prepared, Score, Scored, ScorerError
from assay.messages.worker import SnapshotEntry, WorkerSeeds
from assay.plugins.registry import TaskEntry, task_entries
from assay.ruleset import RULESET
from assay.task import untrained_states
from assay.untrusted.weights import snapshot_bytes
from pydantic import BaseModel

BROKEN = """\
import math
from assay.families.classification import Classification


class Broken(Classification):
    def {signature}:
        {body}
"""


@pytest.fixture
def broken(make_task: Callable[..., TaskEntry]) -> Callable[[str, str], TaskEntry]:
    """A toy task with one function of its own."""

    def write(signature: str, body: str) -> TaskEntry:
        entry = make_task()
        source = BROKEN.format(signature=signature, body=body.replace("\n", "\n        "))
        (entry.folder / "task.py").write_text(source)
        return entry

    return write


def ask(folder: Path, request: BaseModel, scorer: _Scorer | None = None) -> BaseModel:
    folder.mkdir(exist_ok=True)
    return _answered(scorer or _Scorer(folder), request.model_dump_json())


def repetition(task: TaskEntry) -> dict[str, Any]:
    return {"task": task.folder, "repetition": 0, "seed_root": RULESET.seed_root}


def scored(
    folder: Path, task: TaskEntry, change: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> BaseModel:
    """What the scorer answers for the task's untrained weights, changed as said."""
    scorer, card = _Scorer(folder), task.card
    prepared = ask(folder, Prepare(**repetition(task)), scorer)
    assert isinstance(prepared, Prepared), prepared
    (kept,) = scorer._problems.values()
    (state,) = untrained_states(scorer.task(task.folder), kept.problem)
    if change is not None:
        state = {name: change(value) for name, value in state.items()}
    own, data = folder / "run", snapshot_bytes(state)
    own.mkdir()
    (own / SNAPSHOTS).write_bytes(data)
    entry = SnapshotEntry(
        n_bytes=len(data),
        start=0,
        batch=card.budget.batches,
        passes=card.budget.batches,
        example_passes=card.budget.example_passes,
        seconds=1.0,
        train_loss=None,
    )
    seeds = WorkerSeeds(order=1, augment=2, method=3)
    score = Score(
        **repetition(task), folder=own, snapshots=[entry], seeds=[seeds], accelerator="cpu"
    )
    return ask(folder, score, scorer)


def error(answer: BaseModel, kind: str) -> str:
    assert isinstance(answer, ScorerError), answer
    assert answer.kind == kind, answer.error
    assert "\n" not in answer.error
    return answer.error


@pytest.mark.parametrize(
    ("signature", "body", "said"),
    [
        ("prepare(self, seeds)", "return {}['train']", "its prepare raised KeyError"),
        ("prepare(self, seeds)", "return None", "its prepare raised AttributeError"),
        ("decode(self, inputs)", "return 1 // 0", "its decode raised"),
        ("augment(self, inputs, generator)", "raise ValueError('no')", "augment raised ValueError"),
        ("build_model(self, train)", "raise KeyError('x')", "raised KeyError"),
        ("transform_model(self, model)", "return None", "raised TypeError"),
        ("loss(self, outputs, targets, reduction='mean')", "return 1.0", "its loss raised"),
        ("project(self, model)", "1 // 0", "its project raised ZeroDivisionError"),
        ("reference_optimizer(self, p, r)", "return None", "its reference_optimizer raised"),
        ("export(self, model)", "raise RuntimeError", "its export raised RuntimeError"),
    ],
)
def test_a_task_that_raises_is_at_fault_before_any_method_is_run(
    broken: Callable[[str, str], TaskEntry], tmp_path: Path, signature: str, body: str, said: str
) -> None:
    task = broken(signature, body)
    text = error(ask(tmp_path / "scorer", Prepare(**repetition(task))), "task")
    assert text.startswith("task toy: ")
    assert said in text
    assert "(task.py, line" in text or "return None" in body or "loss" in signature
    assert text.endswith("the task is at fault, no method is charged with it")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM])
def test_a_machine_without_disk_or_memory_is_no_fault_of_the_task(
    broken: Callable[[str, str], TaskEntry], tmp_path: Path, number: int
) -> None:
    task = broken("prepare(self, seeds)", f"raise OSError({number}, 'No space left on device')")
    text = error(ask(tmp_path / "scorer", Prepare(**repetition(task))), "machine")
    assert "No space left" in text  # what the client makes a full disk of


def test_fewer_examples_than_a_batch_are_the_tasks_fault(
    make_task: Callable[..., TaskEntry], tmp_path: Path
) -> None:
    task = make_task(split="train = 9\nval = 100\ntest = 100")
    assert error(ask(tmp_path / "scorer", Prepare(**repetition(task))), "task") == (
        "task toy has 9 training examples, expected at least one batch of 10"
    )


@pytest.mark.parametrize("value", ["math.nan", "math.inf", "-1e300", "None", "'high'"])
def test_a_further_metric_without_a_value_is_the_tasks_fault(
    broken: Callable[[str, str], TaskEntry], tmp_path: Path, value: str
) -> None:
    task = broken("secondary(self, problem, model, logits)", f"return {{'sharpness': {value}}}")
    text = error(scored(tmp_path / "scorer", task), "task")
    assert text.startswith("task toy: its metric 'sharpness' is ")
    assert "expected a finite number for all weights" in text


def test_a_further_metric_that_no_record_can_name_is_the_tasks_fault(
    broken: Callable[[str, str], TaskEntry], tmp_path: Path
) -> None:
    task = broken("secondary(self, problem, model, logits)", "return {'a\\nb': 1.0}")
    assert "scores cannot be recorded" in error(scored(tmp_path / "scorer", task), "task")


def test_any_other_name_of_a_further_metric_will_do(
    broken: Callable[[str, str], TaskEntry], tmp_path: Path
) -> None:
    task = broken("secondary(self, problem, model, logits)", "return {'acc@3': 1.0}")
    answer = scored(tmp_path / "scorer", task)
    assert isinstance(answer, Scored)
    assert answer.result.secondary == {"acc@3": 1.0}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return {}['scores']", "KeyError"),
        ("return 1.0", "returned float, expected Scores"),
        (
            "import dataclasses\nscores = super().score(problem, runs)\n"
            "return dataclasses.replace(scores, val=math.nan)",
            "val is nan, expected a finite number",
        ),
    ],
)
def test_a_task_that_can_score_no_weights_is_at_fault(
    broken: Callable[[str, str], TaskEntry], tmp_path: Path, body: str, said: str
) -> None:
    text = error(scored(tmp_path / "scorer", broken("score(self, problem, runs)", body)), "task")
    assert text.startswith("task toy cannot score the weights that it starts from: ")
    assert said in text


def test_weights_that_break_a_task_which_can_score_others_are_the_methods(
    broken: Callable[[str, str], TaskEntry], tmp_path: Path
) -> None:
    """A method could else stop a task for all by weights that its code does not foresee."""
    body = (
        "logits = super().logits(model, inputs)\n"
        "if not bool(logits.isfinite().all()):\n    raise KeyError('nan')\nreturn logits"
    )
    task = broken("logits(self, model, inputs)", body)
    assert isinstance(scored(tmp_path / "sound", task), Scored)
    huge = scored(tmp_path / "huge", task, lambda value: torch.full_like(value, 3e38))
    assert error(huge, "weights").startswith("its weights cannot be scored: KeyError")


@pytest.mark.parametrize(
    "slug", ["beale", "digits_mlp", "digits_w2a2", "digits_lt50", "matrix_factorization"]
)
def test_a_batch_is_tried_on_every_kind_of_task_and_draws_no_global_number(
    slug: str, tmp_path: Path
) -> None:
    task = task_entries()[slug]
    before = torch.random.get_rng_state()
    assert isinstance(ask(tmp_path / "scorer", Prepare(**repetition(task))), Prepared)
    assert torch.equal(before, torch.random.get_rng_state())
