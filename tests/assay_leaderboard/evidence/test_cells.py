"""Runs to cells: which runs count, in what state a cell is, and its scores at every budget."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from assay.records.schema import Compute, Isolation
from assay.records.selection import selected
from assay.ruleset import RULESET
from assay.space import FloatRange, Space
from assay_leaderboard.evidence.cells import CellEvidence, cells
from assay_leaderboard.evidence.runs import LOCAL, Evidence, Rules
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.assay_leaderboard.making import ENVIRONMENT, UNTUNED, K, R, Records, grid


def found(
    records: Records, evidence: Evidence | None = None
) -> tuple[list[CellEvidence], list[str]]:
    evidence = records.evidence if evidence is None else evidence
    return cells(records.cards["t"], evidence, records.catalogue, RULESET)


def cell(records: Records, method: str = "adam") -> CellEvidence:
    return next(cell for cell in found(records)[0] if cell.method == method)


class Held(BaseModel):
    """A cell as part of a model, as the site writes it."""

    cell: CellEvidence


def same(a: CellEvidence, b: CellEvidence) -> bool:
    return Held(cell=a).model_dump_json() == Held(cell=b).model_dump_json()


@pytest.fixture
def made() -> Records:
    return Records().task("t")


def test_all_runs_make_arrays_of_repetitions_and_points(made: Records) -> None:
    val, test = grid(0.9, 0)
    made.cell("t", "adam", val, test)
    full = cell(made)
    assert (full.state, full.k, full.planned, full.planned_k, full.n) == ("ranked", K, R, K, R)
    assert full.val.tolist() == val and full.test.tolist() == test
    assert full.scores(1).tolist() == [row[0] for row in test]
    best = [int(np.argmax(row)) for row in val]
    assert full.scores().tolist() == [row[i] for row, i in zip(test, best, strict=True)]
    assert full.selected.tolist() == best
    runs = made.of("adam")
    own = [[run for run in runs if run.spec.repetition == r] for r in range(R)]
    metric = made.cards["t"].metric
    assert full.selected_runs == [selected(row, metric).id for row in own]


def test_a_budget_is_the_mean_over_choices_of_the_other_points(made: Records) -> None:
    val, test = grid(0.9, 1)
    made.cell("t", "adam", val, test)
    for k in range(1, K + 1):
        expected = []
        for vals, tests in zip(val, test, strict=True):
            chosen = [
                tests[max((0, *others), key=lambda i: (vals[i], -i))]
                for others in itertools.combinations(range(1, K), k - 1)
            ]
            expected.append(np.mean(chosen))
        assert cell(made).scores(k) == pytest.approx(expected)


def test_runs_that_did_not_complete_count_as_chance(made: Records) -> None:
    rows: list[list[Any]] = [[0.5] * K for _ in range(R)]
    rows[0] = ["diverged"] * K
    rows[1] = [0.05, *["failed"] * (K - 1)]
    made.cell("t", "adam", rows)
    adam = cell(made)
    assert adam.scores()[:3].tolist() == [0.1, 0.1, 0.5], "chance is better than 0.05"
    assert adam.selected_runs[1] == made.of("adam")[K + 1].id
    assert adam.status_counts == {"completed": R * K - 15, "diverged": 8, "failed": 7}


@pytest.mark.parametrize(
    ("r", "k", "state", "points", "n"),
    [
        (R, K, "ranked", K, R),
        (R + 2, K, "ranked", K, R + 2),
        (R, K + 3, "ranked", K, R),
        (R - 1, K, "preliminary", K, R - 1),
        (R, K - 1, "preliminary", K - 1, R),
        (6, 4, "preliminary", 4, 6),
        (5, 8, "incomplete", 8, 5),
        (12, 3, "incomplete", 3, 12),
        (1, 1, "incomplete", 1, 1),
    ],
)
def test_states(made: Records, r: int, k: int, state: str, points: int, n: int) -> None:
    made.cell("t", "adam", *grid(0.9, 0, r=r, k=k))
    adam = cell(made)
    assert (adam.state, adam.k, adam.n) == (state, points, n)


def test_quick_runs_and_some_of_the_others(made: Records) -> None:
    rows: list[list[Any]] = [[0.5] * K for _ in range(3)] + [[0.5] * 4 for _ in range(3)]
    made.cell("t", "adam", rows)
    adam = cell(made)
    assert (adam.state, adam.k, adam.n) == ("preliminary", 4, 6)


def test_more_repetitions_only_add(made: Records) -> None:
    val, test = grid(0.9, 0, r=R + 4)
    made.cell("t", "adam", val[:R], test[:R])
    before = cell(made)
    made.cell("t", "adam", val, test)
    after = cell(made)
    for k in range(1, K + 1):
        assert after.scores(k)[:R].tolist() == before.scores(k).tolist()
    assert after.n == R + 4


def test_a_method_with_nothing_to_tune_has_one_point(made: Records) -> None:
    made.add("t", "adam", [0.9] * R, k=1, space=UNTUNED)
    adam = cell(made)
    assert (adam.state, adam.planned_k) == ("ranked", 1)
    assert adam.scores(K).tolist() == adam.scores(1).tolist() == [0.9] * R


@pytest.mark.parametrize("tier", ["lite", "standard", "paper"])
def test_every_tier_has_its_own_plan(tier: str) -> None:
    records = Records().task("t", tier=tier)
    r, k = RULESET.r(tier), RULESET.k(tier)  # type: ignore[arg-type]
    records.cell("t", "adam", *grid(0.9, 0, r=r, k=k))
    assert (cell(records).state, cell(records).n) == ("ranked", r)


def test_a_deterministic_task_has_one_run() -> None:
    records = Records().task("t", deterministic=True, tier="paper")
    records.add("t", "adam", [0.9])
    assert (cell(records).state, cell(records).val.shape) == ("ranked", (1, 1))


def test_control_runs_and_values_chosen_by_hand_are_in_no_cell(made: Records) -> None:
    made.cell("t", "adam", *grid(0.9, 0))
    expected = cell(made)
    made.cell("t", "adam", *grid(0.5, 1), first=RULESET.control_repetition)
    run = made.of("adam")[0]
    spec = run.spec.model_copy(update={"point": None, "hyperparameters": {"lr": 0.5}})
    made.runs[spec.id] = run.model_copy(update={"id": spec.id, "spec": spec})
    assert same(cell(made), expected)
    made.remove("adam")
    made.cell("t", "adam", *grid(0.5, 1), first=RULESET.control_repetition)
    assert found(made) == ([], [])


def test_epochs_are_apart(made: Records) -> None:
    made.cell("t", "adam", *grid(0.9, 0))
    made.cell("t", "adam", *grid(0.5, 1), epoch="autumn")
    assert cell(made).scores().mean() > 0.8
    hidden, _ = found(made, replace(made.evidence, epoch="autumn"))
    assert hidden[0].scores().mean() < 0.6


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"task_code": "before"}, "the task has changed since"),
        ({"method_code": "before"}, "the method has changed since"),
        ({"ruleset": 3}, "made under ruleset 3, now 2"),
    ],
)
def test_what_makes_a_cell_stale(made: Records, changes: dict[str, Any], why: str) -> None:
    made.cell("t", "adam", *grid(0.9, 0), **changes)
    assert (cell(made).state, cell(made).stale) == ("stale", why)
    made.cell("t", "adam", *grid(0.8, 1, r=1, k=1))
    assert cell(made).state == "incomplete", "one current run counts more than a stale cell"
    assert found(made)[1] == []


def test_a_local_method_counts_with_its_newest_code(made: Records) -> None:
    made.local.add("mine")
    made.add("t", "mine", [0.8] * R, method_code="first", created_at="2026-01-01")
    made.add("t", "mine", [0.7] * R, method_code="second", created_at="2026-01-02")
    mine = cell(made, "mine")
    assert (mine.local, mine.state, mine.values().tolist()) == (True, "ranked", [0.7] * R)


def test_of_other_hardware_settings_the_largest_counts(made: Records) -> None:
    made.add("t", "adam", [0.8] * R)
    made.add("t", "adam", [0.9] * 6, compute=Compute(threads=2))
    (adam,), problems = found(made)
    assert adam.values().tolist() == [0.8] * R
    assert problems == [
        "adam on t: 48 runs of another hardware setting (threads 2) do not count beside the 96 "
        "that do"
    ]


def test_of_other_search_spaces_the_largest_counts(made: Records) -> None:
    made.add("t", "adam", [0.8] * R)
    wide = Space(ranges={"lr": FloatRange(low=1e-6, high=9, log=True)}, defaults={"lr": 0.1})
    made.add("t", "adam", [0.9] * 3, space=wide)
    (adam,), problems = found(made)
    assert adam.values().tolist() == [0.8] * R
    assert "24 runs of another search space" in problems[0]


def test_the_order_of_a_space_does_not_matter(made: Records) -> None:
    """A bundle sorts the names."""
    ranges = {"lr": FloatRange(low=1e-3, high=1), "beta": FloatRange(low=0, high=1)}
    defaults = {"lr": 0.1, "beta": 0.5}
    space = Space(ranges=ranges, defaults=defaults)  # type: ignore[arg-type]
    made.add("t", "adam", [0.8] * R, space=space)
    other = Space(ranges=dict(reversed(ranges.items())), defaults=dict(reversed(defaults.items())))  # type: ignore[arg-type]
    for run in made.of("adam")[::2]:
        made.change(run.id, space=other)
    assert (cell(made).state, found(made)[1]) == ("ranked", [])


def test_of_two_runs_at_one_place_a_published_one_counts_then_the_first(made: Records) -> None:
    made.add("t", "adam", [0.8] * R)
    run = made.of("adam")[1]
    spec = run.spec.model_copy(update={"hyperparameters": {"lr": 0.123}})
    result = run.result.model_copy(update={"val": 0.99, "test": 0.99})  # type: ignore[union-attr]
    other = run.model_copy(update={"id": spec.id, "spec": spec, "result": result})
    other = other.model_copy(update={"created_at": "2026-02-02"})
    made.runs[spec.id] = other
    (adam,), problems = found(made)
    assert adam.scores()[0] == 0.8
    assert problems == [
        f"adam on t: runs {run.id} and {spec.id} are both point 1 of repetition 0; the first counts"
    ]
    published = replace(made.evidence, tiers={spec.id: "T1"})
    (adam,), _ = found(made, published)
    assert adam.scores()[0] == 0.99


@pytest.mark.parametrize("field", ["val", "test", "secondary"])
def test_absurd_scores_do_not_count_and_are_named(made: Records, field: str) -> None:
    made.add("t", "adam", [0.8] * R)
    run = made.of("adam")[5]
    value: Any = {"log_loss": 1e200} if field == "secondary" else -1e200
    assert run.result
    made.change(run.id, result=run.result.model_copy(update={field: value}))
    (adam,), (problem,) = found(made)
    assert (adam.state, adam.statuses[0][5]) == ("preliminary", None)
    assert f"run {run.id} has the score" in problem and "which is no score" in problem


def test_published_and_local_runs_make_one_cell(made: Records) -> None:
    made.add("t", "adam", [0.8] * R)
    ids = [run.id for run in made.of("adam")]
    tiers: dict[str, Any] = dict.fromkeys(ids[:-2], "T2")
    (adam,), _ = found(made, replace(made.evidence, tiers=tiers))
    assert (adam.state, adam.tier, adam.n_local) == ("ranked", "T0", 2)
    (adam,), _ = found(made, replace(made.evidence, tiers=dict.fromkeys(ids, "T2")))
    assert (adam.tier, adam.n_local) == ("T2", 0)


def test_secondary_metrics_are_selected_as_scores_are(made: Records) -> None:
    val, test = grid(0.9, 0)
    made.cell("t", "adam", val, test)
    for run in made.of("adam"):
        assert run.result
        loss = {"log_loss": 1 - run.result.test}
        made.change(run.id, result=run.result.model_copy(update={"secondary": loss}))
    adam = cell(made)
    for k in (None, 1, 3):
        assert adam.metric(adam.secondary["log_loss"], k) == pytest.approx(1 - adam.scores(k))
    made.change(made.of("adam")[0].id, result=None, status="failed")
    assert np.isnan(cell(made).metric(cell(made).secondary["log_loss"])[0])


def test_the_weakest_sandbox_is_named(made: Records) -> None:
    made.add("t", "adam", [0.8] * R)
    run = made.of("adam")[5]
    for other in made.of("adam"):
        level = "L1" if other is run else "L2"
        made.change(other.id, isolation=other.isolation.model_copy(update={"level": level}))
    assert cell(made).level == "L1"


def test_cells_can_be_written_as_json_and_read_again(made: Records) -> None:
    made.cell("t", "adam", [[0.5, "failed"], [None, 0.25]])
    held = Held(cell=cell(made))
    again = Held.model_validate_json(held.model_dump_json())
    assert same(again.cell, held.cell)
    assert np.isnan(again.cell.val[1, 0]) and again.cell.statuses[0][1] == "failed"


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.just("failed"), st.floats(-2, 2)), max_size=9),
        max_size=14,
    ),
    st.randoms(use_true_random=False),
)
def test_any_runs_in_any_order_make_the_same_cell(
    rows: Sequence[Sequence[Any]], rng: random.Random
) -> None:
    made = Records().task("t")
    made.cell("t", "adam", rows)
    expected, problems = found(made)
    assert problems == []
    evidence = made.evidence
    shuffled = Evidence(dict(rng.sample(list(evidence.runs.items()), len(evidence.runs))))
    again, _ = found(made, shuffled)
    assert len(again) == len(expected)
    for a, b in zip(expected, again, strict=True):
        assert same(a, b)
        assert a.n == len(a.values()) == len(a.selected_runs)


class TestThePublishedBoard:
    """What ranks there, and under which seeds."""

    @staticmethod
    def states(records: Records, **evidence: Any) -> dict[str, tuple[str, str | None]]:
        made = replace(records.evidence, **evidence)
        card = records.cards["t"]
        found, _ = cells(card, made, records.catalogue, RULESET)
        return {cell.method: (cell.state, cell.epoch) for cell in found}

    @pytest.fixture
    def published(self) -> Records:
        """Results at every tier, and none under hidden seeds."""
        made = Records().task("t")
        made.rules = Rules(published=True)
        for trust in ("T0", "T1", "T2", "T3"):
            made.add("t", trust.lower(), [0.9] * R, trust=trust)
        made.tiers = {run: tier for run, tier in made.tiers.items() if tier != "T0"}
        return made

    def test_nothing_ranks_below_t2(self, published: Records) -> None:
        expected = {"t0": "not replayed", "t1": "not replayed", "t2": "ranked", "t3": "ranked"}
        found = self.states(published)
        assert {method: state for method, (state, _) in found.items()} == expected
        local = self.states(published, rules=LOCAL)
        assert {state for state, _ in local.values()} == {"ranked"}

    def test_a_quick_result_that_is_not_replayed_is_compared_with_nothing(self) -> None:
        made = Records().task("t")
        made.rules = Rules(published=True)
        made.cell("t", "sgd", [[0.9] * 4] * 6, trust="T1")
        assert self.states(made) == {"sgd": ("not replayed", None)}
        made.tiers = dict.fromkeys(made.runs, "T2")
        assert self.states(made) == {"sgd": ("preliminary", None)}

    @pytest.mark.parametrize("changes", [
        {"isolation": Isolation(level="L1", mechanism="landlock")},
        {"isolation": Isolation(level="L0")},
        {"compute": Compute(accelerator="gpu")},
        {"environment": ENVIRONMENT.model_copy(update={"device": "a GPU"})},
    ])  # fmt: skip
    def test_what_is_not_sealed_never_ranks(self, changes: dict[str, Any]) -> None:
        made = Records().task("t")
        made.rules = Rules(published=True)
        made.add("t", "sgd", [0.9] * R, trust="T3", **changes)
        assert self.states(made) == {"sgd": ("unsealed", None)}
        made.add("t", "sgd", [0.9] * R, trust="T2", created_at="2020-01-01T00:00:00Z",
                 compute=Compute(isa="native"))  # fmt: skip
        assert self.states(made) == {"sgd": ("ranked", None)}, "sealed runs count before others"

    def test_hidden_seeds_outrank_public_ones(self, published: Records) -> None:
        published.rules = Rules(published=True, revealed={"spring": "2026-03", "autumn": "2026-09"})
        published.add("t", "t1", [0.8] * R, epoch="spring", trust="T3")
        published.add("t", "t2", [0.8] * R, epoch="spring", trust="T2")  # not revealed in the log
        published.add("t", "new", [0.8] * R, epoch="autumn", trust="T3")
        published.add("t", "new", [0.8] * R, epoch="winter", trust="T2")
        waiting = "other seeds", None
        found = self.states(published)
        assert found == {"t0": ("not replayed", None), "t1": ("not replayed", None),
                         "t2": waiting, "t3": waiting, "new": ("ranked", "autumn")}  # fmt: skip
        published.add("t", "t3", [0.8] * R, epoch="spring", trust="T3")
        found = self.states(published)
        ranked = {method: epoch for method, (state, epoch) in found.items() if state == "ranked"}
        assert ranked == {"t1": "spring", "t3": "spring"}, "the epoch with most methods"
        assert (found["t2"], found["new"]) == (waiting, ("other seeds", "autumn"))

    def test_an_epoch_that_is_not_revealed_does_not_count_and_is_named(self) -> None:
        made = Records().task("t")
        made.rules = Rules(published=True)
        made.add("t", "sgd", [0.9] * R, epoch="spring", trust="T2")
        found, problems = cells(made.cards["t"], made.evidence, made.catalogue, RULESET)
        assert not found
        assert problems == [
            f"sgd on t: {R * K} runs have hidden seeds of the epoch spring, which is not revealed: "
            "they do not count yet"
        ]
