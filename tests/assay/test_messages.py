"""What supervisor, worker and scorer say to each other; what a child says is bounded."""

from __future__ import annotations

import contextlib
import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from assay.checking.report import CheckResult, _line, printed, read_findings, told_once
from assay.engine.clients import ChildProcess, ScorerClient, WorkerClient
from assay.engine.outcomes import (
    DidNotEnd,
    Refused,
    checks,
    read_answer,
    read_outcome,
    verdict,
)
from assay.engine.points import draw_points
from assay.engine.pool import Pool
from assay.engine.runs import Job, _curve
from assay.errors import BadWeights, DataError, PluginError, StorageError, WorkerError
from assay.messages.form import MAX_TEXT, clip
from assay.messages.scorer import DescribeTask, ScoredPoint, TaskDescription
from assay.messages.worker import (
    METHOD_CHECKS,
    WORKER_REQUEST,
    Describe,
    Description,
    Done,
    Ended,
    Loaded,
    Outcome,
    Refusal,
    Run,
    TaskProbed,
    WorkerSeeds,
)
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.parsing import parse_record
from assay.records.rounding import rounded
from assay.records.schema import RunSpec, Usage
from assay.ruleset import RULESET
from assay.space import Space
from assay.untrusted.text import strings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tests.assay.conftest import make_record

SNAPSHOT = {
    "n_bytes": 200, "start": 0, "batch": 1, "passes": 1,
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
def test_a_malformed_claim_is_a_failure_that_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "outcome.json").write_text(BAD_CLAIMS[name])
    outcome = read_outcome(tmp_path)
    assert outcome is not None
    assert outcome.status == "failed"
    assert outcome.message.startswith("its process left a malformed outcome: ")
    assert len(outcome.message) < 500
    with pytest.raises(PluginError, match="gave a malformed answer: "):
        read_answer(ended(), tmp_path, 1.0, Description)


HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J", "\u202egnp.exe", "\ud800", "\x00", "a\nb\r\u2028c", "x" * 30_000, "",
    "reference.lr", "__class__", "NaN", 10**400, -(10**30), 2**53 + 1, -1, 1e308, math.inf,
    math.nan,
    True, None, [], {},
)  # fmt: skip
LEAVES = st.sampled_from(HOSTILE) | st.text(max_size=5) | st.integers() | st.floats()
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FLOATS = {"kind": "float", "low": 1e-5, "high": 1.0, "log": True}
SPACE = {
    "ranges": {
        "lr": FLOATS,
        "n": {"kind": "int", "low": 1, "high": 9},
        "k": {"kind": "choice", "options": ["a", True, 2]},
    },
    "defaults": {"lr": 0.1, "n": 3, "k": "a", "eps": 1e-8},
}
SOUND: dict[type[BaseModel], Any] = {
    Outcome: {
        "status": "completed", "message": "", "snapshots": [SNAPSHOT], "first_losses": [0.5],
        "usage": {"passes": 3, "train_seconds": 0.5},
    },
    Description: {"hooks": ["configure_optimizer"], "spaces": {"functions": SPACE}},
    Loaded: {
        "hooks": ["lr_factor"], "space_problems": {"functions": "a"}, "runnable": ["functions"],
        "unknown_families": ["b"], "mistakes": ["c"],
    },
    Refusal: {"error": "it has no hooks"},
    TaskProbed: {"null": 0.5},
    Done: {},
}  # fmt: skip


def places(value: Any) -> list[list[Any]]:
    """The paths of all values in a JSON value, itself first."""
    if not isinstance(value, (dict, list)):
        return [[]]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [[], *([key, *path] for key, item in items for path in places(item))]


def changed(value: Any, path: list[Any], other: Any, *, key: bool) -> Any:
    """`value` with `other` in the place of what is at `path`, or of its key."""
    if not path:
        return other
    copy = value.copy()
    if len(path) == 1 and key and isinstance(copy, dict):
        copy[str(other)] = copy.pop(path[0])
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], other, key=key)
    return copy


@st.composite
def hostile_answers(draw: st.DrawFn) -> tuple[type[BaseModel], bytes]:
    """An answer of some kind with one part that is wrong, or anything at all."""
    kind = draw(st.sampled_from(list(SOUND)))
    if draw(st.integers(0, 5)) == 0:
        return kind, draw(st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()))
    sound = SOUND[kind]
    path = draw(st.sampled_from(places(sound)))
    value = changed(sound, path, draw(JSON), key=draw(st.booleans()))
    return kind, json.dumps(value, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


def is_plain(value: Any) -> bool:
    return all(c.isprintable() or c == "\n" for _, text in strings(value) for c in text)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hostile_answers())
def test_no_answer_is_more_than_an_error_of_ours(answer: tuple[type[BaseModel], bytes]) -> None:
    kind, data = answer
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "outcome.json").write_bytes(data)
        outcome = read_outcome(folder)
        assert outcome is not None
        assert is_plain(outcome.model_dump(mode="json"))
        _record_of(outcome)
        with contextlib.suppress(PluginError):
            try:
                found = read_answer(ended(), folder, 1.0, kind)
            except PluginError as error:
                assert is_plain(str(error))
                raise
            assert is_plain(found.model_dump(mode="json"))
            if isinstance(found, Description):
                for space in found.spaces.values():
                    assert len(draw_points(space, 4, seed=1)) in (1, 4)


def _record_of(outcome: Outcome) -> None:
    """Write the outcome's numbers down, as engine.runs does, and calculate with them."""
    usage = Usage(**outcome.usage.model_dump())
    point = ScoredPoint(val=0.5, test=0.5, passes=1, example_passes=1)
    scored = SimpleNamespace(curve=[point] * len(outcome.snapshots))
    curve = _curve(outcome, scored, 60.0)  # type: ignore[arg-type]
    found = checks(outcome, SimpleNamespace(reference_first_losses=[], weight_distances=[]))  # type: ignore[arg-type]
    record = make_record(curve=curve, usage=usage, checks=found, message=outcome.message)
    assert parse_record(rounded(record).model_dump_json(), "x").usage == rounded(record).usage
    numbers = [p.train_loss for p in curve if p.train_loss is not None]
    assert all(math.isfinite(float(n) ** 2) for n in (*numbers, usage.passes, usage.examples))


LINE = {"check": "runs", "status": "ok", "detail": "fine"}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from([*METHOD_CHECKS, "passes", "nonsense"]).map(
            lambda name: json.dumps({"begun": name}, separators=(",", ":"))
        )
        | st.tuples(st.sampled_from([*LINE]), LEAVES).map(
            lambda c: json.dumps({**LINE, c[0]: c[1]})
        )
        | JSON.map(json.dumps)
        | st.text(max_size=20),
        max_size=6,
    ),
    st.none() | st.just("was killed"),
)
def test_no_findings_are_more_than_failures(lines: list[str], problem: str | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "findings.jsonl"
        log.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
        found = read_findings(log, problem, "functions", METHOD_CHECKS)
        assert len(found) <= 200
        assert any(result.status == "failed" for result in found)  # none of these is complete
        told = [result for result in told_once(found)]
        assert is_plain([result.detail for result in told])
        assert is_plain([_line(result) for result in told])


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_anything_printed_is_shown_plainly(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "output.log").write_bytes(data)
        assert is_plain(printed(Path(name) / "output.log"))
        how = verdict(ended(exit=1), None, Path(name), 1.0)
        assert is_plain(how[1])


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
    assert record.message.startswith("its process left a malformed outcome: status: ")
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


BEGUN = '{"begun":"%s"}'
RUNS = [BEGUN % "runs", '{"check":"runs","status":"ok","detail":"24 batches"}']


def findings_of(folder: Path, lines: list[str], problem: str | None = None) -> list[CheckResult]:
    log = folder / "findings.jsonl"
    log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return read_findings(log, problem, None, METHOD_CHECKS)


def test_findings_are_claims_in_the_order_of_the_checks(tmp_path: Path) -> None:
    found = findings_of(tmp_path, RUNS + [BEGUN % name for name in METHOD_CHECKS[1:]])
    assert [(f.check, f.status, f.detail, f.claimed) for f in found] == [
        ("runs", "ok", "24 batches", True)
    ]
    killed = findings_of(tmp_path, [*RUNS, BEGUN % "cost"], "was killed")
    assert [(f.check, f.status) for f in killed] == [("runs", "ok"), ("cost", "failed")]


@pytest.mark.parametrize(
    "lines",
    [
        [*RUNS, '{"check":"cost","status":"ok","detail":"cheap"}'],  # has not begun
        [BEGUN % "cost", BEGUN % "runs"],
        [BEGUN % "runs", BEGUN % "runs"],
        [BEGUN % "perfect"],
        ['{"check":"runs","status":"ok","detail":"no check has begun"}'],
        [*RUNS, '{"check":"runs","status":"perfect","detail":""}'],
        [*RUNS, '{"check":"runs","check":"cost","status":"ok","detail":""}'],
        [*RUNS, "7"],
        [*RUNS, *RUNS[1:] * 300],
    ],
)
def test_forged_or_malformed_findings_are_one_failure(tmp_path: Path, lines: list[str]) -> None:
    (found,) = findings_of(tmp_path, lines)
    assert (found.check, found.status, found.claimed) == ("runs", "failed", False)
    assert found.detail.startswith("its process left malformed findings: ")


def test_a_check_that_never_began_has_failed(tmp_path: Path) -> None:
    ok, missing = findings_of(tmp_path, RUNS)
    assert (ok.check, missing.check, missing.status) == ("runs", "repeatable", "failed")
    (nothing,) = read_findings(tmp_path / "none", None, None, METHOD_CHECKS)
    assert nothing.detail.startswith("its process ended without this check: runs")
    failed = [BEGUN % "runs", '{"check":"runs","status":"failed","detail":"no weight changed"}']
    assert [f.detail for f in findings_of(tmp_path, failed)] == ["no weight changed"]
