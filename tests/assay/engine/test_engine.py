"""The promises of training and scoring, through real workers."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from assay import Seeds
from assay.commands import run_many, summary
from assay.engine import cells
from assay.engine.cells import make_cells
from assay.engine.clients import WorkerClient
from assay.engine.pipeline import Pipeline
from assay.engine.planning import RunRequest
from assay.engine.pool import Pool
from assay.messages.scorer import Prepare, Prepared
from assay.plugins.loading import load_task
from assay.plugins.registry import MethodEntry, TaskEntry, find_method
from assay.records.rounding import rounded
from assay.records.schema import RunRecord
from assay.records.store import Store
from assay.ruleset import RULESET
from assay.space import Space
from pydantic import BaseModel
from safetensors.torch import load_file

from tests.assay.engine.conftest import run

STILL = """\
import torch
from torch.optim import SGD
from assay.method import Method


class Still(Method):
    def configure_optimizer(self, model):
        {drawn}
        return SGD(model.parameters(), lr=0.0)
"""
ORDER = """\
import torch
from torch.optim import SGD
from assay.method import Method


class Order(Method):
    def configure_optimizer(self, model):
        return SGD(model.parameters(), lr=0.0)

    def training_step(self, step):
        {drawn}
        step.count_pass()
        seen = torch.cat([step.batch.indices.double(), step.batch.targets.double()])
        seen = torch.cat([seen, step.batch.inputs.flatten().double()])
        with torch.no_grad():
            for parameter in step.model.parameters():
                mark = (seen * torch.arange(1, len(seen) + 1)).sum()
                parameter.copy_(torch.fmod(parameter * 1.25 + mark, 7.0))
"""
SKEWS_ITS_CLOCK = """\
import itertools
import time
from torch.optim import SGD
from assay.method import Method


class Skews(Method):
    def configure_optimizer(self, model):
        hours = itertools.count(step=3600.0)
        time.perf_counter = lambda: next(hours)
        return SGD(model.parameters(), lr=0.0)
"""
GREEDY = "torch.rand(7), torch.rand(5, generator=self.plan.generator)"


def comparable(record: RunRecord) -> dict[str, Any]:
    """A record without what a clock or a process meter says."""
    kept = record.model_dump(exclude={"created_at", "usage", "environment"})
    for point in kept["curve"]:
        del point["seconds"]
    spent = ("batches", "passes", "examples", "example_passes", "optimizer_state_bytes")
    return {**kept, **{name: getattr(record.usage, name) for name in spent}}


def test_the_same_spec_gives_the_same_weights_and_scores(
    pool: Pool, make_task: Callable[..., TaskEntry]
) -> None:
    task, adam = make_task(), find_method("adam")
    one, again = run(pool, task, adam), run(pool, task, adam)
    assert one.status == "completed", one.message
    assert one.weights_sha256 is not None
    assert comparable(one) == comparable(again)
    other = run(pool, task, adam, hyperparameters={"lr": 0.02})
    assert other.weights_sha256 != one.weights_sha256
    assert (one.usage.batches, one.usage.examples) == (24, 240)
    assert [point.batch for point in one.curve] == [12, 24]


def test_no_more_time_is_spent_in_training_than_passed_outside(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry]
) -> None:
    """Be it that a method moves its clock, or that everything was stopped for a while."""
    record = run(pool, make_task(), make_method("skews", SKEWS_ITS_CLOCK))
    assert record.status == "completed", record.message
    assert record.usage.train_seconds == record.usage.wall_seconds < 60.0
    assert record.curve[-1].seconds == pytest.approx(record.usage.wall_seconds, abs=1e-3)  # rounded


def test_a_umask_that_hides_new_folders_hides_none_from_a_run(
    pool: Pool, make_task: Callable[..., TaskEntry]
) -> None:
    before = os.umask(0o077)
    try:
        record = run(pool, make_task(), find_method("adam"))
    finally:
        os.umask(before)
    assert record.status == "completed", record.message


def test_runs_are_paired_across_methods(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry]
) -> None:
    """One repetition: one split, one start, one order, whatever a method draws for itself."""
    task = make_task()
    for source in (STILL, ORDER):
        quiet = make_method("quiet", source.format(drawn="pass"))
        greedy = make_method("greedy", source.format(drawn=GREEDY))
        records = {
            (method.card.slug, repetition): run(pool, task, method, repetition=repetition)
            for method in (quiet, greedy)
            for repetition in (0, 1)
        }
        assert {record.status for record in records.values()} == {"completed"}
        hashes = {key: record.weights_sha256 for key, record in records.items()}
        assert hashes["quiet", 0] == hashes["greedy", 0] != hashes["quiet", 1]
        assert hashes["quiet", 1] == hashes["greedy", 1]
        other = run(pool, task, quiet, repetition=0, point=3)
        assert other.weights_sha256 == hashes["quiet", 0]


def prepared(pool: Pool, task: TaskEntry, repetition: int) -> Prepared:
    request = Prepare(task=task.folder, repetition=repetition, seed_root=RULESET.seed_root)
    return pool.ask_scorer(request, Prepared)


def test_no_repetition_sees_the_split_or_start_of_another(
    pool: Pool, make_task: Callable[..., TaskEntry]
) -> None:
    task = make_task()
    answers = [prepared(pool, task, number) for number in range(4)]
    for name in ("train", "start0"):
        paths = [a.train if name == "train" else a.starts[0] for a in answers]
        assert len({path.read_bytes() for path in paths}) == len(answers)
    assert prepared(pool, task, 0) == answers[0]


def test_seeds_of_repetitions_are_disjoint_and_those_of_the_control_too() -> None:
    seeds = [
        Seeds(RULESET.seed_root, "digits_mlp", repetition)[name]
        for repetition in (*range(16), *range(100, 116))
        for name in ("split", "init", "noise/train", "noise/val")
    ]
    assert len(set(seeds)) == len(seeds)


NOISY = {"family": "noisy_labels", "recipe": 'noise = "symmetric"\nnoise_rate = 0.4'}


@pytest.mark.parametrize("changes", [{}, NOISY], ids=["clean", "noisy"])
def test_a_worker_gets_nothing_that_is_scored_on(
    pool: Pool, make_task: Callable[..., TaskEntry], changes: dict[str, str]
) -> None:
    task = make_task(**changes)
    answer = prepared(pool, task, 0)
    folder = answer.train.parent
    assert sorted(path.name for path in folder.iterdir()) == ["start0", "train"]
    seeds = Seeds(RULESET.seed_root, "toy", 0)
    problem = load_task(task.folder).prepare(seeds)
    train = load_file(answer.train)
    assert set(train) == set(problem.train)
    assert all(torch.equal(train[name], value) for name, value in problem.train.items())
    data = b"".join(path.read_bytes() for path in folder.iterdir())
    expected = {"val_inputs", "val_targets", "test_inputs", "test_targets"}
    assert set(problem.sealed) == expected | ({"clean_targets"} if changes else set())
    for value in problem.sealed.values():
        assert value.numpy().tobytes() not in data
    given = {row.numpy().tobytes() for row in train["inputs"]}
    for name in ("val_inputs", "test_inputs"):
        assert given.isdisjoint(row.numpy().tobytes() for row in problem.sealed[name])
    if changes:
        wrong = train["targets"] != problem.sealed["clean_targets"]
        assert float(wrong.double().mean()) == pytest.approx(0.4, abs=0.02)


def test_a_worker_is_asked_with_these_words_and_no_others(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[dict[str, Any]] = []
    exchange = WorkerClient.exchange

    def spying(self: WorkerClient, message: BaseModel, seconds: float) -> bytes:
        requests.append(json.loads(message.model_dump_json()))
        return exchange(self, message, seconds)

    monkeypatch.setattr(WorkerClient, "exchange", spying)
    task = make_task()
    record = run(pool, task, find_method("sgd"), repetition=3)
    assert record.status == "completed"
    (request,) = requests
    assert set(request) == {
        "command", "method", "entry_point", "packages", "task", "access", "seconds",
        "cpu_seconds", "visible_gpu", "hyperparameters", "reference", "train", "starts", "seeds",
        "oracle", "thresholds", "nudge",
    }  # fmt: skip
    assert request["nudge"] == 0, "only a replay that differs is run again from weights beside"
    (seeds,) = request["seeds"]
    assert set(seeds) == {"order", "augment", "method"}
    sealed = Seeds(RULESET.seed_root, "toy", 3)
    for name in ("split", "init", "noise/train", "noise/val"):
        assert sealed[name] not in seeds.values()


def test_a_pool_of_two_gives_records_whose_numbers_fit(
    pool: Pool, make_task: Callable[..., TaskEntry], tmp_path: Path
) -> None:
    task, store = make_task(), Store(tmp_path / "results")
    pairs = [(task, find_method(name)) for name in ("sgd", "adam")]
    made = make_cells(pairs, pool, "quick", n_repetitions=2)
    progress = Pipeline(pool, store, None, lambda progress: None).run(made)
    assert progress.problems == []
    assert progress.by_status == {"completed": 16}
    for record in store.runs():
        assert record.result is not None
        best = max(record.curve, key=lambda point: (point.val, point.batch))
        assert record.result.val == best.val
        assert record.result.test == best.test
        assert record.result.test_oracle == max(point.test for point in record.curve)
        assert record.result.test_last == record.curve[-1].test
        assert record == rounded(record)


def test_missing_data_are_one_clear_error_and_the_other_tasks_run(
    pool: Pool, make_task: Callable[..., TaskEntry], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    absent = make_task(
        "absent", dataset="cifar10", split="train = 100\nval = 100", model="resnet8", parameters=""
    )
    monkeypatch.setattr(run_many, "Pool", lambda **_: contextlib.nullcontext(pool))
    request = RunRequest(
        methods=["sgd"],
        tasks=[absent, make_task("present")],
        results=tmp_path / "results",
        preset="quick",
        repetitions=2,
        workers=2,
        mlflow="off",
    )
    assert run_many.run(request) == summary.INCOMPLETE
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if line.startswith("assay: ")]
    assert len(told) == 1, said.err
    assert told[0].startswith("assay: absent: ")
    assert "cifar10" in told[0].lower()
    assert "Traceback" not in said.err
    assert "8 runs done" in said.out
    records = list(Store(request.results).runs())
    assert {record.spec.task.slug for record in records} == {"present"}
    assert len(records) == 8


def test_the_control_runs_each_reference_as_two_methods(
    fake_pool: Callable[..., Any], make_task: Callable[..., TaskEntry], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(run_many, "Pool", lambda **_: contextlib.nullcontext(fake_pool()))
    monkeypatch.setattr(cells, "_spaces", lambda *_: [Space(defaults={"a": 1})] * 2)
    request = RunRequest(
        methods=(),
        tasks=[make_task("one"), make_task("other")],
        results=tmp_path / "results",
        mlflow="off",
        arms=("first", "second"),
    )
    assert run_many.run(request) == 0
    records = list(Store(request.results).runs())
    r = RULESET.r("lite")
    assert {record.spec.method.slug for record in records} == {"sgd"}
    assert sorted((record.spec.task.slug, record.spec.repetition) for record in records) == [
        (task, number) for task in ("one", "other") for number in (*range(r), *range(100, 100 + r))
    ]
    assert capsys.readouterr().out.count("sgd, control") == 2
    assert run_many.run(request) == 0
    assert f"0 runs done ({4 * r} were recorded before)" in capsys.readouterr().out
    alone = replace(request, results=tmp_path / "alone", arms=("second",))
    assert run_many.run(alone) == 0
    records = list(Store(alone.results).runs())
    assert len(records) == 2 * r
    assert {record.spec.repetition for record in records} == {*range(100, 100 + r)}
