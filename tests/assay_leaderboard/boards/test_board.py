"""Records to a board: what counts, what is marked, what moves whom."""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from assay.records.former import FormerResult
from assay.records.log import Standing
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build, only
from assay_leaderboard.evidence.cells import cells
from assay_leaderboard.evidence.runs import Evidence, Past
from assay_leaderboard.schema.board import Board, Row
from assay_leaderboard.statistics import subset_means
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.assay_leaderboard.making import UNTUNED, K, R, Records, demo, grid, noisy

GOLDEN = Path(__file__).parent / "golden_board.json"
SMALL = RULESET.model_copy(update={"bootstrap_draws": 200})
DEMO = demo()


def made(
    records: Records, budget: int | None = None, ruleset: Any = SMALL, tasks: Any = None
) -> Board:
    chosen = list(records.cards) if tasks is None else tasks
    return build(records.evidence, records.catalogue, chosen, ruleset, budget)


def row(board: Board, method: str, task: int = 0) -> Row:
    return next(row for row in board.tasks[task].rows if row.method == method)


def copy(records: Records) -> Records:
    """The same records, to be changed."""
    return replace(records, cards=dict(records.cards), runs=dict(records.runs),
                   local=set(records.local))  # fmt: skip


def approximately(value: Any) -> Any:
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-9, abs=1e-12)
    if isinstance(value, dict):
        return {key: approximately(item) for key, item in value.items()}
    return [approximately(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("budget", [None, 1])
def test_frozen_records_give_the_frozen_board(budget: int | None) -> None:
    board = json.loads(made(DEMO, budget).model_dump_json())
    assert board == approximately(json.loads(GOLDEN.read_text())[str(budget)])


def test_a_board_reads_back_and_holds_finite_numbers_alone() -> None:
    def refuse(name: str) -> float:
        raise AssertionError(name)

    board = made(DEMO)
    text = board.model_dump_json()
    json.loads(text, parse_constant=refuse)
    assert Board.model_validate_json(text) == board


def test_means_intervals_and_verdicts() -> None:
    board = made(DEMO)
    verdicts = {
        r.method: r.versus_reference.verdict for r in board.tasks[0].rows if r.versus_reference
    }
    assert verdicts == {
        "better": "better",
        "same": "better, negligible",
        "mine": "undecided",
        "noisy": "undecided",
        "untuned": "worse",
        "unstable": "undecided",
        "quick": None,
    }
    (cell,) = [
        cell
        for cell in cells(DEMO.cards["digits"], DEMO.evidence, DEMO.catalogue, SMALL)[0]
        if cell.method == "better"
    ]
    better = row(board, "better")
    for sample, budget in ((better.tuned, None), (better.defaults, 1)):
        values = cell.values(budget)
        assert sample.mean == pytest.approx(values.mean())
        assert sample.interval is not None
        ends = subset_means.intervals(values[None], 0.05)[0]
        assert (sample.interval.low, sample.interval.high) == pytest.approx(ends)
    assert better.score == pytest.approx((cell.values().mean() - 0.1) / 0.8)


def test_a_board_at_a_budget_says_so_and_scores_by_it() -> None:
    defaults, full = made(DEMO, 1), made(DEMO)
    assert (defaults.budget, full.budget) == (1, None)
    for task in range(3):
        for r in defaults.tasks[task].rows:
            assert r.tuned == r.defaults == row(full, r.method, task).defaults
            assert r.k == 1
    assert made(DEMO, K).tasks == full.tasks, "k = K is the board itself"
    assert made(DEMO, K).families == full.families
    assert made(DEMO, 99).tasks == full.tasks


def test_how_runs_ended_is_counted() -> None:
    records = Records().task("t")
    records.add("t", "sgd", [0.9] * R)
    rows: list[list[Any]] = [[0.95] * K for _ in range(R - 3)]
    rows += [["diverged"] * K, ["failed", *["out_of_budget"] * (K - 1)]]
    rows += [[0.5, *["failed"] * (K - 1)]]
    records.cell("t", "wild", rows)
    wild = row(made(records), "wild")
    assert wild.state == "ranked"
    assert asdict(wild.runs) == {
        "completed": (R - 3) * K + 1,
        "diverged": K,
        "out_of_budget": K - 1,
        "failed": K,
        "missing": 0,
        "failed_repetitions": 2,
    }
    assert wild.tuned.mean == pytest.approx(((R - 3) * 0.95 + 0.1 + 0.1 + 0.5) / R)


def test_a_method_that_never_completes_is_last_even_below_chance() -> None:
    records = Records().task("t")
    records.add("t", "sgd", [0.9] * R)
    records.add("t", "wild", ["diverged"] * R)
    records.add("t", "poor", [0.05] * R)
    assert [r.method for r in made(records).tasks[0].rows] == ["sgd", "poor", "wild"]


def test_missing_runs_leave_a_row_unranked_and_visible() -> None:
    unfinished = row(made(DEMO), "unfinished")
    assert (unfinished.state, unfinished.rank, unfinished.score) == ("incomplete", None, None)
    assert (unfinished.versus_reference, unfinished.runs.missing) == (None, 64)
    assert (unfinished.tuned.n, unfinished.tuned.planned) == (4, R)
    assert unfinished.note == "64 of 96 runs have no record yet"


def test_stale_rows_are_marked_and_never_mixed() -> None:
    with_stale = made(DEMO)
    old = row(with_stale, "old")
    assert (old.state, old.note, old.rank) == ("stale", "the method has changed since", None)
    records = copy(DEMO)
    records.remove("old")
    without = made(records)
    assert [r for r in with_stale.tasks[0].rows if r.method != "old"] == without.tasks[0].rows
    assert with_stale.families == without.families


def test_quick_rows_are_preliminary_and_listed_after_the_ranked_ones() -> None:
    board = made(DEMO)
    quick = row(board, "quick")
    assert (quick.state, quick.rank, quick.score, quick.k) == ("preliminary", None, None, 4)
    assert quick.versus_reference is not None and quick.versus_reference.verdict is None
    states = [r.state for r in board.tasks[0].rows]
    assert states == sorted(states, key=lambda state: state != "ranked")


def test_a_local_row_says_so_and_a_mixed_cell_how_many() -> None:
    mine = row(made(DEMO), "mine")
    assert (mine.local, mine.trust, mine.note) == (True, "T0", "")
    published: Any = {run.id: "T1" for run in DEMO.of("sgd", "digits")[5:]}
    evidence = replace(DEMO.evidence, tiers=published)
    sgd = row(build(evidence, DEMO.catalogue, ["digits"], SMALL), "sgd")
    assert (sgd.local, sgd.trust, sgd.note) == (False, "T0", "5 of 96 runs are local")


def test_without_the_reference_there_is_no_difference_but_a_note() -> None:
    records = Records().task("t")
    records.add("t", "adam", noisy(0.9, 0))
    table = made(records).tasks[0]
    assert (table.rows[0].versus_reference, table.rows[0].rank) == (None, (1, 1))
    assert table.rows[0].score is not None, "anchors are numbers on the card"
    assert "assay run sgd --task t" in table.notes[0]


def test_a_task_without_an_anchor_counts_in_no_summary() -> None:
    records = Records().task("t", anchor=None).task("u")
    for task in "tu":
        records.add(task, "sgd", [0.5] * R)
        records.add(task, "adam", noisy(0.9, 0))
    board = made(records)
    assert row(board, "adam").score is None
    assert row(board, "adam").versus_reference is not None
    assert (board.families[0].tasks, board.families[0].unanchored) == (["u"], ["t"])


def test_lower_is_better_where_the_card_says_so() -> None:
    anchor = {"value": 1.0, "n": 12, "standard_error": 0.1}
    records = Records().task("t", metric={"direction": "minimize", "chance": 2.0}, anchor=anchor)
    records.add("t", "sgd", noisy(1.0, 0))
    records.add("t", "low", noisy(0.5, 0))
    board = made(records)
    low = row(board, "low")
    assert low.versus_reference is not None
    assert low.versus_reference.verdict == "better"
    assert low.versus_reference.difference == pytest.approx(0.5)
    assert low.score == pytest.approx(1.5, abs=0.01)
    assert board.tasks[0].rows[0] == low


def test_deterministic_tasks_have_numbers_and_nothing_else() -> None:
    board = made(DEMO)
    fixed = board.tasks[3]
    assert [(r.method, r.state, r.rank, r.versus_reference) for r in fixed.rows] == [
        ("better", "ranked", None, None),
        ("sgd", "ranked", None, None),
    ]
    assert (fixed.pairs, fixed.rows[0].tuned.interval, fixed.rows[0].score) == (None, None, None)
    assert "for claims alone" in fixed.notes[0]
    assert all("fixed" not in (*s.tasks, *s.unanchored) for s in board.families)


def test_withdrawn_results_are_listed_apart() -> None:
    bundle = f"digits--adam-v1--{'0' * 16}.zip"
    gone = Records().task("digits")
    gone.add("digits", "adam", [0.7] * R)
    standing = Standing(bundle, "0" * 64, "T1", "2026-02-02", "retracted", "wrong data")
    evidence = replace(DEMO.evidence, past=[Past(standing, gone.evidence)])
    board = build(evidence, DEMO.catalogue, ["digits", "letters"], SMALL)
    (found,) = board.tasks[0].withdrawn
    assert (found.method, found.state, found.reason) == ("adam", "retracted", "wrong data")
    assert (found.n, found.mean, found.bundle) == (R, pytest.approx(0.7), bundle)
    assert board.tasks[0].rows == made(DEMO).tasks[0].rows
    assert board.tasks[1].withdrawn == []


def test_withdrawn_results_with_hidden_seeds_are_listed_too() -> None:
    bundle = f"digits--adam-v1--{'0' * 16}.zip"
    gone = Records().task("digits")
    gone.add("digits", "adam", [0.7] * R, epoch="autumn")
    standing = Standing(
        bundle, "0" * 64, "T3", "2026-02-02", "retracted", "wrong data", epoch="autumn"
    )
    evidence = replace(DEMO.evidence, past=[Past(standing, gone.evidence)])
    (found,) = build(evidence, DEMO.catalogue, ["digits"], SMALL).tasks[0].withdrawn
    assert (found.method, found.n) == ("adam", R)


def test_results_of_earlier_rulesets_are_listed_apart_and_ranked_nowhere() -> None:
    former = [
        FormerResult("digits", "adam", 1, 1, 12, (0.9, None)),
        FormerResult("digits", "lion", 1, 1, 12, (0.95,) * 12),
        FormerResult("digits", "adam", 1, 1, 12, (0.1, 0.1)),
        FormerResult("letters", "none", 1, 1, 12, ()),
        FormerResult("elsewhere", "adam", 1, 1, 12, (0.9,)),
    ]
    evidence = replace(DEMO.evidence, former=former)
    board = build(evidence, DEMO.catalogue, ["digits", "letters"], SMALL)
    shown = [(f.method, f.ruleset, f.n, f.mean) for f in board.tasks[0].former]
    assert shown == [("lion", 1, 12, pytest.approx(0.95)), ("adam", 1, 2, pytest.approx(0.5))]
    assert [(f.method, f.mean) for f in board.tasks[1].former] == [("none", None)]
    assert board.tasks[0].rows == made(DEMO).tasks[0].rows
    alone = build(Evidence({}, former=former), DEMO.catalogue, ["digits"], SMALL)
    assert (alone.tasks[0].rows, alone.tasks[0].pairs) == ([], None)
    assert len(alone.tasks[0].former) == 2


def test_filtering_methods_changes_no_number() -> None:
    board = made(DEMO)
    cut = only(board, ["noisy"])
    assert [r.method for r in cut.tasks[0].rows] == ["sgd", "noisy"] or [
        r.method for r in cut.tasks[0].rows
    ] == ["noisy", "sgd"]
    assert row(cut, "noisy") == row(board, "noisy")
    assert cut.overall is not None
    assert {r.method for r in cut.overall.rows} == {"sgd", "noisy"}


@given(st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_the_order_of_records_does_not_matter(rng: random.Random) -> None:
    evidence = DEMO.evidence
    runs = dict(rng.sample(list(evidence.runs.items()), len(evidence.runs)))
    tasks = list(DEMO.cards)
    assert build(Evidence(runs), DEMO.catalogue, tasks, SMALL) == made(DEMO)


SCORE = st.one_of(st.floats(-5, 5).map(lambda x: round(x, 3)), st.just("diverged"), st.none())
RANKS = {"rank"}


@given(st.lists(SCORE, min_size=R, max_size=R), st.sampled_from(["digits", "letters", "valley"]))
@settings(max_examples=10)
def test_another_entry_moves_nobodys_score(values: list[Any], task: str) -> None:
    before = made(DEMO)
    records = copy(DEMO)
    records.add(task, "entrant", values)
    after = made(records)
    assert all(v is None for v in values) or any(
        r.method == "entrant" for t in after.tasks for r in t.rows
    )
    for old, new in zip(before.tasks, after.tasks, strict=True):
        scores = {r.method: (r.score, r.tuned, r.defaults) for r in new.rows}
        assert all(scores[r.method] == (r.score, r.tuned, r.defaults) for r in old.rows)
    summaries = [*before.families, before.overall], [*after.families, after.overall]
    for old_summary, new_summary in zip(*summaries, strict=True):
        assert old_summary is not None and new_summary is not None
        found = {r.method: r.model_dump(exclude=RANKS) for r in new_summary.rows}
        for r in old_summary.rows:
            assert found[r.method] == r.model_dump(exclude=RANKS)
        assert old_summary.profile.items() <= new_summary.profile.items()


def test_running_the_reference_again_moves_no_score() -> None:
    """Other runs of the reference, say with other code, change its row and the differences."""
    records = copy(DEMO)
    for task in ("digits", "letters"):
        for run in records.of("sgd", task):
            assert run.result
            result = run.result.model_copy(update={"test": run.result.test - 0.2})
            records.change(run.id, result=result)
    before, after = made(DEMO), made(records)
    for old, new in zip(before.tasks, after.tasks, strict=True):
        scores = {r.method: (r.score, r.tuned) for r in new.rows}
        assert all(scores[r.method] == (r.score, r.tuned) for r in old.rows if r.method != "sgd")
    for old_summary, new_summary in zip(before.families, after.families, strict=True):
        found = {r.method: (r.score, r.interval) for r in new_summary.rows}
        assert all(
            found[r.method] == (r.score, r.interval) for r in old_summary.rows if r.method != "sgd"
        )


def test_more_repetitions_of_one_method_move_no_other() -> None:
    records = copy(DEMO)
    records.cell("digits", "better", *grid(0.97, 0, r=R + 4))
    before, after = made(DEMO), made(records)
    assert row(after, "better").tuned.n == R + 4
    rest = [{r.method: (r.score, r.tuned) for r in b.tasks[0].rows} for b in (before, after)]
    assert all(rest[1][name] == found for name, found in rest[0].items() if name != "better")
    assert after.tasks[1:] == before.tasks[1:]


def test_more_points_move_no_smaller_budget() -> None:
    """What a larger K adds is not read below it."""
    records = Records().task("t")
    records.cell("t", "sgd", *grid(0.9, 0))
    val, test = grid(0.9, 1)
    records.cell("t", "adam", [row[:4] for row in val], [row[:4] for row in test])
    few = made(records, 1)
    records.cell("t", "adam", val, test)
    assert row(made(records, 1), "adam").defaults == row(few, "adam").defaults


@given(
    st.floats(min_value=-1e99, max_value=1e99),
    st.floats(min_value=-1e99, max_value=1e99),
    st.sampled_from([None, 1, 3]),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_extreme_finite_scores_never_break_a_board(a: float, b: float, budget: int | None) -> None:
    records = Records().task("t")
    records.add("t", "sgd", [0.9] * R, k=1, space=UNTUNED)
    records.add("t", "wild", [a, b] * (R // 2), k=1, space=UNTUNED)
    wild = row(made(records, budget), "wild")
    assert wild.tuned.mean is not None
    assert math.isfinite(wild.tuned.mean)


def test_absurd_scores_and_too_many_repetitions_do_not_count() -> None:
    records = Records().task("t")
    records.add("t", "huge", [0.5] * R)
    for run in records.of("huge"):  # a record with such a score is refused when it is read
        assert run.result is not None
        records.change(run.id, result=run.result.model_copy(update={"test": 1e200}))
    records.add("t", "many", [0.5] * 20)
    board = made(records)
    assert [(r.method, r.tuned.n) for r in board.tasks[0].rows] == [("many", 16)]
    assert "which is no score" in " ".join(board.problems)
