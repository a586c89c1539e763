"""Aggregation over tasks against scipy and brute force."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from assay.ruleset import RULESET
from assay_leaderboard.statistics import aggregate, contrasts
from assay_leaderboard.statistics.bootstrap import resamples
from assay_leaderboard.statistics.result_cache import ResultCache
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = RULESET.model_copy(update={"bootstrap_draws": 300})


def tasks(seed: int, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.gamma(2.0, size=n) for name, n in sizes.items()}


@pytest.mark.parametrize("seed", range(5))
def test_iqm_of_equal_tasks_is_the_trimmed_mean(seed: int) -> None:
    values = list(tasks(seed, {"a": 12, "b": 12, "c": 12}).values())
    expected = scipy.stats.trim_mean(np.concatenate(values), 0.25)
    assert aggregate.interquartile_mean(values) == pytest.approx(expected)


def test_tasks_weigh_the_same_whatever_their_repetitions() -> None:
    once = [np.array([1.0]), np.array([2.0, 3.0, 4.0]), np.array([5.0, 6.0])]
    copied = [np.repeat(values, 6 // len(values)) for values in once]
    expected = aggregate.interquartile_mean(copied)
    assert aggregate.interquartile_mean(once) == pytest.approx(expected)


def test_one_absurd_run_does_not_move_the_iqm() -> None:
    values = [np.linspace(0, 1, 12), np.linspace(0, 1, 12)]
    before = aggregate.interquartile_mean(values)
    values[0][0] = -1e90
    assert aggregate.interquartile_mean(values) == before


def test_draws_are_those_of_a_plain_stratified_bootstrap() -> None:
    scores = tasks(0, {"a": 12, "b": 12})
    found = aggregate.aggregate(scores, SMALL)
    plain = []
    for i in range(SMALL.bootstrap_draws):
        picked = [
            values[resamples(SMALL.seed_root, name, 12, SMALL.bootstrap_draws)[:, i]]
            for name, values in scores.items()
        ]
        plain.append(scipy.stats.trim_mean(np.concatenate(picked), 0.25))
    assert found.iqm_draws == pytest.approx(np.array(plain))
    low, high = np.quantile(plain, [0.025, 0.975])
    assert (found.iqm_interval.low, found.iqm_interval.high) == pytest.approx((low, high))


@given(st.permutations(["a", "b", "c"]))
def test_order_of_tasks_does_not_matter(order: list[str]) -> None:
    scores = tasks(1, {"a": 12, "b": 8, "c": 1})
    expected = aggregate.aggregate(scores, SMALL)
    found = aggregate.aggregate({name: scores[name] for name in order}, SMALL)
    assert found.iqm == expected.iqm
    assert found.mean_interval == expected.mean_interval


def test_anchors_work_in_both_directions() -> None:
    assert aggregate.Anchors(0.1, 0.9).normalised([0.1, 0.5, 0.9]) == pytest.approx([0, 0.5, 1])
    assert aggregate.Anchors(4.0, 2.0).normalised([4.0, 1.0]) == pytest.approx([0, 1.5])


def test_the_gap_is_the_mean_shortfall_and_its_plain_bootstrap() -> None:
    scores = tasks(4, {"a": 12, "b": 8})
    found = aggregate.aggregate(scores, SMALL)
    short = {name: np.maximum(0, 1 - values) for name, values in scores.items()}
    assert found.gap == pytest.approx(np.mean([values.mean() for values in short.values()]))
    draws = np.mean(
        [
            values[resamples(SMALL.seed_root, name, len(values), 300)].mean(axis=0)
            for name, values in short.items()
        ],
        axis=0,
    )
    expected = np.quantile(draws, [0.025, 0.975])
    assert (found.gap_interval.low, found.gap_interval.high) == pytest.approx(tuple(expected))
    above = aggregate.aggregate({name: values + 1 for name, values in scores.items()}, SMALL)
    assert (above.gap, above.gap_interval.high) == (0.0, 0.0)


def test_methods_together_are_each_alone() -> None:
    sizes = [{"a": 12, "b": 12}, {"a": 12, "b": 8}, {"a": 12, "b": 12}, {"a": 1, "b": 1}]
    methods = [tasks(seed, size) for seed, size in enumerate(sizes)]
    together = aggregate.aggregates(methods, SMALL)
    for scores, found in zip(methods, together, strict=True):
        alone = aggregate.aggregate(scores, SMALL)
        assert (found.iqm, found.mean, found.gap) == (alone.iqm, alone.mean, alone.gap)
        assert found.iqm_interval == alone.iqm_interval
        assert found.mean_interval == alone.mean_interval
        assert (found.iqm_draws == alone.iqm_draws).all()


@pytest.mark.parametrize("sizes", [{"a": 12, "b": 12, "c": 12, "d": 12}, {"a": 3, "b": 8, "c": 5}])
def test_the_interval_over_tasks_is_that_of_a_plain_nested_bootstrap(sizes: dict[str, int]) -> None:
    scores = {name: v + i for i, (name, v) in enumerate(tasks(5, sizes).items())}
    found = aggregate.aggregate(scores, RULESET.model_copy(update={"bootstrap_draws": 4_000}))
    generator = np.random.default_rng(7)
    pools, plain = list(scores.values()), []
    for _ in range(4_000):
        picked = [pools[i] for i in generator.integers(0, len(pools), len(pools))]
        runs = [generator.choice(pool, len(pool)) for pool in picked]
        plain.append(aggregate.interquartile_mean(runs))
    low, high = np.quantile(plain, [0.025, 0.975])
    over = found.iqm_interval_tasks
    assert over is not None
    assert (over.low, over.high) == pytest.approx((low, high), abs=0.08 * np.std(plain) + 0.05)
    assert over.low < found.iqm_interval.low < found.iqm_interval.high < over.high


@pytest.mark.parametrize("sizes", [(12, 12, 12), (3, 8, 5), (1, 12, 12, 8), (12,) * 40])
def test_runs_drawn_over_tasks_weigh_as_much_as_the_tasks_drawn(sizes: tuple[int, ...]) -> None:
    names = tuple(f"t{i:02d}" for i in range(len(sizes)))
    design = aggregate._Design(names, sizes, "root", 300)
    weights = aggregate._over_tasks(design).astype(int)
    assert (weights.sum(axis=0) == 4 * design.quarter).all()
    drawn = np.zeros(300, dtype=int)
    for task in np.split(weights, np.cumsum(sizes)[:-1]):
        share, rest = np.divmod(task.sum(axis=0), 4 * design.unit)
        assert not rest.any()
        assert not (task % (4 * design.unit // len(task))).any()
        drawn += share
    assert (drawn == len(sizes)).all()
    flat = np.repeat([design.unit * 4 / n for n in sizes], sizes)
    assert weights.mean(axis=1) == pytest.approx(flat, rel=0.6)


def test_draws_of_tasks_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    methods = [{t: generator.normal(size=n) for t, n in (("a", 3), ("b", 5), ("c", 4))}]
    aggregate.aggregates(methods, SMALL, first := ResultCache())
    first.save(tmp_path / "cache")
    methods.append({task: values + 0.1 for task, values in methods[0].items()})
    expected = aggregate.aggregates(methods, SMALL)
    drawn = []
    monkeypatch.setattr(aggregate, "_over_tasks", drawn.append)
    found = aggregate.aggregates(methods, SMALL, ResultCache.load(tmp_path / "cache"))
    assert drawn == []
    assert [f.iqm_interval_tasks for f in found] == [e.iqm_interval_tasks for e in expected]
    assert found[1].iqm_interval_tasks is not None


def test_two_tasks_are_not_resampled() -> None:
    assert aggregate.aggregate(tasks(6, {"a": 12, "b": 12}), SMALL).iqm_interval_tasks is None


@given(
    st.lists(st.sampled_from([1, 2, 5, 8, 12]), min_size=2, max_size=5),
    st.integers(0, 5),
    st.floats(1, 1e6),
)
@settings(max_examples=25)
def test_a_task_left_out_leaves_the_others_as_they_would_be_alone(
    sizes: list[int], seed: int, absurd: float
) -> None:
    scores = tasks(seed, {f"t{i}": n for i, n in enumerate(sizes)})
    scores["t0"][0] = -absurd
    found = aggregate.aggregate(scores, SMALL)
    for i, name in enumerate(sorted(scores)):
        rest = {other: values for other, values in scores.items() if other != name}
        alone = aggregate.aggregate(rest, SMALL)
        assert found.iqm_without[i] == pytest.approx(alone.iqm, rel=1e-12)
        first = alone.iqm_draws[: aggregate.STABILITY_DRAWS]
        assert found.draws_without[i] == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_who_is_beaten_by_the_spread_is_so_by_scipy(m: int, alpha: float) -> None:
    generator = np.random.default_rng(m)
    iqm = np.round(generator.normal(size=m), 1)  # some are equal
    draws = (iqm + generator.normal(scale=0.3, size=(201, m)) + generator.normal(size=(201, 1))).T
    pairs = list(itertools.combinations(range(m), 2))
    spread = [np.std(draws[i] - draws[j]) for i, j in pairs]
    difference = np.array([iqm[i] - iqm[j] for i, j in pairs])
    p = 2 * scipy.stats.norm.sf(np.abs(difference) / spread)
    certain = scipy.stats.false_discovery_control(p) <= alpha if m > 1 else p <= alpha
    for margin in (0.0, 0.35):
        expected = np.zeros(m, dtype=int)
        for (i, j), gap in zip(
            np.array(pairs).reshape(-1, 2)[certain], difference[certain], strict=True
        ):
            expected[j if gap > 0 else i] += abs(gap) > margin
        found = contrasts.lost_by_spread(iqm, draws, margin, alpha)
        assert found.tolist() == expected.tolist()
    assert m < 40 or found.any()


def test_draws_that_differ_by_rounding_are_equal() -> None:
    draws = np.array([[1.0] * 10_000, [1 + 1e-15] * 10_000, [1.1] * 10_000])
    p = contrasts.Contrasts.of(draws[:, 0], draws).p
    assert p[0, 1] == 1.0
    assert p[0, 2] == p[1, 2] == pytest.approx(2 / 10_001)


@pytest.mark.parametrize("m", [0, 1, 2, 9])
def test_contrasts_are_those_of_each_pair_alone(m: int) -> None:
    generator = np.random.default_rng(m)
    centres = generator.permutation(m) / 3  # near ones, far ones, and in no order
    draws = np.round(generator.normal(centres, 0.2, size=(200, m)).T, 1)
    p = contrasts.Contrasts.of(centres, draws).p
    for i, j in np.ndindex(m, m):
        rarer = min((draws[i] <= draws[j]).sum(), (draws[i] >= draws[j]).sum())
        expected = min(1.0, 2 * (1 + rarer) / 201)
        assert p[i, j] == (1.0 if i == j else pytest.approx(expected))


def test_differences_without_spread_are_certain() -> None:
    draws = np.repeat([[1.0], [2.0], [2.0]], 5, axis=1)
    assert contrasts.lost_by_spread(draws[:, 0], draws, 0.5, 0.05).tolist() == [2, 0, 0]
    together = np.random.default_rng(0).normal(size=200) + np.array([[0.0], [0.1], [0.0]])
    assert contrasts.lost_by_spread(together[:, 0], together, 0.0, 0.05).tolist() == [1, 0, 1]


def test_beats_needs_certainty_and_size() -> None:
    scores = tasks(2, {"a": 12, "b": 12})
    base = aggregate.aggregate(scores, SMALL)
    above = aggregate.aggregate({k: v + 1 for k, v in scores.items()}, SMALL)
    nearly = aggregate.aggregate({k: v + 0.001 for k, v in scores.items()}, SMALL)
    other = aggregate.aggregate(tasks(3, {"a": 12, "b": 12}), SMALL)
    drawn = [base, above, nearly, other]
    iqm, draws = np.array([x.iqm for x in drawn]), np.array([x.iqm_draws for x in drawn])
    found = contrasts.Contrasts.of(iqm, draws).beats(0.01, 0.05)
    assert found[1].tolist() == [True, False, True, found[1, 3]]
    assert not found[0].any()
    assert not found[2, 0]
