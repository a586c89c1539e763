"""What a card claims against made-up records, with every kind of ending."""

from __future__ import annotations

import datetime
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.cards import Claim, SubmissionCard
from assay.plugins import registry
from assay.ruleset import RULESET
from assay_leaderboard.boards.secondary_metrics import MEANINGS
from assay_leaderboard.boards.task_comparisons import TaskComparisons, all_comparisons
from assay_leaderboard.claims.ledger import ClaimRow, Ledger, evaluate
from assay_leaderboard.claims.pooled import TierVerdict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

from tests.assay_leaderboard.making import Records, grid, noisy

GOLDEN = Path(__file__).parent / "golden_ledger.json"
R = RULESET.r("lite")
GAP = 0.8
"""Anchor less chance of the made-up tasks."""


def claim(**changes: Any) -> Claim:
    values: dict[str, Any] = {
        "text": "It is better.",
        "source": "made up",
        "metric": "accuracy",
        "better_than": "sgd",
        "tasks": ["digits"],
    }
    return Claim.model_validate(values | changes)


def compared(
    records: Records,
    secondary: Mapping[tuple[str, str], Mapping[str, Sequence[float]]] | None = None,
) -> list[TaskComparisons]:
    """The tasks; `secondary` holds values of each repetition by (task, method), then by name."""
    evidence = records.evidence
    runs = {}
    for key, run in evidence.runs.items():
        values = (secondary or {}).get((run.task.slug, run.method.slug), {})
        known = {n: v[run.repetition] for n, v in values.items()} if run.test is not None else {}
        runs[key] = replace(run, secondary=known)
    work, problems = all_comparisons(replace(evidence, runs=runs), records.catalogue, RULESET)
    assert not problems
    return work


def judged(records: Records, *claims: Claim, method: str = "new", secondary: Any = None) -> Ledger:
    """The ledger of a card with these claims."""
    card = SubmissionCard(slug=method, title=method, claims=list(claims))
    return evaluate(compared(records, secondary), {method: card}, records.cards, RULESET)


def only(ledger: Ledger) -> ClaimRow:
    assert len(ledger.rows) == 1
    return ledger.rows[0]


def first(ledger: Ledger) -> TierVerdict:
    return only(ledger).findings[0]


def shifted(records: Records, task: str, mean: float, sd: float, seed: int = 2) -> list[float]:
    """Add "new" and "sgd", whose paired differences have this mean and spread, to the bit."""
    noise = np.random.default_rng(seed).normal(0, 1, R)
    noise = (noise - noise.mean()) / noise.std() * sd
    differences = [float(x) for x in mean + noise]
    records.add(task, "sgd", [0.5] * R)
    records.add(task, "new", [0.5 + d for d in differences])
    return differences


def flips(values: Sequence[float], bar: float = 0.0) -> float:
    """Exact sign-flip p by brute force."""
    row = [value - bar for value in values]
    observed = abs(sum(row)) * (1 - 1e-9)
    signs = itertools.product((-1, 1), repeat=len(row))
    return float(np.mean([abs(np.dot(sign, row)) >= observed for sign in signs]))


def subset_ends(values: Sequence[float], error: float) -> tuple[float, float]:
    """The ends of the interval from the sorted means of all subsets, by brute force."""
    n = len(values)
    means = sorted(
        float(np.mean(subset))
        for size in range(1, n + 1)
        for subset in itertools.combinations(values, size)
    )
    k = max(1, int(error / 2 * 2**n))
    return means[k - 1], means[-k]


def test_a_clear_gain_is_supported_and_its_numbers_are_those_of_scipy(records: Records) -> None:
    records.task("digits").task("letters", anchor={"value": 0.5, "n": 12, "standard_error": 0.01})
    rows = []
    for i, (task, gap) in enumerate({"digits": 0.8, "letters": 0.4}.items()):
        new, old = noisy(0.95, i), noisy(0.9, 50 + i)
        records.add(task, "new", new)
        records.add(task, "sgd", old)
        rows.append(np.subtract(new, old) / gap)
    row = only(judged(records, claim(tasks=["digits", "let*"])))
    (finding,) = row.findings
    means = np.mean(rows, axis=0)
    test = permutation_test((means,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert (row.verdict, row.tier, row.untested) == ("supported", "lite", [])
    assert (row.n_tasks, row.of_tasks) == (2, 2)
    assert (finding.n, finding.n_tasks, finding.unit) == (12, 2, "normalised")
    assert finding.difference == pytest.approx(means.mean())
    assert finding.p == pytest.approx(test.pvalue)
    assert finding.margin == pytest.approx((0.005 / 0.8 + 0.005 / 0.4) / 2)
    assert finding.interval is not None
    assert (finding.interval.low, finding.interval.high) == pytest.approx(subset_ends(means, 0.05))
    assert finding.level == 0.95


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


def test_holm_counts_the_claims_of_the_same_card_and_no_others(records: Records) -> None:
    records.task("digits")
    means = {"new": 0.906, "sgd": 0.87, "adam": 0.9, "nadam": 0.905}
    for i, (method, mean) in enumerate(means.items()):
        records.add("digits", method, noisy(mean, i))
    claims = [claim(better_than=other) for other in ("sgd", "adam", "nadam")]
    together = [row.findings[0] for row in judged(records, *claims).rows]
    p = [finding.p for finding in together]
    adjusted = multipletests(p, method="holm")[1]
    assert {bool(value <= 0.05) for value in adjusted} == {True, False}
    for finding, value in zip(together, adjusted, strict=True):
        assert finding.interval is not None
        outside = finding.interval.low > 0 or finding.interval.high < 0
        assert outside == (value <= 0.05)
    rejected = int((adjusted <= 0.05).sum())
    assert {finding.level for finding in together} == {1 - 0.05 / (3 - rejected)}
    records.task("letters").add("letters", "unrelated", noisy(0.99, 9))
    assert [row.findings[0] for row in judged(records, *claims).rows] == together


@given(
    rows=st.lists(st.lists(st.integers(-8, 20), min_size=6, max_size=6), min_size=1, max_size=4),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_interval_excludes_0_exactly_where_holm_rejects(rows: list[list[int]]) -> None:
    made = Records().task("digits")
    made.add("digits", "new", [0.0] * R)
    full = [row * 2 for row in rows]
    for i, row in enumerate(full):
        made.add("digits", f"other{i}", [-value / 64 for value in row])
    claims = [claim(better_than=f"other{i}") for i in range(len(rows))]
    found = [row.findings[0] for row in judged(made, *claims).rows]
    p = [flips(row) for row in full]
    adjusted = multipletests(p, method="holm")[1]
    for finding, one, value in zip(found, p, adjusted, strict=True):
        assert finding.p == pytest.approx(one)
        assert finding.interval is not None
        outside = finding.interval.low > 0 or finding.interval.high < 0
        assert outside == (value <= 0.05)


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


class TestSecondary:
    def test_every_metric_beside_a_score_has_a_meaning(self) -> None:
        named = {name for e in registry.task_entries().values() for name in e.card.secondary}
        assert named <= MEANINGS.keys()

    def test_the_claims_tasks_are_its_own_family(self, records: Records) -> None:
        secondary: dict[tuple[str, str], dict[str, list[float]]] = {}
        for i, task in enumerate(("digits", "letters", "faces")):
            records.task(task, secondary=["macro_f1"])
            for method, mean in (("new", 0.5 + 0.006 * (i < 2)), ("sgd", 0.5), ("other", 0.9)):
                records.add(task, method, noisy(0.9, 0))
                secondary[task, method] = {"macro_f1": noisy(mean, 7 * i + len(method))}
        asked = claim(metric="macro_f1", tasks=["*"], margin=0.001)
        finding = first(judged(records, asked, secondary=secondary))
        rows = [
            np.subtract(*(secondary[task.task, m]["macro_f1"] for m in ("new", "sgd")))
            for task in finding.tasks
        ]
        p = [flips(row.tolist()) for row in rows]
        passed = int(multipletests(p, 0.05, method="fdr_bh")[0].sum())
        error = max(passed, 1) * 0.05 / 3
        assert finding.unit == "share"
        for task, row, own in zip(finding.tasks, rows, p, strict=True):
            assert task.comparison is not None and task.pairs is not None
            assert (task.pairs.pairs, task.pairs.passed) == (3, passed)
            assert task.comparison.p == pytest.approx(own)
            ends = task.comparison.interval.low, task.comparison.interval.high
            assert ends == pytest.approx(subset_ends(row.tolist(), error))
        pooled = np.mean(rows, axis=0)
        assert finding.difference == pytest.approx(pooled.mean())
        assert finding.p == pytest.approx(flips(pooled.tolist()))
        assert finding.margin == 0.001

    def test_the_value_is_that_of_the_point_that_validation_selects(self, records: Records) -> None:
        records.task("digits", secondary=["macro_f1"])
        for method in ("new", "sgd"):
            records.cell("digits", method, [[0.1, 0.2, *[0.0] * 6]] * R)
        evidence = records.evidence
        runs = {
            key: replace(run, secondary={"macro_f1": 0.1 * run.point * (run.method.slug == "new")})
            for key, run in evidence.runs.items()
            if run.point is not None
        }
        work, _ = all_comparisons(replace(evidence, runs=runs), records.catalogue, RULESET)
        claims = [claim(metric="macro_f1"), claim(metric="macro_f1", tuned=False)]
        card = SubmissionCard(slug="new", title="new", claims=claims)
        tuned, defaults = evaluate(work, {"new": card}, records.cards, RULESET).rows
        assert tuned.findings[0].difference == pytest.approx(0.1)
        assert defaults.findings[0].difference == 0.0

    def test_a_run_without_a_score_counts_the_worst(self, records: Records) -> None:
        records.task("digits", secondary=["macro_f1", "total_bits"])
        records.add("digits", "new", [*noisy(0.9, 0, n=11), "diverged"])
        records.add("digits", "sgd", noisy(0.9, 1))
        values = {m: {"macro_f1": [0.5] * 12, "total_bits": [9.0] * 12} for m in ("new", "sgd")}
        secondary = {("digits", method): value for method, value in values.items()}
        f1, bits = judged(
            records, claim(metric="macro_f1"), claim(metric="total_bits"), secondary=secondary
        ).rows
        assert f1.findings[0].difference == pytest.approx(-0.5 / 12)
        assert bits.verdict == "not tested"
        assert bits.reasons == {"digits": "new: 1 repetitions have no total_bits"}

    def test_what_a_task_does_not_record_is_not_tested(self, records: Records) -> None:
        records.task("digits")
        for method in ("new", "sgd"):
            records.add("digits", method, noisy(0.9, 0))
        row = only(judged(records, claim(metric="perplexity")))
        assert row.reasons == {"digits": "the task does not record perplexity"}


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


def test_the_repetitions_that_all_tasks_have_are_pooled(records: Records) -> None:
    records.task("digits").task("letters")
    for task, n in (("digits", 14), ("letters", 12)):
        records.add(task, "new", noisy(0.95, n, n=n))
        records.add(task, "sgd", noisy(0.9, 1, n=n))
    finding = first(judged(records, claim(tasks=["*"])))
    rows = [np.subtract(noisy(0.95, n, n=n), noisy(0.9, 1, n=n))[:12] for n in (14, 12)]
    assert finding.n == 12
    assert finding.difference == pytest.approx(np.mean(rows) / GAP)
    assert [task.comparison.n for task in finding.tasks if task.comparison] == [14, 12]


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


@given(st.randoms(use_true_random=False), st.lists(st.floats(0.1, 1.0), min_size=12, max_size=12))
@settings(max_examples=6)
def test_neither_order_nor_other_methods_move_the_test_of_a_claim(
    rng: random.Random, other: list[float]
) -> None:
    made = Records().task("digits").task("letters")
    for i, task in enumerate(("digits", "letters")):
        made.add(task, "new", noisy(0.92, i))
        made.add(task, "sgd", noisy(0.9, i + 9))
    claims = claim(tasks=["*"]), claim(tasks=["digits"], better_than="reference")
    before = judged(made, *claims)
    made.runs = dict(rng.sample(list(made.runs.items()), len(made.runs)))
    assert judged(made, *claims) == before
    made.add("digits", "other", other)
    for old, new in zip(before.rows, judged(made, *claims).rows, strict=True):
        (a,), (b,) = old.findings, new.findings
        assert (a.difference, a.interval, a.level, a.p) == (b.difference, b.interval, b.level, b.p)


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
