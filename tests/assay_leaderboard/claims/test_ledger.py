"""What a card claims against made-up records, with every kind of ending."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.cards import Claim, SubmissionCard
from assay.plugins import registry
from assay.ruleset import RULESET
from assay_leaderboard.boards.secondary_metrics import MEANINGS
from assay_leaderboard.boards.task_comparisons import all_comparisons
from assay_leaderboard.claims.ledger import ClaimRow, Ledger, evaluate
from assay_leaderboard.evidence.cells import Evidence
from assay_leaderboard.site.build.task_part import claimed_metrics, without_metrics
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

GOLDEN = Path(__file__).parent / "golden_ledger.json"
FAST = RULESET.model_copy(update={"bootstrap_draws": 200})


def claim(**changes: Any) -> Claim:
    values: dict[str, Any] = {
        "text": "It is better.",
        "source": "made up",
        "metric": "accuracy",
        "better_than": "sgd",
        "tasks": ["digits"],
    }
    return Claim.model_validate(values | changes)


def judged(
    records: Any,
    *claims: Claim,
    method: str = "new",
    secondary: Mapping[tuple[str, str], Mapping[str, Sequence[float]]] | None = None,
    ruleset: Any = RULESET,
) -> Ledger:
    """The ledger of a card with these claims; `secondary` holds values by (task, method), name.

    It is the same from what a site keeps of the cells.
    """
    evidence = records.evidence
    runs = {}
    for key, run in evidence.runs.items():
        values = (secondary or {}).get((run.cell[0].slug, run.cell[1].slug), {})
        known = run.test is not None
        runs[key] = replace(
            run, secondary={n: v[run.repetition] for n, v in values.items()} if known else {}
        )
    work, problems = all_comparisons(replace(evidence, runs=runs), records.catalogue, ruleset)
    card = SubmissionCard(slug=method, title=method, claims=list(claims))
    ledger = evaluate(work, {method: card}, records.cards, ruleset, problems)
    kept = [
        replace(
            task,
            cells=[without_metrics(c, claimed_metrics(task.card, [card])) for c in task.cells],
        )
        for task in work
    ]
    assert evaluate(kept, {method: card}, records.cards, ruleset, problems) == ledger
    return ledger


def only(ledger: Ledger) -> ClaimRow:
    assert len(ledger.rows) == 1
    return ledger.rows[0]


def test_a_clear_gain_is_supported_and_its_numbers_are_those_of_scipy(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("digits").task("letters")
    new, old = {}, {}
    for i, task in enumerate(("digits", "letters")):
        new[task], old[task] = scores(0.95, i), scores(0.9, 50 + i)
        records.add(task, "new", new[task])
        records.add(task, "sgd", old[task])
    row = only(judged(records, claim(tasks=["digits", "let*"])))
    (finding,) = row.findings
    means = np.mean([np.subtract(new[task], old[task]) for task in new], axis=0)
    test = permutation_test((means,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert (row.verdict, row.tier, row.untested) == ("supported", "lite", [])
    assert (finding.n, finding.n_tasks, finding.unit) == (12, 2, "share")
    assert finding.difference == pytest.approx(means.mean())
    assert finding.p == pytest.approx(test.pvalue)
    assert finding.interval is not None and finding.interval.low > 0
    assert all(len(task.studies) == 2 and task.comparison for task in finding.tasks)


@pytest.mark.parametrize(
    ("mean", "sd", "margin", "verdict"),
    [
        (0.95, 0.01, 0.0, "supported"),
        (0.85, 0.01, 0.0, "contradicted"),  # significantly worse
        (0.9, 0.0001, 0.0, "contradicted"),  # shown to be equivalent
        (0.9, 0.05, 0.0, "inconclusive"),
        (0.95, 0.01, 0.02, "supported"),
        (0.95, 0.01, 0.08, "contradicted"),  # better, but shown to be so by less than claimed
        (0.895, 0.001, -0.02, "supported"),  # claims to be at most 0.02 worse, and is
        (0.9, 0.0001, -0.02, "supported"),  # equivalence speaks for such a claim
        (0.85, 0.01, -0.02, "contradicted"),
    ],
)
def test_the_verdict_follows_the_claims_margin(
    records: Any, scores: Callable[..., list[float]], mean: float, sd: float, margin: float,
    verdict: str,
) -> None:  # fmt: skip
    records.task("digits")
    old = scores(0.9, 1)
    noise = np.random.default_rng(2).normal(mean - 0.9, sd, 12)
    records.add("digits", "sgd", old)
    records.add("digits", "new", list(np.add(old, noise)))
    assert only(judged(records, claim(margin=margin))).verdict == verdict


def test_holm_counts_the_claims_of_the_same_card_and_no_others(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("digits")
    for i, method in enumerate(("new", "sgd", "adam", "nadam")):
        records.add("digits", method, scores(0.9 + 0.004 * (method == "new"), i))
    claims = [claim(better_than=other) for other in ("sgd", "adam", "nadam")]
    alone = [only(judged(records, one)).findings[0].p for one in claims]
    together = [row.findings[0].p for row in judged(records, *claims).rows]
    assert together == pytest.approx(multipletests(alone, method="holm")[1])
    records.add("digits", "unrelated", scores(0.99, 9))
    assert [row.findings[0].p for row in judged(records, *claims).rows] == together


def test_a_claim_about_the_defaults_is_judged_by_them(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("digits")
    records.add("digits", "new", scores(0.8, 0), scores(0.95, 1))
    records.add("digits", "sgd", scores(0.9, 2), scores(0.9, 3))
    rows = judged(records, claim(tuned=False), claim()).rows
    assert [row.verdict for row in rows] == ["supported", "contradicted"]


def test_where_the_defaults_won_the_tuned_point_stands_for_them(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("digits")
    for method, mean in (("new", 0.95), ("sgd", 0.9)):
        records.add("digits", method, scores(mean, len(method)), preset="quick")
    row = only(judged(records, claim(tuned=False)))
    assert row.verdict == "supported"
    assert row.findings[0].preliminary
    lost = [study.model_copy(update={"selected": 3}) for study in records.studies]
    records.studies[:] = lost
    row = only(judged(records, claim(tuned=False)))
    assert row.verdict == "not tested"
    assert "defaults were not repeated" in row.reasons["digits"]


def test_the_reference_means_each_tasks_own(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("digits").task("letters", reference="adam")
    for task, reference in (("digits", "sgd"), ("letters", "adam")):
        records.add(task, "new", scores(0.95, 0))
        records.add(task, reference, scores(0.9, 1))
    row = only(judged(records, claim(better_than="reference", tasks=["*"])))
    assert row.findings[0].n_tasks == 2


VALLEY: Any = dict(
    family="functions", deterministic=True, secondary=["global_basin", "passes_to_basin"]
)


class TestDeterministic:
    @pytest.mark.parametrize(
        ("new", "verdict"),
        [
            ((1.0, 1.0), "supported"),
            ((1.0, 0.0), "inconclusive"),
            ((0.0, 0.0), "contradicted"),
        ],
    )
    def test_a_metric_beside_the_score_is_compared_without_a_test(
        self, records: Any, new: tuple[float, float], verdict: str
    ) -> None:
        secondary = {}
        for task, value in zip(("f1", "f2"), new, strict=True):
            records.task(task, **VALLEY)
            records.add(task, "new", [0.5])
            records.add(task, "sgd", [0.5])
            secondary[task, "new"] = {"global_basin": [value]}
            secondary[task, "sgd"] = {"global_basin": [0.0]}
        asked = claim(metric="global_basin", tasks=["f?"])
        (finding,) = only(judged(records, asked, secondary=secondary)).findings
        assert finding.verdict == verdict
        assert (finding.n, finding.p, finding.interval) == (1, None, None)
        assert finding.difference == sum(new) / 2
        assert f"holds on {sum(new):.0f} of 2" in finding.note

    def test_one_that_is_worse_contradicts(self, records: Any) -> None:
        secondary = {}
        for task, (new, old) in {"f1": (1.0, 0.0), "f2": (0.0, 1.0)}.items():
            records.task(task, **VALLEY).add(task, "new", [0.5])
            records.add(task, "sgd", [0.5])
            secondary[task, "new"] = {"global_basin": [new]}
            secondary[task, "sgd"] = {"global_basin": [old]}
        row = only(judged(records, claim(metric="global_basin", tasks=["f?"]), secondary=secondary))
        assert row.verdict == "contradicted"

    def test_less_is_better_where_the_metric_says_so(self, records: Any) -> None:
        records.task("f1", **VALLEY)
        records.add("f1", "new", [0.5])
        records.add("f1", "sgd", [0.5])
        passes = {
            ("f1", "new"): {"passes_to_basin": [3.0]},
            ("f1", "sgd"): {"passes_to_basin": [9.0]},
        }
        asked = claim(metric="passes_to_basin", tasks=["f1"])
        (finding,) = only(judged(records, asked, secondary=passes)).findings
        assert (finding.verdict, finding.difference, finding.unit) == ("supported", 6.0, "passes")

    def test_beside_varied_tasks_support_needs_both(
        self, records: Any, scores: Callable[..., list[float]]
    ) -> None:
        records.task("digits").task("valley", deterministic=True)
        records.add("digits", "new", scores(0.95, 0))
        records.add("digits", "sgd", scores(0.9, 1))
        records.add("valley", "new", [0.9])
        valley = records.add("valley", "sgd", [0.5])
        asked = claim(tasks=["digits", "valley"])
        assert only(judged(records, asked)).verdict == "supported"
        records.studies.remove(valley)
        records.add("valley", "sgd", [0.95], k=3)
        assert only(judged(records, asked)).verdict == "contradicted"


class TestSecondary:
    def test_every_metric_beside_a_score_has_a_meaning(self) -> None:
        named = {name for e in registry.task_entries().values() for name in e.card.secondary}
        assert named == MEANINGS.keys()

    def test_a_run_without_a_score_counts_the_worst(
        self, records: Any, scores: Callable[..., list[float]]
    ) -> None:
        records.task("digits", secondary=["macro_f1", "total_bits"])
        records.add("digits", "new", [*scores(0.9, 0, n=11), "diverged"])
        records.add("digits", "sgd", scores(0.9, 1))
        values = {m: {"macro_f1": [0.5] * 12, "total_bits": [9.0] * 12} for m in ("new", "sgd")}
        secondary = {("digits", method): value for method, value in values.items()}
        f1, bits = judged(
            records, claim(metric="macro_f1"), claim(metric="total_bits"), secondary=secondary
        ).rows
        assert f1.findings[0].difference == pytest.approx(-0.5 / 12)
        assert bits.verdict == "not tested"
        assert bits.reasons == {"digits": "new: 1 repetitions have no total_bits"}

    def test_what_a_task_does_not_record_is_not_tested(
        self, records: Any, scores: Callable[..., list[float]]
    ) -> None:
        records.task("digits")
        for method in ("new", "sgd"):
            records.add("digits", method, scores(0.9, 0))
        row = only(judged(records, claim(metric="perplexity")))
        assert row.reasons == {"digits": "the task does not record perplexity"}


def test_without_records_a_claim_is_not_tested(records: Any) -> None:
    records.task("letters").task("digits").task("cifar", tier="standard")
    row = only(judged(records, claim(tasks=["*"])))
    assert (row.verdict, row.tier, row.findings) == ("not tested", None, [])
    assert row.untested == ["digits", "letters", "cifar"]
    assert only(judged(records, claim(tasks=["gone_*"]))).untested == ["gone_*"]


def test_stale_records_never_count(records: Any, scores: Callable[..., list[float]]) -> None:
    records.task("digits")
    records.add("digits", "new", scores(0.95, 0), method_code="before")
    records.add("digits", "sgd", scores(0.9, 1))
    row = only(judged(records, claim()))
    assert row.verdict == "not tested"
    assert "stale" in row.reasons["digits"]


def test_each_tier_has_its_own_finding_and_the_highest_speaks(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("digits").task("cifar", tier="standard")
    for task, mean in (("digits", 0.95), ("cifar", 0.85)):
        records.add(task, "new", scores(mean, 0))
        records.add(task, "sgd", scores(0.9, 1))
    row = only(judged(records, claim(tasks=["*"])))
    assert [(f.tier, f.verdict) for f in row.findings] == [
        ("standard", "contradicted"),
        ("lite", "supported"),
    ]
    assert (row.tier, row.verdict) == ("standard", "contradicted")


def test_tasks_in_different_units_meet_in_normalised_score(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    metric = {"chance": 10.0, "unit": "points", "margin": 0.5}
    records.task("digits").task("letters", metric=metric)
    for task, factor in (("digits", 1.0), ("letters", 100.0)):
        records.add(task, "new", [factor * s for s in scores(0.95, 0)])
        records.add(task, "sgd", [factor * s for s in scores(0.9, 0)])
    (finding,) = only(judged(records, claim(tasks=["*"]))).findings
    anchor = np.mean(scores(0.9, 0)) - 0.1
    each = np.subtract(scores(0.95, 0), scores(0.9, 0)) / anchor
    assert finding.unit == "normalised"
    assert finding.difference == pytest.approx(each.mean())


def test_only_common_repetitions_count(records: Any, scores: Callable[..., list[float]]) -> None:
    records.task("digits")
    records.add("digits", "new", [*scores(0.95, 0, n=9), None, None, None])
    records.add("digits", "sgd", scores(0.9, 1))
    (finding,) = only(judged(records, claim())).findings
    assert finding.n == 9
    assert finding.preliminary


@given(st.randoms(use_true_random=False), st.lists(st.floats(0.1, 1.0), min_size=12, max_size=12))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_order_nor_others_move_a_claim(
    new_records: Callable[[], Any],
    scores: Callable[..., list[float]],
    rng: random.Random,
    other: list[float],
) -> None:
    made = new_records().task("digits").task("letters")
    for i, task in enumerate(("digits", "letters")):
        made.add(task, "new", scores(0.92, i))
        made.add(task, "sgd", scores(0.9, i + 9))
    claims = claim(tasks=["*"]), claim(tasks=["digits"], better_than="reference")
    before = judged(made, *claims, ruleset=FAST)
    rng.shuffle(made.studies)
    made.runs = dict(rng.sample(list(made.runs.items()), len(made.runs)))
    assert judged(made, *claims, ruleset=FAST) == before
    made.add("digits", "other", other)
    assert judged(made, *claims, ruleset=FAST) == before


def test_claims_compared_together_say_what_each_says_alone(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("digits")
    for seed, method in enumerate(("sgd", "new", "other")):
        records.add("digits", method, scores(0.9 + seed / 100, seed))
    records.add("digits", "short", scores(0.9, 9)[:7])
    claims = [
        claim(better_than=other, margin=margin)
        for other in ("sgd", "other", "short")
        for margin in (0.0, 0.02)
    ]
    together = [row.findings[0].tasks for row in judged(records, *claims).rows]
    assert together == [only(judged(records, one)).findings[0].tasks for one in claims]


def test_frozen_records_give_the_frozen_ledger(demo_records: Any) -> None:
    demo_records.task("absent", tier="standard")
    ledger = judged(
        demo_records,
        claim(tasks=["digits", "letters", "absent"]),
        claim(tasks=["*"], better_than="reference", margin=0.01, paper_value="94.1 against 93.7"),
        claim(tasks=["digits"], tuned=False),
        claim(tasks=["valley"], better_than="better"),
        claim(tasks=["digits"], better_than="old"),
        method="noisy",
    )
    made, frozen = ledger.model_dump_json(), GOLDEN.read_text(encoding="utf-8")
    assert _rounded(made) == _rounded(frozen)


def _rounded(text: str) -> Any:
    """Last digits may differ between processors."""
    return json.loads(text, parse_float=lambda number: round(float(number), 9))


def test_problems_are_passed_on(records: Any) -> None:
    work, _ = all_comparisons(Evidence([], {}), records.catalogue, RULESET)
    assert evaluate(work, {}, {}, RULESET, ["lost"]).problems == ["lost"]
