"""One family of pairs: the same verdicts in table, matrix, ranks and comparison."""

from __future__ import annotations

import pickle
from itertools import combinations

import numpy as np
import pytest
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import table
from assay_leaderboard.boards.task_comparisons import TaskComparisons, mirrored
from assay_leaderboard.boards.two_methods import duel
from assay_leaderboard.evidence.cells import cells
from assay_leaderboard.format import verdict_word
from assay_leaderboard.schema.values import Comparison
from assay_leaderboard.site.pictures.frame import Measure
from assay_leaderboard.site.pictures.matrices import win_matrix
from assay_leaderboard.statistics import pair_family, subset_means

from tests.assay_leaderboard.making import K, R, Records, grid


def comparisons(records: Records, task: str = "t", budget: int | None = None) -> TaskComparisons:
    found, _ = cells(records.cards[task], records.evidence, records.catalogue, RULESET)
    return TaskComparisons(records.cards[task], found, RULESET, budget)


@pytest.fixture
def made() -> Records:
    """Methods of which some are far apart, some equal, and one has more repetitions."""
    records = Records().task("t", metric={"direction": "minimize", "chance": 2.0})
    for i, name in enumerate(("sgd", "adam", "lion")):
        records.cell("t", name, *grid(0.9 - 0.03 * i, i, gain=-0.1))
    records.cell("t", "copy", *grid(0.9, 0, gain=-0.1))
    records.cell("t", "longer", *grid(0.88, 5, r=R + 3, gain=-0.1))
    val, test = grid(0.9, 0, gain=-0.1)
    records.cell("t", "step", val, [[score + 0.0005 for score in row] for row in test])
    records.cell("t", "quick", *grid(0.7, 6, r=6, k=4))
    return records


@pytest.mark.parametrize("status", ["failed", "diverged", "out_of_budget"])
def test_methods_of_which_no_run_completed_are_not_equivalent(made: Records, status: str) -> None:
    """Both stand at chance in every repetition, so their interval is a point at 0."""
    for name in ("broken", "wrong"):
        made.cell("t", name, [[status] * K] * R)
    task = comparisons(made)
    verdicts = {frozenset((pair.a, pair.b)): pair.comparison for pair in task.pairs}
    found = verdicts[frozenset(("broken", "wrong"))]
    assert (found.difference, found.verdict, found.repetitions_needed) == (
        0, "neither completed", None,
    )  # fmt: skip
    assert task.comparison("broken", "wrong") == found
    assert duel(task, "wrong", "broken", revealed={}).comparison == mirrored(found)
    assert verdicts[frozenset(("broken", "sgd"))].verdict == "better"
    assert task.with_reference["broken"].verdict == "worse"
    assert sum(one.verdict == "neither completed" for one in verdicts.values()) == 1
    measure = Measure("loss", "nats", "minimize", 0.005)
    picture = win_matrix("m", list(task.by_method), task.pairs, measure, task.family)
    assert "1 of methods without a completed run" in picture


def test_at_the_defaults_alone_it_is_their_runs_that_must_have_completed(made: Records) -> None:
    """Their tuned points completed, so with them the two differ from chance and can be compared."""
    good = grid(0.9, 8, gain=-0.1)[0]
    for name in ("first", "second"):
        made.cell("t", name, [["diverged", *row[1:]] for row in good])
    for budget, expected in ((1, "neither completed"), (None, "equivalent")):
        task = comparisons(made, budget=budget)
        comparison = task.comparison("first", "second")
        assert comparison is not None
        assert (comparison.difference, comparison.verdict) == (0, expected)


def test_a_method_that_fails_like_its_reference_has_no_verdict_on_the_board() -> None:
    records = Records().task("t")
    for name in ("sgd", "broken"):
        records.cell("t", name, [["failed"] * K] * R)
    records.cell("t", "adam", *grid(0.9, 1))
    task = comparisons(records)
    rows = {row.method: row for row in table(task).rows}
    assert verdict_word(rows["broken"]) == "neither completed"
    assert verdict_word(rows["adam"]) == "better"
    assert task.ranks()["broken"] == (2, 3)


@pytest.mark.parametrize("budget", [None, 1, 3])
def test_pairs_are_all_ranked_ones_judged_together(made: Records, budget: int | None) -> None:
    task = comparisons(made, budget=budget)
    order = [row.method for row in table(task).rows if row.state == "ranked"]
    found = task.pairs
    assert [(pair.a, pair.b) for pair in found] == list(combinations(order, 2))
    rows = []
    for pair in found:
        a, b = (task.by_method[name].scores(budget)[:R] for name in (pair.a, pair.b))
        rows.append(b - a)  # smaller is better
    family, expected = pair_family.judge(rows, 0.005, RULESET.false_discovery_rate)
    assert task.family == family
    assert [pair.comparison for pair in found] == expected
    assert {"better", "better, negligible", "equivalent", "undecided"} & {
        comparison.verdict for comparison in expected
    }


@pytest.mark.parametrize("budget", [None, 2])
def test_one_pair_has_one_verdict_everywhere(made: Records, budget: int | None) -> None:
    task = comparisons(made, budget=budget)
    rows = {row.method: row for row in table(task).rows}
    lost = dict.fromkeys((cell.method for cell in task.ranked), 0)
    won = dict(lost)
    for pair in task.pairs:
        assert task.comparison(pair.a, pair.b) == pair.comparison
        assert task.comparison(pair.b, pair.a) == mirrored(pair.comparison)
        if pair.b == "sgd":
            assert rows[pair.a].versus_reference == pair.comparison
        if pair.a == "sgd":
            assert rows[pair.b].versus_reference == mirrored(pair.comparison)
        if pair.comparison.verdict == "better":
            won[pair.a] += 1
            lost[pair.b] += 1
        elif pair.comparison.verdict == "worse":
            won[pair.b] += 1
            lost[pair.a] += 1
    assert any(won.values())
    expected = {name: (1 + lost[name], 6 - won[name]) for name in lost}
    assert task.ranks() == expected
    assert {name: rows[name].rank for name in expected} == expected


def test_a_mirrored_comparison_is_that_of_the_other_side(made: Records) -> None:
    task = comparisons(made)
    for pair in task.pairs:
        differences = task.differences(pair.b, pair.a)
        back = mirrored(pair.comparison)
        assert back.difference == pytest.approx(float(differences.mean()))
        assert mirrored(back) == pair.comparison
        assert back.interval.low <= back.difference <= back.interval.high


def test_a_preliminary_method_has_a_difference_and_no_verdict(made: Records) -> None:
    """Both are scored at the budget of the one with fewer points."""
    task = comparisons(made)
    found = task.comparison("quick", "sgd")
    assert isinstance(found, Comparison)
    a, b = (task.by_method[name].scores(4)[:6] for name in ("quick", "sgd"))
    ends = subset_means.intervals((b - a)[np.newaxis], 0.05)[0].tolist()
    assert (found.n, found.verdict, found.repetitions_needed) == (6, None, None)
    assert found.difference == pytest.approx(float((b - a).mean()))
    assert [found.interval.low, found.interval.high] == ends
    row = next(row for row in table(task).rows if row.method == "quick")
    assert (row.rank, row.score, row.k, row.versus_reference) == (None, None, 4, found)
    assert row.note == (
        "6 of 12 repetitions, 4 of 8 points; compared with the reference at 4 points"
    )
    smaller = comparisons(made, budget=2).comparison("quick", "sgd")
    a, b = (task.by_method[name].scores(2)[:6] for name in ("quick", "sgd"))
    assert smaller is not None and smaller.difference == pytest.approx(float((b - a).mean()))


def test_a_preliminary_method_changes_no_verdict(made: Records) -> None:
    before = comparisons(made).pairs
    made.remove("quick")
    assert comparisons(made).pairs == before


def test_a_reference_of_quick_runs_is_compared_with(made: Records) -> None:
    made.remove("sgd")
    made.cell("t", "sgd", *grid(0.95, 0, r=6, k=4))
    task = comparisons(made)
    found = task.comparison("adam", "sgd")
    assert found is not None and found.verdict is None and found.n == 6
    assert task.family is not None and task.family.pairs == 10


def test_nothing_is_compared_with_incomplete_or_stale_cells(made: Records) -> None:
    made.cell("t", "begun", *grid(0.9, 0, r=5))
    made.cell("t", "old", *grid(0.9, 0), method_code="before")
    task = comparisons(made)
    for name in ("begun", "old", "nobody"):
        assert task.comparison(name, "sgd") is None
        assert task.comparison("sgd", name) is None
    assert task.comparison("sgd", "sgd") is None


@pytest.mark.parametrize("changes", [{"deterministic": True}, {}])
def test_the_paper_tier_has_no_verdicts(changes: dict[str, bool]) -> None:
    records = Records().task("t", tier="paper", **changes)
    n = 1 if changes else RULESET.r("paper")
    records.add("t", "sgd", [0.9] * n)
    records.add("t", "adam", [0.95] * n)
    task = comparisons(records)
    assert (task.family, task.pairs, task.ranks()) == (None, [], {})
    found = task.comparison("adam", "sgd")
    assert (found is None) == bool(changes)
    if found:
        assert found.verdict is None and found.difference == pytest.approx(0.05)


def test_one_method_alone_is_first(made: Records) -> None:
    made.runs = {run.id: run for run in made.of("sgd")}
    alone = comparisons(made)
    assert (alone.family, alone.pairs, alone.ranks()) == (None, [], {"sgd": (1, 1)})


def test_comparisons_travel_to_another_process(made: Records) -> None:
    task = comparisons(made)
    before = table(task), task.pairs
    received = pickle.loads(pickle.dumps(task))
    assert (table(received), received.pairs) == before


def test_ranked_rows_are_in_the_order_of_their_means(made: Records) -> None:
    for budget in (None, 1, K // 2):
        task = comparisons(made, budget=budget)
        means = [float(cell.values(budget).mean()) for cell in task.ranked]
        assert means == sorted(means)  # the metric is minimized


def test_scores_are_normalised_by_the_card_alone(made: Records) -> None:
    """0.9 is the anchor and 2.0 the chance; what the reference does today moves nobody."""
    task = comparisons(made)
    assert task.gap == pytest.approx(1.1)
    assert task.normalised(np.array([2.0, 0.9, 0.35])) == pytest.approx([0.0, 1.0, 1.5])
    card = made.cards["t"].model_copy(update={"anchor": None})
    assert TaskComparisons(card, task.cells, RULESET).gap is None
