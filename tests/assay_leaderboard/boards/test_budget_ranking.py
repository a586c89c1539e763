"""The board at every tuning budget against its ends and against whole populations."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from assay.records.schema import select
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.budget_ranking import budget_tables
from assay_leaderboard.schema.board import BudgetTable
from assay_leaderboard.statistics.aggregate import interquartile_mean
from assay_leaderboard.statistics.bootstrap import resamples
from assay_leaderboard.statistics.tuning_budgets import DRAWS

SMALL = RULESET.model_copy(update={"bootstrap_draws": 500})
VALS = {"sgd": [0.5, 0.8, 0.6, 0.7], "adam": [0.75, 0.4, 0.85, 0.3], "low": [0.2, 0.3, 0.25, 0.1]}


@pytest.fixture
def made(new_records: Any, scores: Any) -> Any:
    records = new_records().task("digits").task("letters")
    for seed, (task, method) in enumerate(itertools.product(("digits", "letters"), VALS)):
        level = max(VALS[method])
        study = records.add(task, method, scores(level, seed), scores(level - 0.1, seed + 50))
        shift = 0.02 if task == "letters" else 0.0
        vals = [val + shift for val in VALS[method]]
        records.tune(study, vals, [val - 0.013 for val in vals])
    return records


def tables(records: Any, tasks: tuple[str, ...] = ("digits", "letters")) -> list[BudgetTable]:
    boards = [
        build(records.evidence, records.catalogue, list(tasks), SMALL, basis)
        for basis in ("tuned", "defaults")
    ]
    trials = {task: records.task_evidence(task).all_trials for task in tasks}
    return budget_tables(boards[0], boards[1], trials, SMALL)


def at(found: list[BudgetTable], k: int) -> BudgetTable:
    (table,) = [table for table in found if table.k == k]
    return table


def test_both_ends_are_the_boards(made: Any) -> None:
    found = tables(made)
    assert [(t.k, t.basis) for t in found] == [
        (0, "defaults"),
        (1, "trials"),
        (2, "trials"),
        (4, "tuned"),
    ]
    for k, basis in ((0, "defaults"), (4, "tuned")):
        board = build(made.evidence, made.catalogue, ["digits", "letters"], SMALL, basis)  # type: ignore[arg-type]
        expected = [(r.method, r.iqm, r.iqm_interval, r.rank) for r in board.families[0].rows]
        assert [(r.method, r.score, r.interval, r.rank) for r in at(found, k).rows] == expected


def test_between_them_every_subset_counts_once(made: Any) -> None:
    """The interquartile mean over the population of all subsets of the trials of each task."""
    board = build(made.evidence, made.catalogue, ["digits", "letters"], SMALL)
    anchors = {t.task: next(r.tuned.mean for r in t.rows if r.is_reference) for t in board.tasks}
    found = tables(made)
    for k in (1, 2):
        for row in at(found, k).rows:
            population = []
            for study in made.studies:
                if study.method.slug != row.method:
                    continue
                won = [
                    select(subset, "maximize") for subset in itertools.combinations(study.trials, k)
                ]
                tests = np.array([study.trials[i].val - 0.013 for i in won])
                population.append((tests - 0.1) / (anchors[study.task.slug] - 0.1))
            assert row.score == pytest.approx(interquartile_mean(population))


@pytest.mark.parametrize("k", [1, 2])
def test_draws_resample_the_trials_of_each_task(made: Any, k: int) -> None:
    """Studies of three and four trials: every subset of every resample, tasks weighing the same."""
    study = next(s for s in made.studies if (s.task.slug, s.method.slug) == ("letters", "adam"))
    made.tune(study, [0.3, 0.85, 0.5], [0.6, 0.7, 0.9])
    board = build(made.evidence, made.catalogue, ["digits", "letters"], SMALL)
    anchors = {t.task: next(r.tuned.mean for r in t.rows if r.is_reference) for t in board.tasks}
    (row,) = [row for row in at(tables(made), k).rows if row.method == "adam"]
    pools = []
    for task, trials in (("digits", VALS["adam"]), ("letters", [0.3, 0.85, 0.5])):
        tests = [0.6, 0.7, 0.9] if task == "letters" else [val - 0.013 for val in trials]
        drawn = resamples(SMALL.seed_root, f"{task}/trials", len(trials), DRAWS).T
        subsets = list(itertools.combinations(range(len(trials)), k))
        won = [[max((trials[i], i) for i in draw[[*s]])[1] for s in subsets] for draw in drawn]
        pools.append((np.array(tests)[won] - 0.1) / (anchors[task] - 0.1))
    draws = [interquartile_mean(pool) for pool in zip(*pools, strict=True)]
    assert row.interval is not None
    expected = np.quantile(draws, [0.025, 0.975])
    assert (row.interval.low, row.interval.high) == pytest.approx(expected)


def test_ranks_and_intervals_follow_from_the_trials(made: Any) -> None:
    table = at(tables(made), 2)
    assert [row.method for row in table.rows] == ["adam", "sgd", "low"]
    assert [row.rank for row in table.rows] == [(1, 2), (1, 2), (3, 3)]
    for row in table.rows:
        assert row.interval is not None and row.interval.low <= row.score <= row.interval.high


def test_other_entries_move_no_score_and_no_position(made: Any) -> None:
    before = {t.k: {r.method: (r.score, r.interval) for r in t.rows} for t in tables(made)}
    quick = made.add("digits", "quick", [0.7] * 8, preset="quick", k=2)
    made.tune(quick, [0.3, 0.7], [0.3, 0.7])
    for task in ("digits", "letters"):
        study = made.add(task, "greedy", [0.99] * 12, [0.98] * 12)
        made.tune(study, [0.9] * 30, [0.9] * 30)
    after = tables(made)
    assert [table.k for table in after] == list(before)
    for table in after:
        rows = {row.method: (row.score, row.interval) for row in table.rows}
        assert "quick" not in rows and "greedy" in rows
        assert {method: rows[method] for method in before[table.k]} == before[table.k]


def test_a_method_with_nothing_to_tune_stays_where_it_is(made: Any) -> None:
    for task in ("digits", "letters"):
        study = made.add(task, "fixed", [0.6] * 12, [0.6] * 12)
        made.tune(study, [0.6], [0.6])
    found = tables(made)
    rows = [next(r for r in at(found, k).rows if r.method == "fixed") for k in (1, 2)]
    assert rows[0].score == rows[1].score
    assert rows[0].interval is not None and rows[0].interval.low == rows[0].interval.high


def test_a_method_without_its_trials_is_not_between(made: Any) -> None:
    del made.runs[made.studies[-1].trials[2].run_id]
    assert [{r.method for r in t.rows} for t in tables(made)] == [
        {"sgd", "adam", "low"},
        {"sgd", "adam"},
        {"sgd", "adam"},
        {"sgd", "adam", "low"},
    ]


def test_one_absurd_trial_moves_nothing(made: Any) -> None:
    """It lies outside the middle half, where nothing weighs anything."""
    expected = at(tables(made), 1).rows
    study = made.studies[0]
    run = made.runs[study.trials[0].run_id]
    made.change(run.id, result=run.result.model_copy(update={"test": -1e99}))
    found = at(tables(made), 1)
    assert found.rows[1].score == pytest.approx(expected[1].score)


def test_smaller_is_better_where_the_card_says_so(new_records: Any) -> None:
    records = new_records().task(
        "digits", metric={"direction": "minimize", "chance": 10.0, "margin": 0.1}
    )
    for method, best in (("sgd", 2.0), ("adam", 1.0)):
        study = records.add("digits", method, [best] * 3, [best + 1] * 3)
        records.tune(study, [9.0, best], [9.0, best])
    found = tables(records, ("digits",))
    assert [row.method for row in at(found, 1).rows] == ["adam", "sgd"]
    assert at(found, 1).rows[1].score == pytest.approx(((10 - 9) / 8 + (10 - 2) / 8) / 2)


def test_without_a_reference_there_is_no_slider(new_records: Any) -> None:
    records = new_records().task("digits")
    records.tune(records.add("digits", "adam", [0.9] * 3), [0.9, 0.8], [0.9, 0.8])
    assert tables(records, ("digits",)) == []
