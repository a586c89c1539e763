"""Networks that are quantized, exported as whole numbers, checked and rebuilt of these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from assay.errors import BadWeights
from assay.families.integer_export import export_layers
from assay.families.quantization import IntegerLayer, check_export, cost, rebuild
from assay.quantization import (
    FLOAT_BITS,
    Grid,
    LayerBits,
    NearestWeights,
    QuantizedLayer,
    Quantizer,
    RunningRange,
    layer_bits,
    quantize_layers,
)
from torch import Tensor, nn


class Deep(nn.Module):
    """Three convolutions, strided and grouped, and a linear layer with bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.late = nn.Conv2d(6, 5, 1)
        self.head = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.stem(inputs).relu()
        hidden = self.late(self.norm(self.middle(hidden)).relu()).relu()
        return self.head(hidden.mean((2, 3)))


def deep() -> nn.Module:
    model = Deep()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def images(n: int = 16) -> Tensor:
    return torch.randn((n, 1, 8, 8), generator=torch.Generator().manual_seed(5))


@pytest.fixture(params=[(8, 8), (4, 4), (2, 2), (1, 32), (3, 5)], ids=str)
def quantized(request: pytest.FixtureRequest) -> Iterator[nn.Module]:
    weight_bits, activation_bits = request.param
    recipe = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    model = quantize_layers(deep().train(), recipe)
    model(images())
    yield model.eval()


def test_rule_gives_ends_eight_bits() -> None:
    rule = layer_bits(deep(), {"weight_bits": 2, "activation_bits": 3})
    inner = LayerBits(2, 3)
    assert rule == {
        "stem": LayerBits(8, 8),
        "middle": inner,
        "late": inner,
        "head": LayerBits(8, 8),
    }
    binary = layer_bits(deep(), {"weight_bits": 1, "activation_bits": FLOAT_BITS})
    assert binary["stem"] == LayerBits(8, FLOAT_BITS)
    assert binary["middle"] == LayerBits(1, FLOAT_BITS)


def test_quantizing_leaves_the_model_alone() -> None:
    model = deep()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    quantized = quantize_layers(model, {"weight_bits": 2, "activation_bits": 2})
    quantized.train()(images()).sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(isinstance(module, QuantizedLayer) for module in model.modules())


def test_rebuilt_network_computes_what_the_codes_say(quantized: nn.Module) -> None:
    state = export_layers(quantized)
    rebuilt = rebuild(Deep(), state)
    # Independently: dequantize everything into a float64 network.
    plain = Deep().double().eval()
    floats = {k: v.double() for k, v in state.items() if k in plain.state_dict()}
    plain.load_state_dict(floats, strict=False)
    for name in layer_bits(plain, {"weight_bits": 1, "activation_bits": 1}):
        layer = plain.get_submodule(name)
        rows = (-1,) + (1,) * (layer.weight.dim() - 1)
        codes = state[f"{name}.weight_codes"].double()
        scale = state[f"{name}.weight_scale"].double().view(rows)
        zero = state[f"{name}.weight_zero"].double().view(rows)
        layer.weight.data = scale * (codes - zero)
        if int(state[f"{name}.input_bits"]) != FLOAT_BITS:
            layer.register_forward_pre_hook(dequantizing(name, state))
    with torch.no_grad():
        expected, given = plain(images().double()), rebuilt(images())
    assert torch.allclose(given.double(), expected, rtol=1e-4, atol=1e-4)


def dequantizing(name: str, state: dict[str, Tensor]):
    bits = int(state[f"{name}.input_bits"])
    scale, zero = state[f"{name}.input_scale"].double(), state[f"{name}.input_zero"].double()

    def hook(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        # Rounded in float32, as the contract says: a tie must fall to the same side.
        steps = (inputs[0].float() / scale.float()).round().double()
        codes = (steps + zero).clamp(0, 2**bits - 1)
        return (scale * (codes - zero),)

    return hook


def test_rebuilt_network_agrees_with_the_trained_one(quantized: nn.Module) -> None:
    rebuilt = rebuild(Deep(), export_layers(quantized))
    with torch.no_grad():
        expected, given = quantized(images(200)), rebuilt(images(200))
    assert (expected.argmax(1) == given.argmax(1)).float().mean() >= 0.99
    assert (expected - given).abs().median() < 1e-5


def test_sums_of_codes_are_exact_in_the_carrier(quantized: nn.Module) -> None:
    rebuilt = rebuild(Deep(), export_layers(quantized))
    for layer in rebuilt.modules():
        if isinstance(layer, IntegerLayer) and layer.input_bits != FLOAT_BITS:
            shape = (4, layer.steps.shape[1]) if layer.steps.dim() == 2 else (4, 1, 8, 8)
            if layer.steps.dim() == 4:
                shape = (4, {4: 1, 6: 4, 5: 6}[len(layer.steps)], 8, 8)
            codes = torch.randint(
                layer.highest + 1, shape, generator=torch.Generator().manual_seed(2)
            )
            steps = codes.float() - layer.input_zero
            in_float32 = layer.kernel(steps, layer.steps, None)
            in_float64 = layer.kernel(steps.double(), layer.steps.double(), None)
            assert layer.carrier is torch.float32
            assert torch.equal(in_float32.double(), in_float64)
            assert torch.equal((2 * in_float64).round(), 2 * in_float64)


def test_large_layers_are_summed_in_float64() -> None:
    model = nn.Sequential(nn.Linear(4000, 2))
    model[0].weight.data.fill_(1.0)
    state = export_layers(quantize_layers(model, {"weight_bits": 8, "activation_bits": 8}).train())
    assert rebuild(nn.Sequential(nn.Linear(4000, 2)), state)[0].carrier is torch.float64


def test_rebuilt_network_treats_every_example_alone(quantized: nn.Module) -> None:
    rebuilt = rebuild(Deep(), export_layers(quantized))
    with torch.no_grad():
        together = rebuilt(images())
        alone = torch.cat([rebuilt(image[None]) for image in images()])
    assert torch.allclose(together, alone, atol=1e-6)


def test_latent_weights_do_not_matter(quantized: nn.Module) -> None:
    state = export_layers(quantized)
    for layer in quantized.modules():
        if isinstance(layer, QuantizedLayer):
            with torch.no_grad():
                layer.weight.copy_(layer.weight_quantizer(layer.weight))
    again = export_layers(quantized)
    assert all(torch.equal(again[key], value) for key, value in state.items() if "codes" in key)


def small_export() -> dict[str, Tensor]:
    model = quantize_layers(deep(), {"weight_bits": 4, "activation_bits": 4}).train()
    model(images())
    return export_layers(model)


RULE = layer_bits(deep(), {"weight_bits": 4, "activation_bits": 4})


def test_own_export_passes_the_check() -> None:
    check_export(small_export(), RULE)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("middle.weight_bits", 3, "does not fit into 3 bits"),
        ("middle.weight_bits", 5, "the task allows"),
        ("middle.weight_bits", 9, "expected 1 to 8"),
        ("middle.input_bits", 5, "expected 1 to 4"),
        ("middle.input_bits", 32, "expected 1 to 4"),
        ("late.weight_scale", 0.0, "expected more than 0"),
        ("late.input_scale", -1.0, "expected more than 0"),
        ("late.weight_zero", 0.3, "multiples of 1/2"),
        ("late.input_zero", 0.5, "expected 0, 1"),
        ("late.input_zero", -3.0, "expected 0, 1"),
    ],
)
def test_broken_exports_are_refused(key: str, value: float, message: str) -> None:
    state = small_export()
    state[key] = torch.full_like(state[key], value)
    with pytest.raises(BadWeights, match=message):
        check_export(state, RULE)


def test_all_problems_are_named_at_once() -> None:
    state = small_export()
    state["late.weight_scale"].fill_(0)
    state["middle.input_bits"].fill_(8)
    with pytest.raises(BadWeights, match=r"middle: 8 bits per input.*late: a scale is 0"):
        check_export(state, RULE)


def test_mixed_precision_within_the_total_is_legal() -> None:
    state = small_export()
    # 108 weights in `middle`, 30 in `late`: 3 bits there pay for 7 here.
    state["middle.weight_bits"].fill_(3)
    state["middle.weight_codes"].clamp_(max=7)
    state["late.weight_bits"].fill_(7)
    check_export(state, RULE)
    assert state["middle.weight_codes"].numel() == 108
    state["late.weight_bits"].fill_(8)
    state["middle.weight_bits"].fill_(4)
    with pytest.raises(BadWeights, match="weights take"):
        check_export(state, RULE)


def test_cost_of_a_network_by_hand() -> None:
    given = cost(rebuild(Deep(), small_export()), images(1))
    weights = {"stem": (36, 8), "middle": (108, 4), "late": (30, 4), "head": (15, 8)}
    codes = sum(n * bits for n, bits in weights.values())
    norm, biases = 4 * 6, 4 + 5 + 3
    grids = 2 * (4 + 6 + 5 + 3) + 2 * 4
    work = 64 * 36 * 64 + 16 * 108 * 16 + 16 * 30 * 16 + 15 * 64
    assert given["total_bits"] == codes + 32 * (norm + biases + grids)
    assert given["average_weight_bits"] == pytest.approx(codes / 189)
    assert given["bit_operations"] == work


class Signed(Quantizer):
    """Codes -top..top around zero 0, as many papers number them."""

    def grid(self, values: Tensor) -> Grid:
        scale = values.detach().abs().amax().clamp_min(1e-8) / (self.highest // 2)
        return Grid(scale, torch.zeros_like(scale))

    def codes(self, values: Tensor) -> Tensor:
        return (values / self.grid(values).scale).round()

    def forward(self, values: Tensor) -> Tensor:
        return self.grid(values).scale * self.codes(values)


class Fractional(NearestWeights):
    def codes(self, values: Tensor) -> Tensor:
        return super().codes(values) * 0.999


class Shifted(NearestWeights):
    """Uses other weights than it exports."""

    def forward(self, values: Tensor) -> Tensor:
        return super().forward(values) + self.grid(values).scale


class PerInput(NearestWeights):
    def grid(self, values: Tensor) -> Grid:
        scale = values.detach().abs().flatten(2).amax((0, 2))[None, :, None, None]
        return Grid(scale, torch.zeros_like(scale))


class Floor(RunningRange):
    """Rounds down, where the rebuilt network rounds to the nearest."""

    def codes(self, values: Tensor) -> Tensor:
        return (values / self.grid(values).scale).floor().clamp(0, self.highest)


def other_bits(bits: object) -> NearestWeights:
    quantizer = NearestWeights(2)
    quantizer.bits = bits  # type: ignore[assignment]
    return quantizer


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": lambda w, bits: Signed(bits)}, r"middle: weight codes reach from -\d+"),
        ({"weight": lambda w, bits: Fractional(bits)}, "weight codes are not whole numbers"),
        ({"weight": lambda w, bits: Shifted(bits)}, "the weight quantizer's `forward` in eval"),
        ({"activation": Floor}, "late: the input quantizer's `forward` in eval mode"),
    ],
)
def test_what_is_exported_must_be_what_was_trained(
    bits: int, options: dict[str, Any], message: str
) -> None:
    recipe = {"weight_bits": bits, "activation_bits": bits}
    model = quantize_layers(deep(), recipe, **options).train()
    model(images())
    with pytest.raises(BadWeights, match=message):
        export_layers(model)


@pytest.mark.parametrize(
    ("quantizer", "message"),
    [
        (other_bits(0), "weight bits are 0, expected a whole number from 1 to 8"),
        (other_bits(300), "weight bits are 300"),
        (other_bits(2.0), r"weight bits are 2\.0"),
        (PerInput(2), r"scale has shape \(1, 2, 1, 1\), expected one number, or one for each out"),
    ],
)
def test_bits_and_grids_of_other_kinds_are_named(quantizer: Quantizer, message: str) -> None:
    recipe = {"weight_bits": 2, "activation_bits": 32}
    model = quantize_layers(deep(), recipe)
    model.middle.weight_quantizer = quantizer  # type: ignore[union-attr]
    with pytest.raises(BadWeights, match=message):
        export_layers(model)


def test_an_export_leaves_modes_alone_and_shows_what_has_diverged() -> None:
    model = quantize_layers(deep().train(), {"weight_bits": 2, "activation_bits": 2})
    model(images())
    maximum = model.late.input_quantizer.maximum.clone()  # type: ignore[union-attr]
    export_layers(model)
    assert all(module.training for module in model.modules())
    assert torch.equal(model.late.input_quantizer.maximum, maximum)  # type: ignore[union-attr]
    with torch.no_grad():
        model.late.weight[0, 0] = float("nan")  # type: ignore[union-attr,index,operator]
    assert export_layers(model)["late.weight_scale"].isnan().any()
