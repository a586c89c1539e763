from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from assay import models
from assay.errors import PluginError, UnknownName

CASES: list[tuple[str, dict[str, Any], tuple[int, ...], int | None]] = [
    ("mlp", {"width": 16, "depth": 2}, (1, 8, 8), 64 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10),
    ("mlp", {"width": 16, "depth": 0}, (30,), 30 * 10 + 10),
    ("cnn", {"width": 4, "blocks": 3}, (1, 8, 8), 40 + 8 * 37 + 16 * 73 + 170),
    ("cnn", {"width": 4, "blocks": 2, "batch_norm": True}, (1, 28, 28), 36 + 8 + 288 + 16 + 3930),
    ("compact", {}, (3, 32, 32), 1_152 + 10_368 + 27_648 + 36_864 + 2 * 200 + 650),
    ("compact", {}, (1, 28, 28), 384 + 10_368 + 27_648 + 36_864 + 2 * 200 + 650),
    ("cifar_resnet", {"depth": 8}, (3, 32, 32), 75_290),
    ("cifar_resnet", {"depth": 20}, (3, 32, 32), 269_722),
    ("resnet50", {"width": 4}, (3, 32, 32), None),
]


@pytest.mark.parametrize(("name", "parameters", "in_shape", "n_weights"), CASES)
def test_logits_gradients_and_number_of_weights(
    name: str, parameters: dict[str, Any], in_shape: tuple[int, ...], n_weights: int | None
) -> None:
    model = models.build(name, parameters, in_shape=in_shape, n_classes=10)
    logits = model(torch.ones(4, *in_shape) * torch.arange(4.0).view(4, *[1] * len(in_shape)))
    assert logits.shape == (4, 10)
    logits.logsumexp(1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    if n_weights is not None:
        assert sum(p.numel() for p in model.parameters()) == n_weights


def test_resnet50_is_the_published_one() -> None:
    # torchvision's 25,557,032, less 1,000 classes (2,049,000), plus 10 (20,490), and a stem of 3x3
    # instead of 7x7 (1,728 instead of 9,408).
    expected = 25_557_032 - 2_049_000 + 20_490 + 1_728 - 9_408
    with torch.device("meta"):
        model = models.MODELS["resnet50"]((3, 32, 32), 10)
    assert sum(p.numel() for p in model.parameters()) == expected


def state(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    model = models.build(
        "cifar_resnet", {"depth": 8}, in_shape=(3, 32, 32), n_classes=10, generator=generator
    )
    return dict(model.state_dict())


@pytest.mark.parametrize("name", ["cnn", "compact", "cifar_resnet"])
def test_weights_and_gradients_are_contiguous(name: str) -> None:
    """Optimizers that flatten them with `.view(-1)`, as torch.optim.LBFGS does, work."""
    parameters: dict[str, dict[str, Any]] = {
        "cnn": {"width": 4},
        "compact": {},
        "cifar_resnet": {"depth": 8, "width": 4},
    }
    model = models.build(name, parameters[name], in_shape=(3, 32, 32), n_classes=10)
    inputs = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    model(inputs).sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.is_contiguous() and parameter.grad.is_contiguous()


def test_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = state(5), state(5), state(6)
    assert torch.get_rng_state().equal(before)
    assert all(first[name].equal(again[name]) for name in first)
    assert not first["conv.weight"].equal(other["conv.weight"])


def test_weights_are_uniform_with_the_fan_in_as_bound() -> None:
    found = state(0)
    weight = found["blocks.2.conv2.weight"]
    bound = 1 / math.sqrt(weight[0].numel())
    assert 0.99 * bound < weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert found["bn.weight"].equal(torch.ones(16))
    assert found["bn.running_var"].equal(torch.ones(16))


def test_what_cannot_be_built_is_said() -> None:
    def build(name: str, **parameters: Any) -> None:
        models.build(name, parameters, in_shape=(3, 32, 32), n_classes=10)

    with pytest.raises(UnknownName, match="resnet50"):
        build("resnet5")
    with pytest.raises(PluginError, match="widht"):
        build("mlp", widht=3, depth=1)
    with pytest.raises(PluginError, match=r"6 n \+ 2"):
        build("cifar_resnet", depth=18)
    with pytest.raises(PluginError, match="Bilinear"):
        models.initialise(torch.nn.Bilinear(3, 3, 3), torch.Generator())
