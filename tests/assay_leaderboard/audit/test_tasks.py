"""The audit of tasks, on made-up records."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np
import pytest
from assay.cards import SubmissionCard
from assay.ruleset import RULESET
from assay_leaderboard.audit.tasks import Audit, Audited, TaskAudit, anchor_table, audit
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import cells
from assay_leaderboard.schema.board import Anchor
from assay_leaderboard.schema.task_details import (
    Detail,
    Pair,
    Sensitivity,
    TargetReached,
    TaskDetail,
)
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.statistics import subset_means

from tests.assay_leaderboard.making import Records, grid, noisy

FAST = RULESET.model_copy(update={"bootstrap_draws": 200})


def detail(method: str, targets: list[TargetReached]) -> Detail:
    sensitivity = Sensitivity(
        n=0, default_gap=0.0, near_best=1.0, lr_decades=None, diverged=0.0, ranges={}, trials=[]
    )
    return Detail(
        method=method, curve=[], targets=targets, budget=[], sensitivity=sensitivity, cost=None,
        selection=None, paths=[],
    )  # fmt: skip


def audited(records: Records, targets: Any = None, methods: Any = None) -> Audit:
    board = build(records.evidence, records.catalogue, list(records.cards), FAST)
    tables = {table.task: table for table in board.tasks}
    tasks = []
    for slug, card in records.cards.items():
        found, _ = cells(card, records.evidence, records.catalogue, FAST)
        work = TaskComparisons(card, found, FAST)
        reference = work.by_method.get(card.reference)
        complete = reference is not None and reference.state == "ranked"
        tasks.append(
            Audited(
                card,
                tables.get(slug),
                TaskDetail(
                    task=slug,
                    details=[detail(card.reference, (targets or {}).get(slug, []))],
                    pairs=work.pairs,
                    ecdf={},
                ),
                reference.values() if reference and complete else None,
            )
        )
    summaries = [*board.families, *([board.overall] if board.overall else [])]
    return audit(tasks, methods or {}, summaries, None, FAST, [])


def only(found: Audit) -> TaskAudit:
    assert len(found.tasks) == 1
    return found.tasks[0]


def target(name: Any, reached: int) -> TargetReached:
    span = Interval(low=0.0, high=1.0)
    return TargetReached(
        name=name, split="val", value=0.5, n=12, reached=reached, rate=span, passes=None,
        seconds=None, survival=[],
    )  # fmt: skip


def test_a_sound_task_separates_methods(records: Records) -> None:
    records.task("digits")
    for i, (method, mean) in enumerate({"sgd": 0.9, "adam": 0.9, "good": 0.97}.items()):
        records.add("digits", method, noisy(mean, i))
    found = only(audited(records, {"digits": [target("easy", 12), target("stretch", 0)]}))
    assert (found.verdict, found.problems) == ("sound", [])
    assert (found.n_methods, found.n_pairs, found.n_separated, found.n_aliases) == (3, 3, 2, 0)
    assert found.widest is not None and found.widest.a == "good"
    assert found.widest.comparison.verdict == "better"
    assert found.above_chance is not None and found.above_chance.verdict == "better"
    assert [check.reached for check in found.targets] == [12, 0]


def test_above_chance_is_the_interval_of_the_references_gain(records: Records) -> None:
    records.task("digits")
    scores = noisy(0.9, 1)
    records.add("digits", "sgd", scores)
    found = only(audited(records)).above_chance
    assert found is not None
    gains = np.array([scores]) - 0.1
    assert found.difference == pytest.approx(gains.mean())
    ends = subset_means.intervals(gains, 0.05)[0]
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(ends))


def test_a_reference_at_chance_is_a_problem(records: Records) -> None:
    records.task("digits")
    records.add("digits", "sgd", noisy(0.1, 1, sd=0.05))
    records.add("digits", "good", noisy(0.97, 2))
    found = only(audited(records))
    assert found.verdict == "problem"
    assert "not shown to be better than chance" in found.problems[0]


def test_less_is_better_where_the_card_says_so(records: Records) -> None:
    metric = {"direction": "minimize", "chance": 2.3, "unit": "nats"}
    records.task("loss", metric=metric, anchor={"value": 0.4, "n": 12, "standard_error": 0.003})
    records.add("loss", "sgd", noisy(0.4, 1))
    records.add("loss", "good", noisy(0.2, 2))
    found = only(audited(records))
    assert found.above_chance is not None and found.above_chance.difference > 1.8
    assert found.widest is not None and found.widest.a == "good"
    assert (found.ceiling, found.below_chance, found.problems) == (None, [], [])


def test_methods_that_are_all_alike_say_nothing(records: Records) -> None:
    records.task("digits")
    for i, method in enumerate(("sgd", "adam", "nadam")):
        records.add("digits", method, noisy(0.9, i, sd=0.05))
    found = only(audited(records))
    assert (found.verdict, found.n_separated) == ("problem", 0)
    assert "none of 3 pairs of methods is separated" in found.problems[0]


class TestAliases:
    def test_a_pair_of_parent_and_child_proves_nothing(self, records: Records) -> None:
        records.task("digits")
        records.add("digits", "sgd", noisy(0.9, 0))
        records.add("digits", "good", noisy(0.97, 1))
        assert only(audited(records)).verdict == "sound"
        for child, parent in (("good", "sgd"), ("sgd", "good")):
            card = SubmissionCard(slug=child, title=child, derived_from=[parent])
            found = only(audited(records, methods={child: card}))
            assert (found.n_pairs, found.n_aliases, found.n_separated) == (0, 1, 0)
            assert found.problems == ["the 2 ranked methods are aliases of each other: run others"]

    def test_equal_scores_in_every_repetition_are_aliases(self, records: Records) -> None:
        records.task("digits")
        for method in ("sgd", "copy"):
            records.cell("digits", method, *grid(0.9, 0))
        records.add("digits", "good", noisy(0.99, 1))
        found = only(audited(records))
        assert (found.n_pairs, found.n_aliases, found.n_separated) == (2, 1, 2)


def test_a_task_that_most_solve_is_at_its_ceiling(records: Records) -> None:
    records.task("digits", anchor={"value": 0.999, "n": 12, "standard_error": 0.0})
    for i, (method, mean) in enumerate({"sgd": 0.999, "adam": 0.998, "bad": 0.5}.items()):
        records.add("digits", method, noisy(mean, i, sd=0.0))
    found = only(audited(records))
    assert found.ceiling == pytest.approx(2 / 3)
    assert "67% of the methods" in found.problems[0]


def test_a_target_that_the_reference_misses(records: Records) -> None:
    records.task("digits")
    records.add("digits", "sgd", noisy(0.9, 1))
    records.add("digits", "good", noisy(0.97, 2))
    found = only(audited(records, {"digits": [target("easy", 12), target("reference", 6)]}))
    assert found.problems == [
        "the reference reaches the reference target in 6 of 12 repetitions: "
        "lower the target in the next version"
    ]


def test_a_chance_level_that_methods_stay_below_is_wrong(records: Records) -> None:
    records.task("digits", metric={"chance": 0.5})
    records.add("digits", "sgd", noisy(0.9, 1))
    records.add("digits", "poor", noisy(0.45, 2))
    records.add("digits", "close", noisy(0.497, 3, sd=0.001))  # within the margin
    found = only(audited(records))
    assert found.below_chance == ["poor"]
    assert "correct metric.chance" in found.problems[0]


def test_without_a_reference_nothing_is_measured(records: Records) -> None:
    records.task("digits")
    records.add("digits", "good", noisy(0.97, 2))
    found = only(audited(records))
    assert (found.verdict, found.above_chance, found.anchor) == ("not measured", None, None)
    assert "assay run sgd --task digits" in found.problems[0]


def test_a_task_without_records_is_not_measured(records: Records) -> None:
    records.task("digits")
    found = only(audited(records))
    assert (found.verdict, found.n_methods, found.ceiling) == ("not measured", 0, None)


class TestAnchor:
    def test_it_is_held_against_the_records_of_now(self, records: Records) -> None:
        records.task("digits")
        scores = noisy(0.9, 1)
        records.add("digits", "sgd", scores)
        records.add("digits", "good", noisy(0.97, 2))
        found = only(audited(records))
        error = np.std(scores, ddof=1) / math.sqrt(12)
        assert found.anchor is not None and found.anchor.card is not None
        assert found.anchor.difference == pytest.approx(np.mean(scores) - 0.9)
        assert found.anchor.standard_error == pytest.approx(math.sqrt(error**2 + 0.003**2))
        assert (found.anchor.paste, found.problems) == ("", [])

    def test_a_reference_that_moved_is_a_problem(self, records: Records) -> None:
        records.task("digits", anchor={"value": 0.85, "n": 12, "standard_error": 0.003})
        records.add("digits", "sgd", noisy(0.9, 1))
        records.add("digits", "good", noisy(0.97, 2))
        found = only(audited(records))
        assert found.verdict == "problem"
        assert "the anchor on the card is 0.85" in found.problems[0]

    def test_a_card_without_one_gets_the_table_to_paste(self, records: Records) -> None:
        records.task("digits", anchor=None)
        scores = noisy(0.9, 1)
        records.add("digits", "sgd", scores)
        records.add("digits", "good", noisy(0.97, 2))
        found = only(audited(records))
        assert found.anchor is not None
        pasted = tomllib.loads(found.anchor.paste)["anchor"]
        error = np.std(scores, ddof=1) / math.sqrt(12)
        assert pasted["n"] == 12
        assert pasted["value"] == pytest.approx(np.mean(scores), abs=error / 50)
        assert pasted["standard_error"] == pytest.approx(error, rel=0.02)
        assert "[anchor] table" in found.problems[0]

    @pytest.mark.parametrize("error", [0.0, 1e-9, 0.003, 4.0, 12345.6])
    def test_the_table_is_toml_of_floats(self, error: float) -> None:
        read = tomllib.loads(anchor_table(Anchor(value=-3.25, n=12, standard_error=error)))
        assert read["anchor"]["value"] == pytest.approx(-3.25, abs=max(error, 1e-6))
        assert read["anchor"]["standard_error"] == pytest.approx(error, rel=0.01)
        assert isinstance(read["anchor"]["value"], float)


def test_the_widest_pair_is_a_separated_one(records: Records) -> None:
    records.task("digits")
    for i, (method, mean) in enumerate({"sgd": 0.9, "adam": 0.95, "wild": 0.5}.items()):
        records.add("digits", method, noisy(mean, i))
    found = only(audited(records)).widest
    assert isinstance(found, Pair) and (found.a, found.b) == ("adam", "wild")


def test_a_deterministic_task_is_not_measured(records: Records) -> None:
    records.task("f1", family="functions", tier="paper", deterministic=True, anchor=None)
    records.add("f1", "sgd", [0.5])
    records.add("f1", "good", [0.6])
    found = only(audited(records))
    assert (found.verdict, found.problems, found.anchor) == ("not measured", [], None)


def test_the_paper_tier_need_not_separate_methods(records: Records) -> None:
    records.task("resnet", tier="paper")
    for method in ("sgd", "adam"):
        records.add("resnet", method, noisy(0.9, 1, n=5, sd=0.0))
    found = only(audited(records))
    assert (found.n_pairs, found.n_separated) == (0, 0)
    assert not any("separated" in line or "aliases" in line for line in found.problems)
