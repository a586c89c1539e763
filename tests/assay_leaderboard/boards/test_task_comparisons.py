"""All pairs of one task: the same numbers as one comparison at a time."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import table
from assay_leaderboard.boards.task_comparisons import TaskComparisons, pairs, ranks
from assay_leaderboard.evidence.cells import cells
from assay_leaderboard.statistics import paired_tests
from statsmodels.stats.multitest import multipletests

SMALL = RULESET.model_copy(update={"bootstrap_draws": 500})


def comparisons(records: Any, task: str = "t") -> TaskComparisons:
    card = records.cards[task]
    found, _ = cells(card, records.evidence, records.catalogue, SMALL)
    return TaskComparisons(card, found, "tuned", SMALL)


@pytest.fixture
def mixed(records: Any, scores: Callable[..., list[float]]) -> TaskComparisons:
    """Methods of 12 and of 8 repetitions, two equal ones, one a step above another."""
    records.task("t", metric={"direction": "minimize", "chance": 2.0})
    for i, name in enumerate(("sgd", "adam", "lion")):
        records.add("t", name, scores(0.9 - 0.02 * i, i))
    records.add("t", "copy", scores(0.9, 0))
    records.add("t", "step", [score + 0.001 for score in scores(0.9, 0)])
    records.add("t", "quick", scores(0.95, 5, n=8), preset="quick", k=4)
    return comparisons(records)


def test_pairs_are_the_comparisons_of_each_two(mixed: TaskComparisons) -> None:
    found = pairs(mixed)
    order = [row.method for row in table(mixed, []).rows]
    assert [(pair.a, pair.b) for pair in found] == list(combinations(order, 2))
    cell_of = {cell.method: cell for cell in mixed.cells}
    alone = []
    for pair in found:
        differences = mixed.differences(cell_of[pair.a].tuned, cell_of[pair.b].tuned)
        alone.append(mixed.compared(differences))
        expected = alone[-1].interval
        assert pair.interval is not None and expected is not None
        ends = pair.interval.low, pair.interval.high
        assert ends == pytest.approx((expected.low, expected.high), rel=0, abs=1e-9)
    for pair, one in zip(found, alone, strict=True):
        assert (pair.n, pair.superiority) == (one.n, one.superiority)
        assert pair.difference == pytest.approx(one.difference, abs=1e-15)
    adjusted = multipletests([one.p for one in alone], method="fdr_bh")[1]
    assert [pair.p for pair in found] == pytest.approx(adjusted)
    verdicts = [
        paired_tests.adjusted(one, float(p), SMALL.alpha).verdict
        for one, p in zip(alone, adjusted, strict=True)
    ]
    assert [pair.verdict for pair in found] == verdicts
    assert {"better", "equivalent"} <= set(verdicts)


def test_ranks_count_the_pairs(mixed: TaskComparisons) -> None:
    lost: dict[str, int] = dict.fromkeys((cell.method for cell in mixed.ranked), 0)
    won = dict(lost)
    for pair in pairs(mixed):
        assert pair.p is not None
        if pair.p <= SMALL.alpha:
            winner, loser = (pair.a, pair.b) if pair.difference > 0 else (pair.b, pair.a)
            won[winner] += 1
            lost[loser] += 1
    assert ranks(mixed) == {name: (1 + lost[name], 6 - won[name]) for name in lost}
    assert any(won.values())


def test_the_pair_with_the_reference_is_the_row_of_the_table(mixed: TaskComparisons) -> None:
    rows = {row.method: row for row in table(mixed, []).rows}
    for pair in pairs(mixed):
        if pair.b == "sgd":
            versus = rows[pair.a].versus_reference
            assert versus is not None and versus.interval is not None and pair.interval is not None
            assert pair.difference == pytest.approx(versus.difference, abs=1e-15)
            assert pair.interval.low == pytest.approx(versus.interval.low, abs=1e-12)


def test_deterministic_pairs_go_by_the_margin(demo_records: Any) -> None:
    found = {(pair.a, pair.b): pair for pair in pairs(comparisons(demo_records, "valley"))}
    assert [found["better", other].verdict for other in ("same", "sgd", "noisy")] == ["better"] * 3
    same = found["same", "sgd"]
    assert (same.n, same.p, same.interval, same.verdict) == (1, None, None, "equivalent")


def test_methods_without_a_common_repetition_make_no_pair(records: Any) -> None:
    records.task("t")
    records.add("t", "sgd", [0.9] * 12)
    alone = comparisons(records)
    assert pairs(alone) == []
    assert ranks(alone) == {"sgd": (1, 1)}


def test_a_contest_travels_to_another_process_light(mixed: TaskComparisons) -> None:
    before = table(mixed, []), pairs(mixed)
    sent = pickle.dumps(mixed)
    assert len(sent) < 30_000  # no draws
    received = pickle.loads(sent)
    assert (table(received, []), pairs(received)) == before


def test_ranked_rows_are_in_the_order_of_their_means(mixed: TaskComparisons) -> None:
    means = [float(np.mean(cell.tuned.values)) for cell in mixed.ranked]
    assert means == sorted(means)  # the metric is minimized
