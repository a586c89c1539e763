from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from assay import data
from assay.errors import PluginError, UnknownName
from assay.families.classification import Classification, crop_and_flip, stratified_order
from assay.families.overflow import outputs
from assay.task import Problem
from torch import nn

from tests.assay.families.conftest import cards, load, seeds, snapshot

LITE = [card for card in cards("classification", "noisy_labels", "class_imbalance")
        if card.tier == "lite"]  # fmt: skip
Make = Callable[..., Any]


def same(first: Problem, second: Problem) -> bool:
    pairs = zip(
        (first.train, first.sealed, *first.starts),
        (second.train, second.sealed, *second.starts),
        strict=True,
    )
    return all(a.keys() == b.keys() and all(a[key].equal(b[key]) for key in a) for a, b in pairs)


def test_every_lite_task_of_these_families_is_shipped() -> None:
    assert len(LITE) >= 8


@pytest.mark.parametrize("card", LITE, ids=lambda card: card.slug)
def test_a_shipped_task_prepares_trains_and_scores(card: Any) -> None:
    task = load(card)
    assert isinstance(task, Classification)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    problem = task.prepare(seeds())
    assert same(problem, task.prepare(seeds()))
    assert not same(problem, task.prepare(seeds(1)))
    (start,) = problem.starts
    scores = task.score(problem, [[snapshot(start)]])
    assert torch.get_rng_state().equal(before)
    assert set(scores.secondary) == set(card.secondary)
    assert abs(scores.test - card.metric.chance) < 0.2
    assert set(problem.train) == {"inputs", "targets"}
    assert problem.train["inputs"].dtype == torch.float32
    assert all(value.is_contiguous() for value in {**problem.train, **problem.sealed}.values())
    layout = task.layout(problem)
    assert layout.keys() == start.keys()


@pytest.mark.parametrize(
    "card",
    cards("classification", "noisy_labels", "class_imbalance"),
    ids=lambda card: card.slug,
)
def test_a_shipped_card_is_honest(card: Any) -> None:
    task = load(card)
    assert task.card.metric.chance == pytest.approx(1 / card.n_classes)
    checked = {
        file.path: file.digest.removeprefix("sha256:")
        for name in (card.dataset.name, data.dataset(card.dataset.name).needs)
        if name
        for file in data.dataset(name).files
        if file.digest.startswith("sha256:")
    }
    assert card.dataset.sha256 == checked
    assert card.budget.batches in card.evaluation.batches(card.budget.batches)


def test_splits_are_disjoint_stratified_and_standardised_by_train(make: Make) -> None:
    task = make(split={"train": 800, "val": 300, "test": 697})
    positions = task.positions(data.load("digits"), seeds())
    everything = torch.cat(list(positions.values()))
    assert sorted(everything.tolist()) == list(range(1797))
    problem = task.prepare(seeds())
    train = problem.train["inputs"]
    assert float(train.mean()) == pytest.approx(0, abs=1e-5)
    assert float(train.std(correction=0)) == pytest.approx(1, abs=1e-5)
    published = data.load("digits")
    raw = published["inputs"][positions["train"]]
    test = published["inputs"][positions["test"]]
    expected = (test - raw.mean()) / raw.std(correction=0)
    assert problem.sealed["test_inputs"].allclose(expected, atol=1e-5)
    total = published["targets"].bincount().double()
    for name, size in (("val", 300), ("test", 697)):
        counts = problem.sealed[f"{name}_targets"].bincount(minlength=10)
        assert (counts - total * size / 1797).abs().max() <= 2


def test_val_and_test_do_not_depend_on_the_size_of_train(make: Make) -> None:
    published = data.load("digits")
    small, large = (make(split={"train": n, "val": 200, "test": 600}) for n in (50, 500))
    one, other = small.positions(published, seeds()), large.positions(published, seeds())
    assert one["val"].equal(other["val"])
    assert one["test"].equal(other["test"])
    one, other = small.split(published, seeds()), large.split(published, seeds())
    assert one["train"].equal(other["train"][:50])


def test_stratified_order_keeps_classes_in_proportion_everywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    order = targets[stratified_order(targets, generator)]
    for start in range(0, 100, 10):
        counts = order[start : start + 10].bincount(minlength=3)
        assert (counts - torch.tensor([5.0, 3.0, 2.0])).abs().max() <= 1


def test_selection_is_on_val_and_takes_the_latest_of_equals(make: Make) -> None:
    task = make()
    problem = task.prepare(seeds())
    states = []
    for label in (0, 1, 1, 2):
        state = {name: torch.zeros_like(value) for name, value in problem.starts[0].items()}
        state["3.bias"][label] = 1.0
        states.append(state)
    # Val holds class 1 alone, test class 2 alone: what is best on test is never selected.
    sealed = {
        **problem.sealed,
        "val_targets": torch.ones(200, dtype=torch.int64),
        "test_targets": torch.full((600,), 2),
    }
    scores = task.score(
        replace(problem, sealed=sealed), [[snapshot(s, i) for i, s in enumerate(states)]]
    )
    assert (scores.selected, scores.val, scores.test) == (2, 1.0, 0.0)
    assert (scores.test_last, scores.test_oracle) == (1.0, 1.0)
    assert [point["batch"] for point in scores.curve] == [0, 1, 2, 3]
    assert [point["val"] for point in scores.curve] == [0.0, 1.0, 1.0, 0.0]


def test_weights_that_give_no_numbers_score_nothing(make: Make) -> None:
    task = make()
    problem = task.prepare(seeds())
    state = {name: torch.full_like(value, 3e38) for name, value in problem.starts[0].items()}
    scores = task.score(problem, [[snapshot(state)]])
    assert scores.test == 0
    assert scores.secondary["log_loss"] == 100


def test_an_overflow_that_relu_hides_is_wrong_for_its_example_alone() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), (-1e14, 0.0, 0.0, 1.0), strict=True):
            parameter.fill_(value)
        found = outputs(model, [torch.tensor([[1.0], [9.0]]), torch.tensor([[11.0], [1e30]])])
    assert found[:2].tolist() == [[1.0, 1.0]] * 2
    assert found[2:].isnan().all()


@pytest.mark.parametrize(("largest", "sound"), [(9e14, True), (2e15, False), (math.nan, False)])
def test_one_weight_that_may_overflow_is_wrong_for_all(largest: float, sound: bool) -> None:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.bias.fill_(largest)
        found = outputs(model, [torch.zeros(3, 2)])
    assert bool(found.isfinite().all()) is sound
    assert bool(found.isnan().all()) is not sound


def test_outputs_are_the_models_own_bit_for_bit(make: Make) -> None:
    task = make(model={"name": "cnn", "parameters": {"width": 4, "batch_norm": True}})
    problem = task.prepare(seeds())
    model = task.restore(problem, problem.starts[0])
    with torch.inference_mode():
        assert torch.equal(task.logits(model, problem.sealed["val_inputs"]),
                           model(problem.sealed["val_inputs"]))  # fmt: skip
    assert not any(module._forward_hooks for module in model.modules())


def test_images_are_decoded_with_the_channel_constants() -> None:
    (card,) = (card for card in cards("classification") if card.slug == "cifar10_resnet8")
    task = load(card)
    image = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 32, 32)
    decoded = task.decode(image)
    assert decoded.is_contiguous(memory_format=torch.channels_last)
    expected = [(0 - 0.4914) / 0.2470, (128 / 255 - 0.4822) / 0.2435, (1 - 0.4465) / 0.2616]
    assert decoded[1, :, 3, 4].tolist() == pytest.approx(expected, rel=1e-5)
    augmented = task.augment(decoded, torch.Generator().manual_seed(0))
    black = [-0.4822 / 0.2435, -0.4465 / 0.2616]
    for channel in (1, 2):
        found = augmented[:, channel].unique().tolist()
        assert found == pytest.approx([black[channel - 1], expected[channel]], rel=1e-5)


def test_crops_and_flips_against_one_image_at_a_time() -> None:
    images = torch.rand((64, 2, 12, 12), generator=torch.Generator().manual_seed(0))
    black = torch.tensor([-1.0, -2.0]).view(2, 1, 1)
    found = crop_and_flip(images, black, torch.Generator().manual_seed(1))
    again = crop_and_flip(images, black, torch.Generator().manual_seed(1))
    assert found.equal(again)
    seen = set()
    for image, crop in zip(images, found, strict=True):
        padded = black.expand(2, 20, 20).clone()
        padded[:, 4:16, 4:16] = image
        matches = [
            (top, left, flip)
            for top in range(9)
            for left in range(9)
            for flip in (False, True)
            if (
                padded[:, top : top + 12, left : left + 12].flip(2)
                if flip
                else padded[:, top : top + 12, left : left + 12]
            ).equal(crop)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert {top for top, _, _ in seen} == set(range(9)) == {left for _, left, _ in seen}
    assert 20 <= sum(flip for _, _, flip in seen) <= 44


def test_without_augmentation_nothing_is_drawn(make: Make) -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    inputs = torch.ones(3, 1, 8, 8)
    assert make().augment(inputs, generator) is inputs
    assert generator.get_state().equal(before)


def test_the_reference_optimizer_is_nesterov_sgd(make: Make) -> None:
    task = make()
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = task.reference_optimizer([weight], task.Reference(lr=0.5, weight_decay=1e-3))
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.5, 0.9, True)
    assert group["weight_decay"] == 1e-3


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"n_classes": 9}, PluginError, "9 classes"),
        ({"recipe": {"augment": "crop"}}, UnknownName, "crop_flip"),
        ({"dataset": {"name": "digit", "source": "x", "licence": "y"}}, UnknownName, "digits"),
        ({"split": {"train": 400, "val": 200}}, PluginError, "test"),
        ({"split": {"train": 1400, "val": 200, "test": 200}}, PluginError, "1800"),
        ({"split": {"train": 400, "val": 0, "test": 600}}, PluginError, "split.val is 0"),
        ({"split": {"train": 400, "val": 200, "test": -1}}, PluginError, "split.test is -1"),
        ({"split": {"train": 400, "val": 0.5, "test": 600}}, PluginError, "split.val is 0.5"),
        ({"model": {"name": "mlp", "parameters": {"width": 0, "depth": 1}}}, PluginError, "width"),
        ({"model": {"name": "mlp", "parameters": {"width": -1, "depth": 1}}}, PluginError, "-1"),
        ({"model": {"name": "cnn", "parameters": {"width": 4, "blocks": 5}}}, PluginError, "5"),
        (
            {"metric": {"name": "f1", "direction": "maximize", "chance": 0, "margin": 0.1}},
            UnknownName,
            "accuracy",
        ),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    make: Make, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(**changes).prepare(seeds())
