"""What supervisor, worker and scorer say to each other; what a child says is bounded."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from assay.checking.report import read_findings
from assay.engine.clients import ChildProcess, ScorerClient, WorkerClient
from assay.engine.outcomes import DidNotEnd, Refused, read_answer, read_outcome
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import BadWeights, DataError, PluginError, StorageError, WorkerError
from assay.messages import (
    MAX_TEXT,
    WORKER_REQUEST,
    Describe,
    DescribeTask,
    Description,
    Ended,
    Run,
    TaskDescription,
    WorkerSeeds,
    clip,
)
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import RunSpec
from assay.ruleset import RULESET
from assay.space import Space
from pydantic import ValidationError

SNAPSHOT = {
    "file": "start0-1.safetensors", "start": 0, "batch": 1, "passes": 1,
    "example_passes": 32, "seconds": 0.5,
    "train_loss": None,
}  # fmt: skip
BAD_CLAIMS: dict[str, Any] = {
    "no JSON": "{",
    "no object": "[]",
    "deep": "[" * 100_000,
    "another key": json.dumps({"status": "completed", "result": {"val": 1.0}}),
    "another status": json.dumps({"status": "out_of_budget"}),
    "a wall time of its own": json.dumps({"status": "failed", "usage": {"wall_seconds": 0}}),
    "a negative count": json.dumps({"status": "failed", "usage": {"passes": -1}}),
    "a count too large": json.dumps({"status": "failed", "usage": {"batches": 10**30}}),
    "half a pass": json.dumps({"status": "failed", "usage": {"passes": 1.5}}),
    "no number": '{"status": "failed", "usage": {"train_seconds": NaN}}',
    "infinite": '{"status": "failed", "first_losses": [1e999]}',
    "long": json.dumps({"status": "failed", "message": "x" * (MAX_TEXT + 1)}),
    "many": json.dumps({"status": "completed", "snapshots": [SNAPSHOT] * 20_001}),
    "half a character": '{"status": "failed", "message": "\\ud800"}',
}


def ended(**changes: Any) -> Ended:
    facts = {
        "limit": None, "exit": 0, "wall_seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 1,
        "probe_hash": None, "deviations": [],
    }  # fmt: skip
    return Ended(**{**facts, **changes})


def test_a_sound_claim_is_read(tmp_path: Path) -> None:
    claim = {"status": "completed", "snapshots": [SNAPSHOT], "usage": {"passes": 2**53}}
    (tmp_path / "outcome.json").write_text(json.dumps(claim))
    outcome = read_outcome(tmp_path)
    assert outcome is not None
    assert outcome.snapshots[0].model_dump() == SNAPSHOT


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_a_malformed_claim_counts_as_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "outcome.json").write_text(BAD_CLAIMS[name])
    assert read_outcome(tmp_path) is None
    with pytest.raises(PluginError, match="gave a malformed answer: "):
        read_answer(ended(), tmp_path, 1.0, Description)


def test_a_malformed_claim_ends_its_run_alone(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry]
) -> None:
    source = (
        "import os\nfrom pathlib import Path\n"
        "folder = Path(os.readlink('/proc/self/fd/1')).parent\n"
        "(folder / 'outcome.json').write_text('{\"status\": 7}')\nos._exit(0)\n"
    )
    task, method = make_task(), make_method("claims", source)
    workers = list(pool.workers)
    spec = RunSpec(
        ruleset=RULESET.version, task=task_ref(task), method=method_ref(method),
        hyperparameters={}, repetition=0, point=0,
    )  # fmt: skip
    record = pool.run(Job(spec, task, method, Space()), "assay run")
    assert record.status == "failed"
    assert record.message == "the method's process exited with code 0 without a result"
    with pytest.raises(PluginError, match="gave a malformed answer: hooks: Field required"):
        pool.answer(Describe(method=method.source, families=[], seconds=30.0), Description)
    assert pool.workers == workers


def test_an_answer_tells_how_its_child_ended(tmp_path: Path) -> None:
    with pytest.raises(DidNotEnd, match="within 2 s"):
        read_answer(ended(limit="wall time", exit=-9), tmp_path, 2.0, Description)
    with pytest.raises(PluginError, match="was killed by signal 9 without a result"):
        read_answer(ended(exit=-9), tmp_path, 2.0, Description)
    (tmp_path / "outcome.json").write_text('{"error": "it has no hooks"}')
    with pytest.raises(Refused, match="^it has no hooks$"):
        read_answer(ended(), tmp_path, 2.0, Description)


class Answers(ScorerClient, WorkerClient):
    """A child that gives one answer to everything."""

    def __init__(self, answer: str, folder: Path) -> None:
        source = f"import sys\nfor line in sys.stdin:\n    print({answer!r}, flush=True)\n"
        (folder / "log").write_text("a log\n")
        process = subprocess.Popen(
            [sys.executable, "-c", source, "the child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        ChildProcess.__init__(self, process, folder / "log")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Callable[[str], Answers]]:
    made: list[Answers] = []

    def make(answer: str) -> Answers:
        made.append(Answers(answer, tmp_path))
        return made[-1]

    yield make
    for child in made:
        child.close()


@pytest.mark.parametrize("answer", ["", "{", "[]", '{"reference": 1}', '{"error": "x", "kind": 1}'])
def test_a_child_that_answers_nonsense_is_killed(
    answers: Callable[[str], Answers], answer: str
) -> None:
    child = answers(answer)
    with pytest.raises(WorkerError, match="the child gave a malformed answer: "):
        child.ask(DescribeTask(task=Path("t")), TaskDescription)
    assert child.ended
    with pytest.raises(WorkerError, match=r"ended unexpectedly (?s:.*)a log"):
        child.ask(DescribeTask(task=Path("t")), TaskDescription)


@pytest.mark.parametrize(
    ("kind", "text", "error"),
    [
        ("data", "no such file", DataError),
        ("task", "no Task", PluginError),
        ("weights", "No space left", BadWeights),  # a worker's words, perhaps
        ("scorer", "KeyError", WorkerError),
        ("scorer", "OSError: No space left on device", StorageError),
    ],
)
def test_what_the_scorer_cannot_do_is_the_error_it_names(
    answers: Callable[[str], Answers], kind: str, text: str, error: type[Exception]
) -> None:
    child = answers(json.dumps({"error": text, "kind": kind}))
    with pytest.raises(error):
        child.ask(DescribeTask(task=Path("t")), TaskDescription)
    assert not child.ended


def test_numbers_arrive_as_they_were_sent() -> None:
    draw = random.Random(1)
    values = {f"x{n}": draw.uniform(-1, 1) * 10 ** draw.randint(-300, 300) for n in range(2000)}
    values |= {"yes": True, "one": 1, "whole": 1.0, "word": "1"}
    seeds = WorkerSeeds(order=2**63 - 1, augment=0, method=1)
    request = Run(
        method="m", task="t", access=[], hyperparameters=values, reference={}, train="x",
        starts=[], seeds=[seeds], seconds=1, cpu_seconds=1,
    )  # fmt: skip
    again = WORKER_REQUEST.validate_json(request.model_dump_json())
    assert again == request
    assert isinstance(again, Run)
    assert {k: (type(v), v) for k, v in again.hyperparameters.items()} == {
        k: (type(v), v) for k, v in values.items()
    }


def test_a_request_is_one_of_those_there_are() -> None:
    with pytest.raises(ValidationError, match="command"):
        WORKER_REQUEST.validate_json('{"command": "train", "seconds": 1}')


def test_any_text_can_be_carried() -> None:
    text = clip("\ud800 \n\x00" + "x" * 2 * MAX_TEXT)
    assert text.startswith("? \n\x00x")
    assert len(text) == MAX_TEXT
    text.encode()


def test_malformed_lines_of_findings_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "findings.jsonl"
    lines = [
        '{"begun": "runs"}', '{"check": "runs", "status": "ok", "detail": "a\u2028b"}', "{}", "7",
        '{"check": "runs", "status": "perfect", "detail": ""}', '{"begun": "cost"}', '{"check":',
    ]  # fmt: skip
    log.write_text("\n".join(lines), encoding="utf-8")
    found = [(f.check, f.status, f.detail) for f in read_findings(log, "it was killed", None)]
    assert found == [("runs", "ok", "a\u2028b"), ("cost", "failed", "it was killed")]
