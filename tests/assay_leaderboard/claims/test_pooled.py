"""Numbers that verdicts rest on, held to scipy and statsmodels: pooled, Holm's, secondary ones."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from assay.cards import SubmissionCard
from assay.plugins import registry
from assay.ruleset import RULESET
from assay_leaderboard.boards.secondary_metrics import MEANINGS
from assay_leaderboard.boards.task_comparisons import all_comparisons
from assay_leaderboard.claims.ledger import evaluate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

from tests.assay_leaderboard.claims.conftest import (
    GAP,
    claim,
    first,
    flips,
    judged,
    only,
    subset_ends,
)
from tests.assay_leaderboard.making import R, Records, noisy


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
