from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from assay.errors import PluginError, UnknownName
from assay.families.class_imbalance import class_counts, size_group

from tests.assay.families.conftest import cards, load, seeds, snapshot

Make = Callable[..., Any]
SPLIT = {"largest": 100, "val": 200, "test": 500}
METRIC = {"name": "balanced_accuracy", "direction": "maximize", "chance": 0.1, "margin": 0.01}


def imbalanced(make: Make, **changes: Any) -> Any:
    recipe = {"profile": "exponential", "ratio": 50, "permute": True}
    return make(
        "class_imbalance", **{"split": SPLIT, "recipe": recipe, "metric": METRIC, **changes}
    )


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (10, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
        (100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (200, [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25]),
    ],
)
def test_long_tailed_cifar10_has_the_published_counts(ratio: float, expected: list[int]) -> None:
    assert class_counts("exponential", largest=5000, ratio=ratio, n_classes=10) == expected


@pytest.mark.parametrize(("ratio", "total"), [(10, 19573), (50, 12608), (100, 10847)])
def test_long_tailed_cifar100_has_the_published_total(ratio: float, total: int) -> None:
    assert sum(class_counts("exponential", largest=500, ratio=ratio, n_classes=100)) == total


def test_steps() -> None:
    assert class_counts("step", largest=5000, ratio=100, n_classes=10) == [5000] * 5 + [50] * 5
    assert class_counts("step", largest=160, ratio=20, n_classes=2) == [160, 8]


def test_groups_are_thirds_of_the_log_range() -> None:
    counts = class_counts("exponential", largest=5000, ratio=100, n_classes=10)
    groups = [size_group(size, 5000, 50) for size in counts]
    assert groups == ["many"] * 3 + ["medium"] * 3 + ["few"] * 4
    assert [size_group(size, 100, 4) for size in (100, 4)] == ["many", "few"]


def test_train_follows_the_profile_and_val_and_test_do_not(make: Make) -> None:
    problem = imbalanced(make).prepare(seeds())
    counts = problem.train["targets"].bincount(minlength=10)
    expected = class_counts("exponential", largest=100, ratio=50, n_classes=10)
    assert sorted(counts.tolist(), reverse=True) == expected
    assert problem.sealed["val_targets"].bincount(minlength=10).min() >= 17
    assert problem.sealed["test_targets"].bincount(minlength=10).min() >= 45


def test_which_class_is_large_is_drawn_anew_unless_it_is_fixed(make: Make) -> None:
    def order(task: Any, repetition: int) -> list[int]:
        counts = task.prepare(seeds(repetition)).train["targets"].bincount(minlength=10)
        return list(counts.argsort(descending=True, stable=True).tolist())

    task = imbalanced(make)
    assert len({tuple(order(task, repetition)) for repetition in range(6)}) == 6
    fixed = imbalanced(make, recipe={"profile": "exponential", "ratio": 50, "permute": False})
    assert order(fixed, 0) == order(fixed, 1) == list(range(10))


def test_splits_are_disjoint(make: Make) -> None:
    published = {"inputs": torch.arange(2000.0)[:, None], "targets": torch.arange(2000) % 10}
    positions = imbalanced(make).positions(published, seeds())
    everything = torch.cat([positions[name] for name in ("train", "val", "test")])
    assert len(everything.unique()) == len(everything)
    assert not positions["train"].equal(positions["train"].sort().values)


def test_further_metrics_of_a_constant_answer(make: Make) -> None:
    task = imbalanced(make)
    problem = task.prepare(seeds())
    state = {name: torch.zeros_like(value) for name, value in problem.starts[0].items()}
    largest = int(problem.train["targets"].bincount(minlength=10).argmax())
    state["3.bias"][largest] = 1.0
    scores = task.score(problem, [[snapshot(state)]])
    assert scores.test == pytest.approx(0.1)
    many = scores.secondary["many"]
    assert many == pytest.approx(1 / round(1 / many))
    assert (scores.secondary["few"], scores.secondary["worst_class"]) == (0, 0)
    share = float((problem.sealed["test_targets"] == largest).double().mean())
    assert scores.secondary["macro_f1"] == pytest.approx(2 * share / (1 + share) / 10)


def test_the_rare_class_of_the_binary_task_is_the_malignant_one() -> None:
    (card,) = (card for card in cards("class_imbalance") if card.slug == "wdbc_ratio20")
    problem = load(card).prepare(seeds())
    benign, malignant = problem.train["targets"].bincount().tolist()
    assert benign == 20 * malignant
    features = problem.train["inputs"]
    assert features.mean(0).abs().max() < 1e-4
    # Malignant tumours have the larger mean radius.
    radius = problem.sealed["test_inputs"][:, 0]
    targets = problem.sealed["test_targets"]
    assert radius[targets == 1].mean() > radius[targets == 0].mean()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"recipe": {"profile": "linear", "ratio": 5}}, UnknownName, "exponential"),
        ({"recipe": {"profile": "step", "ratio": 0.5}}, PluginError, "at least 1"),
        ({"recipe": {"profile": "step"}}, PluginError, "ratio"),
        ({"split": {"val": 200, "test": 500}}, PluginError, "largest"),
        ({"split": {**SPLIT, "largest": 150}}, PluginError, "left beside"),
        ({"split": {**SPLIT, "train": 150}}, PluginError, "train"),
        ({"split": {**SPLIT, "largest": 20}}, PluginError, "without a training example"),
        ({"split": {**SPLIT, "val": 0}}, PluginError, "split.val is 0"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    make: Make, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        imbalanced(make, **changes).prepare(seeds())


def test_classes_that_val_and_test_lack_leave_every_metric_defined(make: Make) -> None:
    """A class without samples counts in no mean, as scikit-learn has it."""
    task = imbalanced(make, split={**SPLIT, "val": 3, "test": 4})
    problem = task.prepare(seeds())
    assert len(problem.sealed["val_targets"].unique()) <= 3
    scores = task.score(problem, [[snapshot(problem.starts[0])]])
    assert 0 <= scores.val <= 1
    assert {"log_loss", "macro_f1", "worst_class"} <= set(scores.secondary)
    assert all(math.isfinite(value) for value in scores.secondary.values())
