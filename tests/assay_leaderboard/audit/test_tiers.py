"""Lite against standard, on made-up summaries."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from assay.ruleset import RULESET, Tier
from assay_leaderboard.audit.tiers import calibrate, kendall, sentence
from assay_leaderboard.schema.board import FamilySummary, SummaryRow
from assay_leaderboard.statistics.bootstrap import resamples
from scipy.stats import kendalltau

FAST = RULESET.model_copy(update={"bootstrap_draws": 200})


def summary(tier: Tier, scores: dict[str, float | None], *families: Any) -> FamilySummary:
    """A summary of two tasks; a method with a score has both."""
    named = list(families) or ["classification"]
    rows = [
        SummaryRow(
            method=method, n_tasks=2 if score is not None else 1, of_tasks=2, n=24, score=score,
            interval=None, interval_tasks=None, range_tasks=None, mean=score, defaults=score,
            rank=None, lacks=[],
        )
        for method, score in scores.items()
    ]  # fmt: skip
    name = named[0] if len(named) == 1 else "overall"
    return FamilySummary(
        name=name if tier == "lite" else f"{name}_{tier}", tier=tier, families=named,
        tasks=["a", "b"], unanchored=[], margin=0.01, rows=rows,
    )  # fmt: skip


def test_tau_is_scipys_and_the_interval_holds_it() -> None:
    generator = np.random.default_rng(4)
    x = generator.normal(size=12)
    y = x + generator.normal(0, 0.5, 12)
    tau, interval = kendall(x, y, "classification", FAST)
    assert tau == pytest.approx(kendalltau(x, y).statistic)
    assert interval is not None and tau is not None
    assert interval.low < tau < interval.high


def test_tau_by_counting_pairs() -> None:
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    agree = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(4), 2)]
    assert kendall(x, y, "", FAST)[0] == pytest.approx(np.mean(agree))


def test_the_interval_is_of_scipys_tau_of_each_resample() -> None:
    generator = np.random.default_rng(5)
    x, y = generator.integers(0, 4, (2, 9)).astype(float)
    rows = resamples(FAST.seed_root, "tiers quantization", 9, FAST.bootstrap_draws).T
    taus = [kendalltau(x[row], y[row]).statistic for row in rows]
    tau, interval = kendall(x, y, "quantization", FAST)
    assert tau == pytest.approx(kendalltau(x, y).statistic)
    assert interval is not None
    expected = np.nanquantile(taus, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_all_methods_alike_have_no_tau() -> None:
    assert kendall(np.ones(5), np.arange(5.0), "", FAST) == (None, None)


def test_two_tiers_that_agree() -> None:
    scores = {m: i / 10 for i, m in enumerate("abcde")}
    half = {"lite_only": 0.5, "half": None}
    (found,) = calibrate([summary("lite", scores | half), summary("standard", scores)], FAST)
    assert found.methods == list("abcde")
    assert (found.note, found.n_lite, found.n_standard) == ("", 2, 2)
    assert found.tau == pytest.approx(1.0)
    assert sentence([found], 0.95) == (
        "Do ranks on the lite tier predict those on the standard tier? Shown in classification. "
        "Kendall's tau between them (1 is the same order, 0 no relation; 95 % intervals) is "
        "+1.00 [+1.00, +1.00] in classification (n=5 methods)."
    )


def test_a_family_and_all_of_them() -> None:
    scores: dict[str, float | None] = {m: i / 10 for i, m in enumerate("abcde")}
    turned: dict[str, float | None] = {m: -i / 10 for i, m in enumerate("abcde")}
    both = "classification", "functions"
    found = calibrate(
        [
            summary("lite", scores, *both), summary("standard", turned, *both),
            summary("standard", scores, "functions"), summary("lite", scores, "classification"),
        ],
        FAST,
    )  # fmt: skip
    assert [item.family for item in found] == ["classification", "functions", "overall"]
    assert [item.tau for item in found] == [None, None, -1.0]
    said = sentence(found, 0.95)
    assert "This is not shown." in said
    assert "is -1.00 [-1.00, -1.00] over all families (n=5 methods)." in said


def test_every_family_with_a_tau_is_told() -> None:
    scores = {m: i / 10 for i, m in enumerate("abcde")}
    mixed = dict(zip("abcde", (0.3, 0.1, 0.4, 0.2, 0.0), strict=True))
    found = calibrate(
        [
            summary("lite", scores, "noisy_labels"), summary("standard", scores, "noisy_labels"),
            summary("lite", scores, "class_imbalance"),
            summary("standard", mixed, "class_imbalance"),
        ],
        FAST,
    )  # fmt: skip
    said = sentence(found, 0.95)
    assert "Shown in noisy labels." in said
    assert "is +1.00 [+1.00, +1.00] in noisy labels (n=5 methods) and -0.40 [" in said
    assert said.endswith("] in class imbalance (n=5 methods).")


def test_what_cannot_be_measured_says_why() -> None:
    lite = summary("lite", {"sgd": 0.5})
    (found,) = calibrate([lite], FAST)
    assert found.tau is None
    assert found.note == "not measurable: no standard task with an anchor has results"
    assert sentence([found], 0.95) == (
        "Whether lite ranks predict standard ranks is not known: "
        "no standard task with an anchor has results."
    )
    (found,) = calibrate([lite, summary("standard", {"sgd": 0.5})], FAST)
    assert "1 methods have both, expected 4 or more" in found.note
    assert sentence([], 0.95) == ""
