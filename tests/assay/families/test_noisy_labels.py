from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from assay import data
from assay.errors import PluginError, UnknownName
from assay.families.noisy_labels import (
    CONFUSABLE,
    NoisyLabels,
    asymmetric,
    instance_dependent,
    symmetric,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.assay.families.conftest import cards, load, seeds, snapshot

Make = Callable[..., Any]
CIFAR10 = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
]  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(rate=st.floats(0, 1), n=st.integers(0, 60), seed=st.integers(0, 99))
def test_symmetric_noise_flips_an_exact_share_of_each_class(rate: float, n: int, seed: int) -> None:
    targets = torch.arange(5).repeat_interleave(torch.tensor([n, n + 1, 2 * n, 1, 7]))
    noisy = symmetric(targets, rate, 5, generator(seed))
    for label in range(5):
        members = targets == label
        flipped = int((noisy[members] != label).sum())
        assert flipped == round(rate * int(members.sum()))
    assert noisy.min() >= 0
    assert noisy.max() <= 4


def test_symmetric_noise_goes_to_all_other_classes_alike() -> None:
    targets = torch.zeros(90_000, dtype=torch.int64)
    counts = symmetric(targets, 0.9, 10, generator()).bincount(minlength=10)
    assert counts[0] == 9000
    # Nine bins of 9,000 expected each; sd of a bin is sqrt(81000 * 1/9 * 8/9) = 89.
    assert (counts[1:] - 9000).abs().max() < 5 * 89


def test_asymmetric_noise_is_decided_by_the_true_label() -> None:
    targets = torch.arange(10).repeat_interleave(1000)
    noisy = asymmetric(targets, 0.4, CONFUSABLE["cifar10"], generator())
    transitions = torch.zeros(10, 10, dtype=torch.int64)
    transitions.index_put_((targets, noisy), torch.tensor(1), accumulate=True)
    expected = torch.eye(10, dtype=torch.int64) * 1000
    for true, wrong in (
        ("truck", "automobile"), ("bird", "airplane"), ("deer", "horse"),
        ("cat", "dog"), ("dog", "cat"),
    ):  # fmt: skip
        row, column = CIFAR10.index(true), CIFAR10.index(wrong)
        expected[row, row], expected[row, column] = 600, 400
    # A map applied in place would send some cats to dog and back: 0.24 instead of 0.4 flipped.
    assert transitions.equal(expected)


def test_instance_dependent_noise_has_the_nominal_rate_and_depends_on_the_instance() -> None:
    n, d, n_classes = 20_000, 16, 4
    targets = torch.arange(n_classes).repeat(n // n_classes)
    features = torch.randn((n, d), generator=generator(1))
    weights = torch.randn((n_classes, d, n_classes), generator=generator(2))
    for rate in (0.2, 0.4):
        noisy = instance_dependent(targets, features, rate, weights, generator(3))
        # Truncation of N(rate, 0.1^2) to 0..1 moves the mean by 0.006 at most; sd here is 0.0035.
        assert float((noisy != targets).double().mean()) == pytest.approx(rate, abs=0.015)
    scores = torch.einsum("nd,ndk->nk", features, weights[targets])
    scores[torch.arange(n), targets] = -torch.inf
    flipped = noisy != targets
    agreement = (scores.argmax(1) == noisy)[flipped].double().mean()
    expected = scores.softmax(1).max(1).values[flipped].double().mean()
    assert float(agreement) == pytest.approx(float(expected), abs=0.02)
    assert agreement > 0.7


NOISY: Mapping[str, Mapping[str, Any]] = {
    "symmetric": {"noise": "symmetric", "noise_rate": 0.4},
    "asymmetric": {"noise": "asymmetric", "noise_rate": 0.2, "flip_rate": 0.4},
    "instance": {"noise": "instance", "noise_rate": 0.4},
}


@pytest.mark.parametrize("noise", NOISY)
def test_train_and_val_are_noisy_and_test_is_clean(make: Make, noise: str) -> None:
    recipe = NOISY[noise]
    noisy = make("noisy_labels", recipe=recipe).prepare(seeds())
    clean = make("classification").prepare(seeds())
    assert noisy.train["inputs"].equal(clean.train["inputs"])
    assert noisy.sealed["test_targets"].equal(clean.sealed["test_targets"])
    assert noisy.sealed["clean_targets"].equal(clean.train["targets"])
    assert "clean_targets" not in noisy.train
    for labels, true in (
        (noisy.train["targets"], clean.train["targets"]),
        (noisy.sealed["val_targets"], clean.sealed["val_targets"]),
    ):
        share = float((labels != true).double().mean())
        # Four standard deviations of a share of so many draws.
        assert share == pytest.approx(recipe["noise_rate"], abs=2 / len(labels) ** 0.5)


def test_the_noise_stream_is_its_own(make: Make) -> None:
    """Fewer training examples move neither the initial weights nor the noise of validation."""
    recipe = NOISY["instance"]
    first = make("noisy_labels", recipe=recipe).prepare(seeds())
    split = {"train": 300, "val": 200, "test": 600}
    second = make("noisy_labels", recipe=recipe, split=split).prepare(seeds())
    assert all(first.starts[0][name].equal(second.starts[0][name]) for name in first.starts[0])
    differ = first.sealed["val_targets"] != second.sealed["val_targets"]
    assert float(differ.double().mean()) < 0.1  # the inputs are standardised a little differently


def test_memorisation_counts_corrupted_examples_predicted_as_labelled(make: Make) -> None:
    task = make("noisy_labels", recipe=NOISY["symmetric"])
    problem = task.prepare(seeds())
    state = {name: torch.zeros_like(value) for name, value in problem.starts[0].items()}
    state["3.bias"][7] = 1.0  # always says 7
    given = problem.train["targets"]
    wrong = given != problem.sealed["clean_targets"]
    scores = task.score(problem, [[snapshot(state)]])
    expected = float((given[wrong] == 7).double().mean())
    assert scores.secondary["memorisation"] == pytest.approx(expected)
    all_seven = replace(problem, train={**problem.train, "targets": torch.full_like(given, 7)})
    scores = task.score(all_seven, [[snapshot(state)]])
    assert scores.secondary["memorisation"] == 1.0


def test_human_labels_follow_the_split(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = data.load("digits")
    published = {
        "inputs": digits["inputs"],
        "targets": digits["targets"],
        "test_inputs": digits["inputs"][:50],
        "test_targets": digits["targets"][:50],
        "human_targets": (digits["targets"] + torch.arange(1797) % 2) % 10,
    }
    monkeypatch.setattr(data, "load", lambda name: published)
    recipe = {"noise": "human", "noise_rate": 0.5}
    task = make("noisy_labels", recipe=recipe, split={"train": 800, "val": 400})
    positions = task.positions(published, seeds())
    problem = task.prepare(seeds())
    assert problem.train["targets"].equal(published["human_targets"][positions["train"]])
    assert problem.sealed["val_targets"].equal(published["human_targets"][positions["val"]])
    assert problem.sealed["clean_targets"].equal(published["targets"][positions["train"]])
    assert problem.sealed["test_targets"].equal(published["test_targets"][positions["test"]])


def test_noise_that_the_data_set_does_not_have_is_the_fault_of_the_card(make: Make) -> None:
    recipe = {"noise": "asymmetric", "noise_rate": 0.2, "flip_rate": 0.4}
    breast_cancer = {
        "dataset": {"name": "breast_cancer", "source": "here", "licence": "none"},
        "n_classes": 2,
    }
    with pytest.raises(PluginError, match="defined for digits, cifar10, not for breast_cancer"):
        make("noisy_labels", recipe=recipe, **breast_cancer)
    with pytest.raises(PluginError, match="no human labels"):
        make("noisy_labels", recipe={"noise": "human", "noise_rate": 0.4}).prepare(seeds())


def test_memorisation_is_left_out_where_no_label_is_wrong(make: Make) -> None:
    task = make("noisy_labels", recipe={"noise": "symmetric", "noise_rate": 0.0})
    problem = task.prepare(seeds())
    scores = task.score(problem, [[snapshot(problem.starts[0])]])
    assert set(scores.secondary) == {"log_loss"}


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        ({"noise": "symetric", "noise_rate": 0.4}, UnknownName, "symmetric"),
        ({"noise": "symmetric"}, PluginError, "noise_rate"),
        ({"noise": "asymmetric", "noise_rate": 0.2}, PluginError, "flip_rate"),
        ({"noise": "symmetric", "noise_rate": -0.1}, PluginError, "got -0.1"),
        ({"noise": "symmetric", "noise_rate": 1.5}, PluginError, "got 1.5"),
    ],
)
def test_a_recipe_that_is_incomplete_is_refused(
    make: Make, recipe: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make("noisy_labels", recipe=recipe)


@pytest.mark.parametrize(
    "card",
    [card for card in cards("noisy_labels") if card.dataset.name == "digits"],
    ids=lambda card: card.slug,
)
def test_the_noise_rate_on_a_shipped_card_is_the_one_measured(card: Any) -> None:
    task = load(card)
    assert isinstance(task, NoisyLabels)
    rates = []
    for repetition in range(8):
        problem = task.prepare(seeds(repetition))
        wrong = problem.train["targets"] != problem.sealed["clean_targets"]
        rates.append(float(wrong.double().mean()))
    assert sum(rates) / 8 == pytest.approx(float(card.recipe["noise_rate"]), abs=0.02)
