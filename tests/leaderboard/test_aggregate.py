"""Aggregation over tasks against scipy and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from leaderboard import aggregate
from leaderboard.paired import resamples
from suite.ruleset import RULESET

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


def test_beats_needs_certainty_and_size() -> None:
    scores = tasks(2, {"a": 12, "b": 12})
    base = aggregate.aggregate(scores, SMALL)
    above = aggregate.aggregate({k: v + 1 for k, v in scores.items()}, SMALL)
    nearly = aggregate.aggregate({k: v + 0.001 for k, v in scores.items()}, SMALL)
    other = aggregate.aggregate(tasks(3, {"a": 12, "b": 12}), SMALL)
    found = aggregate.beats([base, above, nearly, other], 0.01, 0.05)
    assert found[1].tolist() == [True, False, True, found[1, 3]]
    assert not found[0].any()
    assert not found[2, 0]
