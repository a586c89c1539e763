"""The score of the synthetic functions, against a second implementation and on hand-made runs."""

import math

import numpy as np
import pytest
import torch
from assay.families.functions import GAP_CEILING, Functions, area
from assay.paths import ROOT
from assay.plugins.loading import load_task
from assay.plugins.registry import task_entries
from assay.task import Problem, Seeds, Snapshot

FUNCTIONS = sorted(slug for slug, e in task_entries().items() if e.card.family == "functions")


def task_of(slug: str) -> Functions:
    task = load_task(ROOT / "tasks" / slug)
    assert isinstance(task, Functions)
    return task


def f1_problem() -> tuple[Functions, Problem]:
    task = task_of("diffgrad_f1")
    return task, task.prepare(Seeds("test", "diffgrad_f1", 0))


def run_of(points: list[tuple[int, int, float]]) -> list[Snapshot]:
    return [Snapshot(b, p, p, {"x": torch.tensor([x])}) for b, p, x in points]


def f1(x: float) -> float:
    return (x + 0.3) ** 2 if x <= 0 else (x - 0.2) ** 2 + 0.05


def by_counting_targets(points, budget, floor, n_targets=20001) -> float:
    """COCO's way: count targets met at each moment, average over moments."""
    targets = np.exp(np.linspace(math.log(f1(-1.0)), math.log(floor), n_targets))
    shares = [0.0]
    for _, _, x in points:
        gap = f1(float(np.float32(x)))
        shares.append(float(np.mean(gap < targets)))
    moments = np.linspace(0, budget, 30001)
    known = [0, *(passes for _, passes, _ in points)]
    return float(np.interp(moments, known, shares).mean())


HAND_MADE = [(1, 1, -0.9), (30, 30, -0.5), (60, 60, -0.31), (150, 150, 0.4), (300, 300, 0.2001)]


def test_anytime_equals_counting_targets():
    task, problem = f1_problem()
    scores = task.score(problem, [run_of(HAND_MADE)])
    expected = by_counting_targets(HAND_MADE, 300, task.recipe.gap_floor)
    assert scores.test == pytest.approx(expected, abs=2e-4)
    assert scores.val == scores.test == scores.test_last == scores.test_oracle
    assert scores.selected == 4


def test_two_passes_per_batch_cost_twice():
    task, problem = f1_problem()
    once = [(b, b, x) for b, x in ((50, -0.5), (100, -0.31), (150, -0.3005))]
    twice = [(b, 2 * b, x) for b, _, x in once]
    fast = task.score(problem, [run_of(once)])
    slow = task.score(problem, [run_of(twice)])
    assert slow.test == pytest.approx(
        by_counting_targets(twice, 300, task.recipe.gap_floor), abs=2e-4
    )
    assert slow.test < fast.test
    assert fast.secondary["passes_to_basin"] == 50
    assert slow.secondary["passes_to_basin"] == 100


def test_passes_that_were_not_counted_gain_nothing():
    task, problem = f1_problem()
    honest = task.score(problem, [run_of([(150, 150, -0.31), (300, 300, -0.3)])])
    cheat = task.score(problem, [run_of([(150, 0, -0.31), (300, 1, -0.3)])])
    assert cheat == honest


def test_passing_through_the_basin_is_not_finding_it():
    task, problem = f1_problem()
    through = task.score(problem, [run_of([(60, 60, -0.3), (300, 300, 0.2)])])
    assert through.secondary["global_basin"] == 0.0
    assert through.secondary["basin_ever"] == 1.0
    assert through.secondary["passes_to_basin"] == 60
    assert through.secondary["log10_gap"] == pytest.approx(math.log10(0.05), abs=1e-6)


def test_a_start_that_never_gets_there_counts_with_the_whole_budget():
    task, problem = f1_problem()
    stuck = task.score(problem, [run_of([(60, 60, 0.3), (300, 300, 0.2)])])
    assert stuck.secondary["basin_ever"] == 0.0
    assert stuck.secondary["passes_to_basin"] == 300


def test_curve_holds_progress_at_every_snapshot():
    task, problem = f1_problem()
    curve = task.score(problem, [run_of(HAND_MADE)]).curve
    assert [point["batch"] for point in curve] == [1, 30, 60, 150, 300]
    last = math.log(f1(-1.0) / f1(0.2001)) / math.log(f1(-1.0) / task.recipe.gap_floor)
    assert curve[-1]["test"] == curve[-1]["val"] == pytest.approx(last, rel=1e-5)
    assert curve[0]["start"] == 0


def test_starts_are_averaged():
    task = task_of("rosenbrock")
    problem = task.prepare(Seeds("test", "rosenbrock", 0))
    total, n = task.card.budget.batches, len(problem.starts)
    still = [[Snapshot(total, total, total, start)] for start in problem.starts]
    solved = {"x": torch.ones(2) + task.model_for(problem, 0).shift}
    best = [Snapshot(1, 1, 1, solved), Snapshot(total, total, total, solved)]
    scores = task.score(problem, [best, *still[1:]])
    assert scores.test == pytest.approx((1 - 0.5 / total) / n)
    assert scores.secondary["global_basin"] == 1 / n
    assert scores.secondary["passes_to_basin"] == (1 + (n - 1) * total) / n
    assert len(scores.curve) == 2 + (n - 1)


@pytest.mark.parametrize("slug", FUNCTIONS)
def test_standing_still_scores_the_cards_chance_level(slug):
    task = task_of(slug)
    problem = task.prepare(Seeds("test", slug, 0))
    batches = task.card.evaluation.batches(task.card.budget.batches)
    runs = [[Snapshot(b, b, b, start) for b in batches] for start in problem.starts]
    scores = task.score(problem, runs)
    assert scores.test == task.card.metric.chance == 0.0
    assert set(scores.secondary) == set(task.card.secondary)
    assert scores.secondary["global_basin"] == 0.0


@pytest.mark.parametrize("slug", FUNCTIONS)
def test_weights_that_overflow_the_function_score_zero_and_stay_finite(slug):
    task = task_of(slug)
    problem = task.prepare(Seeds("test", slug, 0))
    huge = {key: torch.full_like(value, 3e38) for key, value in problem.starts[0].items()}
    total = task.card.budget.batches
    scores = task.score(problem, [[Snapshot(total, total, total, huge)] for _ in problem.starts])
    assert scores.test == 0.0
    assert all(math.isfinite(value) for value in scores.secondary.values())
    assert scores.secondary["log10_gap"] <= math.log10(GAP_CEILING)


@pytest.mark.parametrize("slug", FUNCTIONS)
def test_scoring_is_repeatable(slug):
    task = task_of(slug)
    problem = task.prepare(Seeds("test", slug, 0))
    total = task.card.budget.batches
    nearer = [{key: value * 0.97 for key, value in start.items()} for start in problem.starts]
    runs = [[Snapshot(total, total, total, state)] for state in nearer]
    assert task.score(problem, runs) == task_of(slug).score(problem, runs)


def test_area_of_known_shapes():
    assert area([100], [1.0], 100) == pytest.approx(0.5)
    assert area([50], [1.0], 100) == pytest.approx(0.75)
    assert area([50, 100], [0.0, 1.0], 100) == pytest.approx(0.25)
    assert area([1, 100], [1.0, 1.0], 100) == pytest.approx(0.995)
    assert area([50, 150], [0.0, 1.0], 100) == pytest.approx(0.125)  # cut at the budget
    assert area([200, 300], [1.0, 0.0], 100) == pytest.approx(0.25)


def test_targets_of_the_cards_are_in_order_and_within_reach():
    for slug in FUNCTIONS:
        card = task_entries()[slug].card
        values = [target.value for target in card.targets]
        if card.deterministic:  # its one run cannot tell how often a target is reached
            assert not values
            continue
        assert len(values) == 3
        assert values == sorted(values)
        assert values[0] > 0
        assert values[-1] <= 1


def adam_anytime(slug: str, lr: float, betas: tuple[float, float], **options: bool) -> float:
    """A bare training loop: one start, batch order shuffled per epoch."""
    task = task_of(slug)
    problem = task.prepare(Seeds("test", slug, 0))
    model = task.model_for(problem, 0)
    model.load_state_dict(dict(problem.starts[0]))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=betas, **options)
    inputs, total = problem.train["inputs"], task.card.budget.batches
    generator, order = torch.Generator().manual_seed(0), []
    points, snapshots = set(task.card.evaluation.batches(total)), []
    for batch in range(total):
        order = order or torch.randperm(len(inputs), generator=generator).tolist()
        optimizer.param_groups[0]["lr"] = lr * (1 - batch / total)
        optimizer.zero_grad()
        row = order.pop()
        model(inputs[row : row + 1]).backward()
        optimizer.step()
        task.project(model)
        if batch + 1 in points:
            state = {key: value.clone() for key, value in model.state_dict().items()}
            snapshots.append(Snapshot(batch + 1, batch + 1, batch + 1, state))
    return task.score(problem, [snapshots]).test


def test_adam_fails_on_reddis_problem_with_a_short_memory_and_amsgrad_does_not():
    assert adam_anytime("reddi_online", 0.1, (0.9, 0.99)) < 0.02
    assert adam_anytime("reddi_online", 0.1, (0.9, 0.99), amsgrad=True) > 0.05
