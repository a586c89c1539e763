"""Aggregation over tasks and families against scipy and brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from assay.ruleset import RULESET
from assay_leaderboard.statistics import aggregate
from assay_leaderboard.statistics.aggregate import Aggregates, Scores, Summary
from assay_leaderboard.statistics.bootstrap import resamples
from assay_leaderboard.statistics.result_cache import ResultCache
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = RULESET.model_copy(update={"bootstrap_draws": 300})


def tasks(seed: int, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.gamma(2.0, size=n) for name, n in sizes.items()}


def draws(scores: Scores, n_draws: int = 300) -> np.ndarray:
    """The interquartile mean under each draw of a plain stratified bootstrap."""
    found = []
    for i in range(n_draws):
        picked = [
            values[resamples(SMALL.seed_root, name, len(values), n_draws)[:, i]]
            for name, values in scores.items()
        ]
        found.append(aggregate.interquartile_mean(picked))
    return np.array(found)


def p_value(difference: np.ndarray) -> float:
    rarer = min((difference <= 1e-12).sum(), (difference >= -1e-12).sum())
    return min(1.0, 2 * (1 + rarer) / (1 + len(difference)))


def pairs(summary: Summary) -> dict[tuple[int, int], tuple[float, float]]:
    found = summary.contrasts
    return {
        (i, j): (difference, p)
        for i, j, difference, p in zip(
            found.first.tolist(), found.second.tolist(), found.difference, found.p, strict=True
        )
    }


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


@pytest.mark.parametrize("sizes", [{"a": 12, "b": 12}, {"a": 12, "b": 16, "c": 10}, {"a": 5}])
def test_a_family_is_a_plain_stratified_bootstrap(sizes: dict[str, int]) -> None:
    methods = [tasks(0, sizes), tasks(1, sizes)]
    found = Aggregates(methods, SMALL).over([list(sizes)])
    plain = [draws(scores) for scores in methods]
    for i, scores in enumerate(methods):
        assert found.score[i] == pytest.approx(aggregate.interquartile_mean([*scores.values()]))
        assert found.ends[i] == pytest.approx(np.quantile(plain[i], [0.025, 0.975]))
    (difference, p), expected = pairs(found)[0, 1], plain[0] - plain[1]
    assert difference == pytest.approx(found.score[0] - found.score[1])
    assert p == pytest.approx(p_value(expected))


def test_draws_of_equal_sizes_are_paired() -> None:
    scores = tasks(0, {"a": 12, "b": 12})
    shifted = {name: values + 0.001 for name, values in scores.items()}
    longer = {"a": scores["a"], "b": np.append(scores["b"] + 0.001, [1.0] * 4)}
    found = pairs(Aggregates([scores, shifted, longer], SMALL).over([["a", "b"]]))
    assert found[0, 1] == (pytest.approx(-0.001), pytest.approx(2 / 301))
    assert found[0, 2][1] > 0.1


def test_overall_is_the_mean_of_the_families() -> None:
    sizes = {"a": 12, "b": 12, "c": 12}
    methods = [tasks(seed, sizes) for seed in range(3)]
    aggregates = Aggregates(methods, SMALL)
    overall = aggregates.over([["a", "b"], ["c"]])
    parts = [aggregates.over([family]).score for family in (["a", "b"], ["c"])]
    assert overall.score == pytest.approx((parts[0] + parts[1]) / 2)
    plain = [(draws({t: m[t] for t in ("a", "b")}) + draws({"c": m["c"]})) / 2 for m in methods]
    for ends, values in zip(overall.ends, plain, strict=True):
        assert ends == pytest.approx(np.quantile(values, [0.025, 0.975]))
    for (i, j), (difference, p) in pairs(overall).items():
        assert difference == pytest.approx(overall.score[i] - overall.score[j])
        assert p == pytest.approx(p_value(plain[i] - plain[j]))


def test_methods_meet_on_their_common_tasks() -> None:
    methods: list[Scores] = [
        tasks(0, {"a": 12, "b": 12, "c": 12}),
        tasks(1, {"a": 12, "b": 12, "c": 12}),
        tasks(2, {"a": 12, "c": 12}),
        tasks(3, {"b": 12, "c": 12}),
        tasks(4, {"b": 12}),
        {},
    ]
    found = Aggregates(methods, SMALL).over([["a", "b", "c"]])
    assert np.isnan(found.score).tolist() == [False] * 5 + [True]
    seen = pairs(found)
    expected = {
        (i, j): sorted(methods[i].keys() & methods[j].keys())
        for i in range(5)
        for j in range(i + 1, 5)
    }
    for (i, j), common in expected.items():
        place = (i, j) if (i, j) in seen else (j, i)
        if not common:
            assert place not in seen
            continue
        sign = 1 if place == (i, j) else -1
        own = [aggregate.interquartile_mean([methods[x][t] for t in common]) for x in (i, j)]
        assert sign * seen[place][0] == pytest.approx(own[0] - own[1])
        difference = [draws({t: methods[x][t] for t in common}) for x in (i, j)]
        assert seen[place][1] == pytest.approx(p_value(difference[0] - difference[1]))
    assert len(seen) == sum(bool(common) for common in expected.values())
    assert np.isnan(found.ends[5]).all()


def test_a_method_without_a_task_of_a_family_is_not_in_the_mean_of_families() -> None:
    methods: list[Scores] = [tasks(0, {"a": 3, "b": 3}), tasks(1, {"a": 3}), tasks(2, {"b": 3})]
    found = Aggregates(methods, SMALL).over([["a"], ["b"]])
    assert np.isnan(found.score).tolist() == [False, True, True]
    assert pairs(found) == {}


def test_methods_together_are_each_alone() -> None:
    sizes = [{"a": 12, "b": 12}, {"a": 12, "b": 8}, {"a": 12, "b": 12}, {"a": 1, "b": 1}]
    methods = [tasks(seed, size) for seed, size in enumerate(sizes)]
    together = Aggregates(methods, SMALL).over([["a", "b"]])
    for i, scores in enumerate(methods):
        alone = Aggregates([scores], SMALL).over([["a", "b"]])
        assert together.score[i] == alone.score[0]
        assert together.ends[i].tolist() == pytest.approx(alone.ends[0].tolist(), nan_ok=True)
    assert np.isnan(together.ends[3]).all()  # nothing to resample


@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_tasks_does_not_matter(order: list[str]) -> None:
    scores = tasks(1, {"a": 12, "b": 8, "c": 1})
    expected = Aggregates([scores], SMALL).over([["a", "b", "c"]])
    found = Aggregates([{name: scores[name] for name in order}], SMALL).over([order])
    assert found.score[0] == expected.score[0]
    assert (found.ends == expected.ends).all()


@given(
    st.lists(st.sets(st.sampled_from("abc")), min_size=1, max_size=5),
    st.floats(0, 1),
    st.sampled_from([0.05, 0.5]),
)
@settings(max_examples=30)
def test_wins_follow_from_the_pairs(owned: list[set[str]], margin: float, rate: float) -> None:
    methods = [
        {t: v + 2 * i for t, v in tasks(i, dict.fromkeys(sorted(own), 4)).items()}
        for i, own in enumerate(owned)
    ]
    found = Aggregates(methods, SMALL).over(["a", "bc"])
    better = found.contrasts.beats(margin, rate)
    seen = pairs(found)
    passed = (
        scipy.stats.false_discovery_control([p for _, p in seen.values()]) <= rate if seen else []
    )
    for ((i, j), (difference, _)), sure in zip(seen.items(), passed, strict=True):
        assert better[i, j] == (sure and difference > margin)
        assert better[j, i] == (sure and difference < -margin)
    assert better.sum() <= len(seen)


def test_results_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {f"t{i}": 3 for i in range(aggregate.MIN_TASKS)}
    methods = [tasks(0, sizes), tasks(1, sizes)]
    first = Aggregates(methods[:1], SMALL, cache := ResultCache())
    first.over([list(sizes)])
    first.over_other_tasks(list(sizes))
    cache.save(tmp_path / "cache")
    expected = Aggregates(methods, SMALL)
    computed: list[int] = []
    plain = aggregate.middle_means

    def counted(*args: object) -> object:
        computed.append(1)
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(aggregate, "middle_means", counted)
    again = Aggregates(methods, SMALL, ResultCache.load(tmp_path / "cache"))
    found = again.over([list(sizes)]), again.over_other_tasks(list(sizes))
    assert len(computed) == 2  # of the second method alone
    assert (found[0].ends == expected.over([list(sizes)]).ends).all()
    assert found[1] == expected.over_other_tasks(list(sizes))


@pytest.mark.parametrize("n", [12, 3])
def test_the_interval_for_other_tasks_is_that_of_a_plain_nested_bootstrap(n: int) -> None:
    sizes = {f"t{i}": n + i % 2 for i in range(8)}
    scores = {name: v + i / 2 for i, (name, v) in enumerate(tasks(5, sizes).items())}
    ruleset = RULESET.model_copy(update={"bootstrap_draws": 2_000})
    aggregates = Aggregates([scores], ruleset)
    generator = np.random.default_rng(7)
    pools, plain = list(scores.values()), []
    for _ in range(2_000):
        picked = [pools[i] for i in generator.integers(0, len(pools), len(pools))]
        runs = [generator.choice(pool, len(pool)) for pool in picked]
        plain.append(aggregate.interquartile_mean(runs))
    low, high = np.quantile(plain, [0.025, 0.975])
    over = aggregates.over_other_tasks(list(scores))[0]
    low_within, high_within = aggregates.over([list(scores)]).ends[0]
    assert over is not None
    assert (over.low, over.high) == pytest.approx((low, high), abs=0.08 * np.std(plain) + 0.05)
    assert over.low < low_within < high_within < over.high


def test_few_tasks_are_not_resampled() -> None:
    sizes = {f"t{i}": 4 for i in range(8)}
    methods = [tasks(0, sizes), tasks(1, {t: n for t, n in sizes.items() if t != "t3"})]
    found = Aggregates(methods, SMALL).over_other_tasks(list(sizes))
    assert found[0] is not None
    assert found[1] is None


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


def test_no_methods() -> None:
    found = Aggregates([], SMALL).over([["a"]])
    assert (len(found.score), found.ends.shape, found.contrasts.m) == (0, (0, 2), 0)
