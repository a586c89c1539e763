"""Records to a board: what counts, what is marked, what moves whom."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build, only
from assay_leaderboard.evidence.cells import Evidence
from assay_leaderboard.schema.board import Basis, Board, Row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOLDEN = Path(__file__).parent / "golden_board.json"
SMALL = RULESET.model_copy(update={"bootstrap_draws": 200})
Scores = Callable[..., list[float]]
RANKS = {"rank", "rank_without_task", "rank_without_method"}


def made(records: Any, basis: Basis = "tuned", ruleset: Any = SMALL) -> Board:
    return build(records.evidence, records.catalogue, list(records.cards), ruleset, basis)


def row(board: Board, method: str, task: int = 0) -> Row:
    return next(row for row in board.tasks[task].rows if row.method == method)


def approximately(value: Any) -> Any:
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-9, abs=1e-12)
    if isinstance(value, dict):
        return {key: approximately(item) for key, item in value.items()}
    return [approximately(item) for item in value] if isinstance(value, list) else value


def test_frozen_records_give_the_frozen_board(demo_records: Any) -> None:
    board = json.loads(made(demo_records, ruleset=RULESET).model_dump_json())
    assert board == approximately(json.loads(GOLDEN.read_text()))


def test_a_board_reads_back_and_holds_finite_numbers_alone(demo_records: Any) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(name)

    board = made(demo_records)
    text = board.model_dump_json()
    json.loads(text, parse_constant=refuse)
    assert Board.model_validate_json(text) == board


def test_means_counts_and_verdicts(demo_records: Any) -> None:
    board = made(demo_records)
    verdicts = {
        r.method: r.versus_reference.verdict for r in board.tasks[0].rows if r.versus_reference
    }
    assert verdicts == {
        "better": "better",
        "mine": "better",
        "same": "equivalent",
        "noisy": "undecided",
        "unstable": "undecided",
        "quick": "worse",
    }
    versus = row(board, "better").versus_reference
    assert versus is not None and versus.p is not None
    assert versus.p == 2 / 2**12
    assert versus.p_adjusted == pytest.approx(6 * versus.p)  # smallest of six methods
    assert versus.difference == pytest.approx(0.05)
    assert row(board, "better").score == pytest.approx(0.8502 / 0.8002, abs=1e-3)
    assert row(board, "sgd").score == pytest.approx(1.0)


def test_a_repetition_without_a_score_counts_as_chance_and_is_counted(records: Any) -> None:
    records.task("t")
    records.add("t", "sgd", [0.9] * 12)
    records.add("t", "wild", [0.95] * 9 + ["diverged", "failed", "out_of_budget"])
    wild = row(made(records), "wild")
    assert wild.state == "ranked"
    assert wild.tuned.mean == pytest.approx((9 * 0.95 + 3 * 0.1) / 12)
    counts = asdict(wild.tuned)
    del counts["mean"], counts["interval"]
    assert counts == {
        "n": 12,
        "planned": 12,
        "completed": 9,
        "diverged": 1,
        "out_of_budget": 1,
        "failed": 1,
        "missing": 0,
    }
    assert wild.versus_reference is not None
    assert wild.versus_reference.difference == pytest.approx((9 * 0.05 - 3 * 0.8) / 12)


def test_a_method_that_never_completes_is_last_even_below_chance(records: Any) -> None:
    records.task("t")
    records.add("t", "sgd", [0.9] * 12)
    records.add("t", "wild", ["diverged"] * 12)
    records.add("t", "poor", [0.05] * 12)
    assert [r.method for r in made(records).tasks[0].rows] == ["sgd", "poor", "wild"]


def test_missing_repetitions_leave_a_row_unranked_and_visible(demo_records: Any) -> None:
    unfinished = row(made(demo_records), "unfinished")
    assert (unfinished.state, unfinished.rank, unfinished.score) == ("incomplete", None, None)
    assert unfinished.tuned.missing == 3
    assert unfinished.tuned.n == 9


def test_stale_rows_are_marked_and_never_mixed(demo_records: Any) -> None:
    with_stale = made(demo_records)
    old = row(with_stale, "old")
    assert (old.state, old.note, old.rank) == ("stale", "the method has changed since", None)
    demo_records.studies = [s for s in demo_records.studies if s.method.slug != "old"]
    without = made(demo_records)
    rest = [r for r in with_stale.tasks[0].rows if r.method != "old"]
    assert rest == without.tasks[0].rows
    assert with_stale.families == without.families


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"task_code": "before"}, "the task has changed since"),
        ({"method_code": "before"}, "the method has changed since"),
        ({"ruleset": 2}, "made under ruleset 2, now 1"),
    ],
)
def test_what_makes_a_study_stale(
    records: Any, scores: Scores, changes: dict[str, Any], why: str
) -> None:
    records.task("t")
    records.add("t", "sgd", scores(0.9, 0))
    records.add("t", "adam", scores(0.9, 1), **changes)
    assert row(made(records), "adam").note == why


def test_a_current_study_replaces_a_stale_one(records: Any, scores: Scores) -> None:
    records.task("t")
    records.add("t", "adam", scores(0.9, 0), task_code="before", created_at="2027")
    current = records.add("t", "adam", scores(0.8, 1), preset="quick")
    assert row(made(records), "adam").study == current.id


def test_a_full_study_replaces_a_quick_one_once_it_is_complete(
    records: Any, scores: Scores
) -> None:
    records.task("t")
    quick = records.add("t", "adam", scores(0.8, 0, n=8), preset="quick", k=4)
    records.add("t", "adam", [*scores(0.8, 1, n=5), *[None] * 7])
    assert row(made(records), "adam").study == quick.id
    full = records.add("t", "adam", scores(0.8, 1), k=25)
    assert row(made(records), "adam").study == full.id


def test_a_local_method_is_shown_with_its_newest_code(records: Any, scores: Scores) -> None:
    records.task("t")
    records.local.add("mine")
    records.add("t", "mine", scores(0.8, 0), method_code="first", created_at="2026-01-01")
    second = records.add("t", "mine", scores(0.8, 1), method_code="second", created_at="2026-01-02")
    mine = row(made(records), "mine")
    assert (mine.local, mine.study, mine.state) == (True, second.id, "ranked")


def test_without_the_reference_there_is_no_verdict_but_a_note(records: Any, scores: Scores) -> None:
    records.task("t")
    records.add("t", "adam", scores(0.9, 0))
    table = made(records).tasks[0]
    assert table.rows[0].versus_reference is None
    assert table.rows[0].rank == (1, 1)
    assert not table.anchored
    assert "assay run sgd --task t" in table.notes[0]


def test_a_reference_at_chance_anchors_nothing(records: Any, scores: Scores) -> None:
    records.task("t")
    records.add("t", "sgd", [0.1] * 12)
    records.add("t", "adam", scores(0.9, 0))
    board = made(records)
    assert row(board, "adam").score is None
    assert row(board, "adam").versus_reference is not None
    assert board.families[0].unanchored == ["t"]


def test_lower_is_better_where_the_card_says_so(records: Any, scores: Scores) -> None:
    records.task("t", metric={"direction": "minimize", "chance": 2.0})
    records.add("t", "sgd", scores(1.0, 0))
    records.add("t", "low", scores(0.5, 0))
    board = made(records)
    low = row(board, "low")
    assert low.versus_reference is not None
    assert low.versus_reference.verdict == "better"
    assert low.versus_reference.difference == pytest.approx(0.5)
    assert low.score == pytest.approx(1.5, abs=0.01)
    assert board.tasks[0].rows[0] == low


def test_deterministic_tasks_are_compared_without_a_test(demo_records: Any) -> None:
    valley = made(demo_records).tasks[2]
    found = {r.method: (r.rank, r.versus_reference) for r in valley.rows}
    assert {method: rank for method, (rank, _) in found.items()} == {
        "better": (1, 1),
        "same": (2, 3),
        "sgd": (2, 3),
        "noisy": (4, 4),
    }
    same = found["same"][1]
    assert same is not None
    assert (same.verdict, same.p, same.interval) == ("equivalent", None, None)


def test_summaries_rank_whoever_covers_every_anchored_task(demo_records: Any) -> None:
    board = made(demo_records)
    assert board.overall is not None
    ranked = {r.method: r.n_tasks for r in board.overall.rows if r.rank}
    assert ranked == {"better": 3, "same": 3, "sgd": 3, "noisy": 3}
    listed = {r.method: r.n_tasks for r in board.overall.rows if not r.rank}
    assert listed == {"mine": 1, "quick": 1, "unstable": 1, "unfinished": 0}
    sgd = next(r for r in board.overall.rows if r.method == "sgd")
    assert sgd.mean == pytest.approx(1.0)


def test_defaults_are_ranked_on_request_against_the_same_anchor(demo_records: Any) -> None:
    tuned, defaults = made(demo_records), made(demo_records, "defaults")
    sample = row(tuned, "sgd").defaults
    assert sample is not None and sample.mean is not None
    zero_to_one = row(tuned, "sgd").tuned.mean
    assert zero_to_one is not None
    assert row(defaults, "sgd").score == pytest.approx((sample.mean - 0.1) / (zero_to_one - 0.1))
    assert row(defaults, "better").versus_reference is not None
    assert row(defaults, "same").state == "incomplete"


def test_filtering_methods_changes_no_number(demo_records: Any) -> None:
    board = made(demo_records)
    cut = only(board, ["noisy"])
    assert [r.method for r in cut.tasks[0].rows] == ["sgd", "noisy"]
    assert row(cut, "noisy") == row(board, "noisy")
    assert cut.overall is not None
    assert {r.method for r in cut.overall.rows} == {"sgd", "noisy"}


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_records_does_not_matter(demo_records: Any, rng: random.Random) -> None:
    expected = made(demo_records)
    evidence = demo_records.evidence
    studies = rng.sample(evidence.studies, len(evidence.studies))
    runs = dict(rng.sample(list(evidence.runs.items()), len(evidence.runs)))
    shuffled = Evidence(studies, runs)
    tasks = list(demo_records.cards)
    assert build(shuffled, demo_records.catalogue, tasks, SMALL) == expected


@given(
    st.lists(
        st.one_of(st.floats(-5, 5).map(lambda x: round(x, 3)), st.just("diverged"), st.none()),
        min_size=12,
        max_size=12,
    ),
    st.sampled_from(["digits", "letters", "valley"]),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_another_entry_moves_nobodys_score(demo_records: Any, values: list[Any], task: str) -> None:
    before = made(demo_records)
    studies, runs = list(demo_records.studies), dict(demo_records.runs)
    demo_records.add(task, "entrant", values[:1] if task == "valley" else values)
    after = made(demo_records)
    demo_records.studies, demo_records.runs = studies, runs  # the fixture serves all examples
    assert any(r.method == "entrant" for t in after.tasks for r in t.rows)
    for old, new in zip(before.tasks, after.tasks, strict=True):
        scores = {r.method: (r.score, r.tuned) for r in new.rows}
        assert all(scores[r.method] == (r.score, r.tuned) for r in old.rows)
    summaries = [*before.families, before.overall], [*after.families, after.overall]
    for old_summary, new_summary in zip(*summaries, strict=True):
        assert old_summary is not None and new_summary is not None
        found = {r.method: r.model_dump(exclude=RANKS) for r in new_summary.rows}
        for r in old_summary.rows:
            assert found[r.method] == r.model_dump(exclude=RANKS)
        assert old_summary.profile.items() <= new_summary.profile.items()
        shares = {(x.a, x.b): x for x in new_summary.improvements}
        assert all(shares[x.a, x.b] == x for x in old_summary.improvements)


def numbers(board: Board) -> list[Any]:
    """What no other entry may move, with whom it is about."""
    summaries = [*board.families, *([board.overall] if board.overall else [])]
    return [
        *((t.task, r.method, r.score, r.tuned) for t in board.tasks for r in t.rows),
        *((s.name, r.method, r.model_dump(exclude=RANKS)) for s in summaries for r in s.rows),
        *((s.name, method, found) for s in summaries for method, found in s.profile.items()),
        *((s.name, (x.a, x.b), x) for s in summaries for x in s.improvements),
    ]


@given(st.sampled_from(["better", "same", "noisy", "quick", "mine"]), st.sampled_from(["a", "zz"]))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_removing_or_renaming_an_entry_moves_nobody_else(
    new_records: Callable[[], Any], demo_records: Any, method: str, name: str
) -> None:
    def others(board: Board) -> list[Any]:
        return sorted(
            (repr(item) for item in numbers(board) if not {method, name} & set(_names(item[1]))),
        )

    before = made(demo_records)
    records = new_records()
    records.cards, records.local, records.runs = demo_records.cards, {"mine"}, demo_records.runs
    records.studies = [s for s in demo_records.studies if s.method.slug != method]
    assert others(made(records)) == others(before)
    for study in demo_records.studies:
        if study.method.slug == method:
            runs = [demo_records.runs[run] for run in study.selected_runs]
            values = [run.result.test if run.result else run.status for run in runs]
            records.runs = dict(records.runs)
            records.add(study.task.slug, name, values, preset=study.preset, k=len(study.trials))
    renamed = made(records)
    assert others(renamed) == others(before)
    assert any(r.method == name for t in renamed.tasks for r in t.rows)


def _names(key: str | tuple[str, str]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


def test_more_repetitions_of_one_method_move_no_other(demo_records: Any, scores: Scores) -> None:
    before = made(demo_records)
    demo_records.add("digits", "quick", scores(0.71, 4, n=16))
    after = made(demo_records)
    assert row(after, "quick").tuned.n == 16
    rest = [{r.method: (r.score, r.tuned) for r in b.tasks[0].rows} for b in (before, after)]
    assert all(rest[1][name] == found for name, found in rest[0].items() if name != "quick")
    assert after.tasks[1:] == before.tasks[1:]


def test_a_study_with_foreign_or_doubled_runs_is_left_out(records: Any, scores: Scores) -> None:
    records.task("t")
    records.add("t", "sgd", scores(0.9, 0))
    donor = records.studies[0].selected_runs
    for method, ids in {"thief": donor, "twice": None}.items():
        study = records.add("t", method, scores(0.8, 1))
        taken = ids or [study.selected_runs[0]] * 12
        records.studies[-1] = study.model_copy(update={"selected_runs": taken})
    board = made(records)
    assert [r.method for r in board.tasks[0].rows] == ["sgd"]
    assert "is not a repetition of this study" in board.problems[0]
    assert "repetition 0 is named twice" in board.problems[1]


def test_absurd_scores_and_too_many_repetitions_are_left_out(records: Any) -> None:
    records.task("t")
    records.add("t", "huge", [1e200] * 12)
    records.add("t", "many", [0.5] * 17)
    board = made(records)
    assert not board.tasks
    assert "which is no score" in " ".join(board.problems)
    assert "17 repetitions, expected at most 16" in " ".join(board.problems)


@given(st.floats(min_value=-1e99, max_value=1e99), st.floats(min_value=-1e99, max_value=1e99))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_extreme_finite_scores_never_break_a_board(
    new_records: Callable[[], Any], a: float, b: float
) -> None:
    records = new_records()
    records.task("t")
    records.add("t", "sgd", [0.9] * 12)
    records.add("t", "wild", [a, b] * 6)
    wild = row(made(records), "wild")
    assert wild.tuned.mean is not None
    assert math.isfinite(wild.tuned.mean)


def test_quick_and_full_rows_are_paired_on_what_both_have(demo_records: Any) -> None:
    quick = row(made(demo_records), "quick")
    assert quick.preset == "quick"
    assert quick.versus_reference is not None
    assert quick.versus_reference.n == 8
