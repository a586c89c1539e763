"""What a card claims against made-up records, with every kind of ending."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.cards import SubmissionCard
from assay.ruleset import RULESET
from assay_leaderboard.claims.ledger import evaluate
from assay_leaderboard.evidence.cells import cells
from assay_leaderboard.evidence.runs import Tries

from tests.assay_leaderboard.claims.conftest import (
    GAP,
    claim,
    compared,
    first,
    flips,
    judged,
    only,
    subset_ends,
)
from tests.assay_leaderboard.making import R, Records, grid, noisy

GOLDEN = Path(__file__).parent / "golden_ledger.json"


def shifted(records: Records, task: str, mean: float, sd: float, seed: int = 2) -> list[float]:
    """Add "new" and "sgd", whose paired differences have this mean and spread, to the bit."""
    noise = np.random.default_rng(seed).normal(0, 1, R)
    noise = (noise - noise.mean()) / noise.std() * sd
    differences = [float(x) for x in mean + noise]
    records.add(task, "sgd", [0.5] * R)
    records.add(task, "new", [0.5 + d for d in differences])
    return differences


@pytest.mark.parametrize(
    ("mean", "sd", "margin", "verdict"),
    [
        (0.05, 0.01, 0.0, "supported"),
        (-0.05, 0.01, 0.0, "contradicted"),
        (0.0, 0.0001, 0.0, "no meaningful difference"),
        (0.003, 0.0001, 0.0, "no meaningful difference"),  # excludes 0, but is negligible
        (-0.003, 0.0001, 0.0, "no meaningful difference"),
        (0.0, 0.05, 0.0, "inconclusive"),
        (0.05, 0.01, 0.02, "supported"),
        (0.01, 0.001, 0.02, "no meaningful difference"),  # the claim's own, larger margin
        (-0.005, 0.001, -0.02, "supported"),  # claims to be at most 0.02 worse, and is
        (0.0, 0.0001, -0.02, "supported"),
        (-0.05, 0.01, -0.02, "contradicted"),
        (-0.02, 0.01, -0.02, "inconclusive"),
    ],
)
def test_the_verdict_is_read_off_the_interval(
    records: Records, mean: float, sd: float, margin: float, verdict: str
) -> None:
    records.task("digits")
    differences = shifted(records, "digits", mean, sd)
    row = only(judged(records, claim(margin=margin)))
    (finding,) = row.findings
    assert row.verdict == verdict
    assert finding.bar == pytest.approx(min(margin, 0) / GAP)
    assert finding.p == pytest.approx(flips(differences, min(margin, 0)))
    low, high = subset_ends(np.array(differences) / GAP, 0.05)
    assert finding.interval is not None
    assert (finding.interval.low, finding.interval.high) == pytest.approx((low, high))


def test_one_worse_task_denies_support_and_with_a_better_one_the_tasks_are_mixed(
    records: Records,
) -> None:
    records.task("digits").task("letters").task("faces")
    shifted(records, "digits", 0.3, 0.01)
    shifted(records, "letters", -0.05, 0.01)
    shifted(records, "faces", 0.3, 0.01)
    mixed = only(judged(records, claim(tasks=["*"])))
    assert mixed.verdict == "mixed"
    assert mixed.findings[0].interval is not None and mixed.findings[0].interval.low > 0
    assert "worse on letters" in mixed.findings[0].note
    assert only(judged(records, claim(tasks=["digits", "faces"]))).verdict == "supported"


def test_a_worse_task_alone_leaves_a_gain_inconclusive(records: Records) -> None:
    records.task("digits").task("letters")
    noise = [0.9, -0.4, 1.1, -0.2, 0.8, 0.9, 1.0, -0.3, 0.7, 0.6, 0.9, 0.8]
    records.add("digits", "new", noise)
    for method in ("sgd", "a", "b", "c", "d"):  # many equal pairs: the task's family is strict
        records.add("digits", method, [0.0] * R)
    shifted(records, "letters", -0.02, 0.001)
    row = only(judged(records, claim(tasks=["digits", "letters"])))
    (finding,) = row.findings
    assert {task.task: task.verdict for task in finding.tasks} == {
        "digits": "better",
        "letters": "worse",
    }
    assert row.verdict == "mixed"
    records.remove("new")
    records.add("digits", "new", [value - 0.17 for value in noise])  # p 0.03: above 5 * 5 % / 15
    records.add("letters", "new", [0.48] * R)
    row = only(judged(records, claim(tasks=["digits", "letters"])))
    (finding,) = row.findings
    assert [task.verdict for task in finding.tasks] == ["undecided", "worse"]
    assert finding.interval is not None and finding.interval.low > 0
    assert row.verdict == "inconclusive"


def test_a_named_task_has_the_verdict_of_the_board(records: Records) -> None:
    records.task("digits")
    for i, method in enumerate(("new", "sgd", "adam", "nadam")):
        records.cell("digits", method, *grid(0.9 + 0.01 * (i == 0), i))
    for tuned, budget in ((True, None), (False, 1)):
        board = replace(compared(records)[0], budget=budget)
        (task,) = first(judged(records, claim(tuned=tuned))).tasks
        assert task.comparison == board.comparison("new", "sgd")
        assert task.comparison is not None and task.verdict == task.comparison.verdict
        assert task.pairs == board.family
        assert task.pairs is not None and task.pairs.pairs == 6


def test_a_claim_about_the_defaults_is_judged_by_them(records: Records) -> None:
    records.task("digits")
    for method, tuned, defaults in (("new", 0.9, 0.8), ("sgd", 0.95, 0.7)):
        records.add("digits", method, noisy(tuned, 0), noisy(defaults, 1))
    rows = judged(records, claim(tuned=False), claim()).rows
    assert [row.verdict for row in rows] == ["supported", "contradicted"]
    assert rows[0].findings[0].tasks[0].mean == pytest.approx(np.mean(noisy(0.8, 1)))


def test_the_reference_means_each_tasks_own(records: Records) -> None:
    records.task("digits").task("letters", reference="adam")
    for task, reference in (("digits", "sgd"), ("letters", "adam")):
        records.add(task, "new", noisy(0.95, 0))
        records.add(task, reference, noisy(0.9, 1))
    row = only(judged(records, claim(better_than="reference", tasks=["*"])))
    assert row.findings[0].n_tasks == 2


class TestPreliminary:
    def test_it_never_headlines(self, records: Records) -> None:
        records.task("digits")
        for method, mean in (("new", 0.95), ("sgd", 0.9)):
            records.cell("digits", method, *grid(mean, 1, r=6, k=4))
        row = only(judged(records, claim()))
        (finding,) = row.findings
        assert (row.verdict, row.tier, row.n_tasks) == ("not tested", None, 0)
        assert (finding.verdict, finding.preliminary, finding.n) == (None, True, 6)
        assert finding.difference is not None and finding.difference > 0
        assert finding.tasks[0].verdict is None and finding.tasks[0].comparison is not None

    def test_beside_complete_results_it_counts_nowhere(self, records: Records) -> None:
        records.task("digits").task("letters")
        for method, mean in (("new", 0.95), ("sgd", 0.9)):
            records.add("digits", method, noisy(mean, len(method)))
            records.cell("letters", method, *grid(1.85 - mean, 1, r=6, k=4))
        row = only(judged(records, claim(tasks=["*"])))
        (finding,) = row.findings
        assert (row.verdict, row.n_tasks, row.of_tasks) == ("supported", 1, 2)
        assert finding.note.endswith("not in the pooled difference (preliminary): letters")
        assert [task.kind for task in finding.tasks] == ["complete", "preliminary"]

    def test_a_lower_tier_that_is_complete_goes_before_it(self, records: Records) -> None:
        records.task("digits").task("cifar", tier="standard")
        for method, mean in (("new", 0.95), ("sgd", 0.9)):
            records.add("digits", method, noisy(mean, len(method)))
            records.cell("cifar", method, *grid(1.85 - mean, 1, r=6, k=4))
        row = only(judged(records, claim(tasks=["*"])))
        assert (row.verdict, row.tier) == ("supported", "lite")
        assert [f.tier for f in row.findings] == ["standard", "lite"]


VALLEY: Any = dict(
    family="functions",
    deterministic=True,
    tier="paper",
    anchor=None,
    secondary=["global_basin", "passes_to_basin"],
)


class TestDeterministic:
    @pytest.mark.parametrize(
        ("new", "old", "verdict"),
        [
            ((1.0, 1.0), (0.0, 0.0), "supported"),
            ((1.0, 0.0), (0.0, 0.0), "inconclusive"),
            ((0.0, 0.0), (0.0, 0.0), "no meaningful difference"),
            ((0.0, 1.0), (1.0, 0.0), "mixed"),
            ((0.0, 0.0), (1.0, 0.0), "contradicted"),
        ],
    )
    def test_a_metric_beside_the_score_is_compared_by_its_number(
        self, records: Records, new: tuple[float, float], old: tuple[float, float], verdict: str
    ) -> None:
        secondary = {}
        for i, task in enumerate(("f1", "f2")):
            records.task(task, **VALLEY)
            records.add(task, "new", [0.5])
            records.add(task, "sgd", [0.5])
            secondary[task, "new"] = {"global_basin": [new[i]]}
            secondary[task, "sgd"] = {"global_basin": [old[i]]}
        asked = claim(metric="global_basin", tasks=["f?"])
        row = only(judged(records, asked, secondary=secondary))
        (finding,) = row.findings
        assert (row.verdict, row.tier) == (verdict, "paper")
        assert (finding.n, finding.p, finding.interval, finding.level) == (1, None, None, None)
        assert finding.difference == pytest.approx((sum(new) - sum(old)) / 2)
        assert "deterministic, one run each, no test" in finding.note
        assert f"better on {sum(a > b for a, b in zip(new, old, strict=True))}" in finding.note

    def test_less_is_better_where_the_metric_says_so(self, records: Records) -> None:
        records.task("f1", **VALLEY)
        records.add("f1", "new", [0.5])
        records.add("f1", "sgd", [0.5])
        passes = {
            ("f1", "new"): {"passes_to_basin": [3.0]},
            ("f1", "sgd"): {"passes_to_basin": [9.0]},
        }
        asked = claim(metric="passes_to_basin", tasks=["f1"])
        finding = first(judged(records, asked, secondary=passes))
        assert (finding.verdict, finding.difference, finding.unit) == ("supported", 6.0, "passes")

    def test_a_shortfall_that_the_claim_allows(self, records: Records) -> None:
        records.task("f1", **VALLEY)
        records.add("f1", "new", [0.49])
        records.add("f1", "sgd", [0.5])
        assert only(judged(records, claim(tasks=["f1"], margin=-0.02))).verdict == "supported"
        assert only(judged(records, claim(tasks=["f1"]))).verdict == "contradicted"

    def test_beside_varied_tasks_it_is_a_named_task(self, records: Records) -> None:
        records.task("digits").task("valley", deterministic=True)
        records.add("digits", "new", noisy(0.95, 0))
        records.add("digits", "sgd", noisy(0.9, 1))
        records.add("valley", "new", [0.5])
        records.add("valley", "sgd", [0.9])
        asked = claim(tasks=["digits", "valley"])
        row = only(judged(records, asked))
        assert (row.verdict, row.n_tasks) == ("mixed", 1)
        assert "(deterministic): valley" in row.findings[0].note


def test_the_paper_tier_shows_intervals_and_no_verdict(records: Records) -> None:
    records.task("resnet", tier="paper")
    records.add("resnet", "new", noisy(0.95, 0, n=5))
    records.add("resnet", "sgd", noisy(0.9, 1, n=5))
    row = only(judged(records, claim(tasks=["resnet"])))
    (finding,) = row.findings
    assert (row.verdict, finding.verdict, finding.n) == ("not tested", None, 5)
    assert finding.level == 1 - 2 / 2**5
    assert "no verdict" in finding.note


class TestUntested:
    def test_without_records(self, records: Records) -> None:
        records.task("letters").task("digits").task("cifar", tier="standard")
        row = only(judged(records, claim(tasks=["*"])))
        assert (row.verdict, row.tier, row.findings) == ("not tested", None, [])
        assert row.untested == ["digits", "letters", "cifar"]
        assert (row.n_tasks, row.of_tasks) == (0, 3)
        assert only(judged(records, claim(tasks=["gone_*"]))).untested == ["gone_*"]

    def test_stale_records_never_count(self, records: Records) -> None:
        records.task("digits")
        records.add("digits", "new", noisy(0.95, 0), method_code="before")
        records.add("digits", "sgd", noisy(0.9, 1))
        row = only(judged(records, claim()))
        assert row.verdict == "not tested"
        assert "stale" in row.reasons["digits"]

    def test_incomplete_cells(self, records: Records) -> None:
        records.task("digits")
        records.add("digits", "new", noisy(0.95, 0, n=4))
        records.add("digits", "sgd", noisy(0.9, 1))
        row = only(judged(records, claim()))
        assert row.verdict == "not tested"
        assert row.reasons == {
            "digits": "new is incomplete: 4 of 12 repetitions have all their runs"
        }

    def test_a_task_without_an_anchor_is_not_pooled(self, records: Records) -> None:
        records.task("digits").task("letters", anchor=None)
        for task, mean in (("digits", 0.95), ("letters", 0.8)):
            records.add(task, "new", noisy(mean, 0))
            records.add(task, "sgd", noisy(0.9, 1))
        row = only(judged(records, claim(tasks=["*"])))
        assert (row.verdict, row.n_tasks) == ("mixed", 1)
        assert "(no anchor): letters" in row.findings[0].note
        alone = only(judged(records, claim(tasks=["letters"])))
        assert (alone.verdict, alone.findings[0].verdict) == ("not tested", None)
        assert "anchor" in alone.findings[0].note


def test_each_tier_has_its_own_verdict_and_the_highest_speaks(records: Records) -> None:
    records.task("digits").task("cifar", tier="standard")
    for task, mean, n in (("digits", 0.95, 12), ("cifar", 0.85, 10)):
        records.add(task, "new", noisy(mean, 0, n=n))
        records.add(task, "sgd", noisy(0.9, 1, n=n))
    row = only(judged(records, claim(tasks=["*"])))
    assert [(f.tier, f.verdict) for f in row.findings] == [
        ("standard", "contradicted"),
        ("lite", "supported"),
    ]
    assert (row.tier, row.verdict, row.n_tasks, row.of_tasks) == ("standard", "contradicted", 1, 2)


def test_a_pattern_that_matches_no_task_counts_as_one_that_is_not_tested(records: Records) -> None:
    records.task("digits")
    records.add("digits", "new", noisy(0.95, 0))
    records.add("digits", "sgd", noisy(0.9, 1))
    row = only(judged(records, claim(tasks=["digits", "imagenet*"])))
    assert (row.n_tasks, row.of_tasks, row.untested) == (1, 2, ["imagenet*"])


class TestDates:
    def test_a_claim_written_after_its_results_shows_both_dates(self, records: Records) -> None:
        records.task("digits")
        records.add("digits", "new", noisy(0.95, 0), created_at="2026-03-02T10:00:00Z")
        records.add("digits", "sgd", noisy(0.9, 1), created_at="2026-01-01T00:00:00Z")
        days = [None, datetime.date(2026, 3, 2), datetime.date(2026, 3, 3)]
        rows = judged(records, *(claim(written=day) for day in days)).rows
        assert {row.results_since for row in rows} == {"2026-03-02T10:00:00Z"}
        assert [(row.written, row.edited_late) for row in rows] == [
            (days[0], False), (days[1], False), (days[2], True),
        ]  # fmt: skip

    def test_results_of_an_earlier_version_were_results_too(self, records: Records) -> None:
        records.task("digits")
        for method, mean in (("new", 0.95), ("sgd", 0.9)):
            records.add("digits", method, noisy(mean, 0), created_at="2026-03-02T10:00:00Z")
        published = "2026-02-01T00:00:00+00:00"
        tries = {("digits", method): Tries(2, 0, published) for method in ("new", "sgd")}
        evidence = replace(records.evidence, tries=tries)
        found, _ = cells(records.cards["digits"], evidence, records.catalogue, RULESET)
        assert {cell.since for cell in found} == {published}

    def test_quotations_checked_and_unchecked_and_controls_are_counted_apart(
        self, records: Records
    ) -> None:
        records.task("digits")
        records.add("digits", "new", noisy(0.95, 0))
        records.add("digits", "sgd", noisy(0.9, 1))
        control = claim(control=True)
        ledger = judged(records, claim(checked=True), claim(), claim(tasks=["gone"]), control)
        assert ledger.counts["supported"] == 1
        assert (ledger.counts_unchecked["supported"], ledger.counts_unchecked["not tested"]) == (
            1,
            1,
        )
        assert ledger.counts_controls["supported"] == 1
        assert sum(ledger.counts.values()) == 1
        assert len(ledger.counts) == 6


def test_the_ledger_of_a_past_is_rebuilt(
    demo_records: Records, pytestconfig: pytest.Config
) -> None:
    cards = {
        "better": SubmissionCard(
            slug="better",
            title="Better",
            claims=[
                claim(better_than="reference", tasks=["digits", "letters"], checked=True),
                claim(better_than="noisy", tasks=["*"], written="2026-05-01"),
                claim(tasks=["fixed"], tuned=False),
            ],
        ),
        "quick": SubmissionCard(slug="quick", title="Quick", claims=[claim()]),
    }
    made = evaluate(compared(demo_records), cards, demo_records.cards, RULESET)
    text = json.dumps(made.model_dump(mode="json"), indent=1) + "\n"
    if not GOLDEN.exists():  # pragma: no cover - delete the file to make it anew
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
