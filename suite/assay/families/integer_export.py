"""The export of quantized networks: codes, scales and what stays in float, as they were trained.

What is exported is checked against what the network computes: codes are not cast before they are
known to fit, and every quantizer must give, in eval mode, the levels that its codes stand for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from assay.errors import BadWeights
from assay.quantization import FLOAT_BITS, Grid, QuantizedLayer, Quantizer

SAME_LEVEL = 0.05
"""Two values are the same level if they differ by less than this share of the scale."""


@torch.no_grad()
def export_layers(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a quantized model that are scored, on the CPU.

    Per quantized layer `<name>`: `weight_codes` (uint8, the weight's shape), `weight_scale` and
    `weight_zero` (float32, (out,)), `weight_bits` (uint8), `input_scale`, `input_zero` (float32),
    `input_bits` (uint8; 32: float), `bias` if it has one; then all other state of the model.

    Raises:
        BadWeights: bits, codes or grids are not what the contract allows, or a quantizer computes
            something else in eval mode; names every layer and what to do.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, QuantizedLayer)}
    inside = tuple(f"{name}." for name in layers)
    biases = {f"{name}.bias" for name in layers}
    tensors = {
        key: value
        for key, value in model.state_dict().items()
        if key in biases or not key.startswith(inside)
    }
    problems: list[str] = []
    for name, layer in layers.items():
        found, problem = _exported(layer)
        tensors |= {f"{name}.{key}": value for key, value in found.items()}
        problems += [f"{name}: {problem}"] * bool(problem)
    if problems:
        raise BadWeights("the network cannot be exported as it was trained: " + "; ".join(problems))
    return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}


def _exported(layer: QuantizedLayer) -> tuple[dict[str, Tensor], str]:
    """The tensors of a layer, and what is wrong with them ("" if nothing).

    Where a weight or a grid is not finite, so is an exported scale: the training has diverged.
    """
    weight, inputs = layer.weight_quantizer, layer.input_quantizer
    problem = _bits_problem("weight", weight.bits, 8)
    if inputs is not None:
        problem = problem or _bits_problem("input", inputs.bits, FLOAT_BITS)
    if problem:
        return {}, problem
    grid, codes = weight.grid(layer.weight), weight.codes(layer.weight)
    # The input grid of a quantizer does not depend on the values, so any tensor will do.
    at_input = inputs.grid(layer.weight) if inputs else Grid(torch.ones(()), torch.zeros(()))
    problem = (
        _grid_problem("weight", grid, (1, len(layer.weight)))
        or _grid_problem("input", at_input, (1,))
        or _codes_problem(codes, layer.weight, weight.highest)
    )
    if problem:
        return {}, problem
    finite = bool(codes.isfinite().all())
    scale = grid.scale if finite else torch.full_like(grid.scale, torch.nan)
    n_out = len(layer.weight)
    found = {
        "weight_codes": codes.nan_to_num(0.0, 0.0, 0.0).to(torch.uint8),
        "weight_scale": scale.float().reshape(-1).expand(n_out),
        "weight_zero": grid.zero.float().reshape(-1).expand(n_out),
        "weight_bits": torch.tensor(weight.bits, dtype=torch.uint8),
        "input_scale": at_input.scale.float().reshape(()),
        "input_zero": at_input.zero.float().reshape(()),
        "input_bits": torch.tensor(inputs.bits if inputs else FLOAT_BITS, dtype=torch.uint8),
    }
    if all(bool(value.isfinite().all()) for value in found.values()):
        problem = _weights_differ(layer, found) or _inputs_differ(layer, found)
    return found, problem


def _bits_problem(what: str, bits: Any, most: int) -> str:
    if type(bits) is int and (1 <= bits <= 8 or bits == most):
        return ""
    return f"{what} bits are {bits!r}, expected a whole number from 1 to 8"


def _grid_problem(what: str, grid: Grid, sizes: Sequence[int]) -> str:
    wanted = "one number" if len(sizes) == 1 else "one number, or one for each output channel"
    for name, values in (("scale", grid.scale), ("zero", grid.zero)):
        if values.numel() not in sizes:
            return f"the {what} grid's {name} has shape {tuple(values.shape)}, expected {wanted}"
    return ""


def _codes_problem(codes: Tensor, weight: Tensor, highest: int) -> str:
    """What is wrong with codes, before they are cast to bytes, which would wrap them."""
    if codes.shape != weight.shape:
        return f"codes have shape {tuple(codes.shape)}, the weights {tuple(weight.shape)}"
    if not bool(codes.isfinite().all()):
        return ""  # the training has diverged
    low, high = float(codes.min()), float(codes.max())
    if low < 0 or high > highest:
        return (
            f"weight codes reach from {low:g} to {high:g}, expected 0 to {highest}: count levels "
            "from the lowest, and make `zero` the code of the value 0"
        )
    if not torch.equal(codes, codes.round()):
        return "weight codes are not whole numbers: round them in `codes`"
    return ""


def _weights_differ(layer: QuantizedLayer, exported: Mapping[str, Tensor]) -> str:
    """Whether the weights that the layer uses are not those that its codes stand for."""
    rows = (-1,) + (1,) * (layer.weight.dim() - 1)
    scale, zero = exported["weight_scale"].view(rows), exported["weight_zero"].view(rows)
    meant = scale * (exported["weight_codes"].float() - zero)
    with _in_eval(layer.weight_quantizer) as quantizer:
        used = quantizer(layer.weight).detach().float()
    if _differ(used, meant, scale):
        return (
            "the weight quantizer's `forward` in eval mode gives other values than "
            "`scale * (codes - zero)`"
        )
    return ""


def _inputs_differ(layer: QuantizedLayer, exported: Mapping[str, Tensor]) -> str:
    """Whether the input quantizer does not round to the nearest level of its grid.

    It is asked at three places around every level and beyond both ends; a grid from 0 is for
    inputs that are not negative.
    """
    if layer.input_quantizer is None or int(exported["input_bits"]) == FLOAT_BITS:
        return ""
    scale, zero = exported["input_scale"], exported["input_zero"]
    highest = 2 ** int(exported["input_bits"]) - 1
    steps = torch.arange(-2, highest + 3, device=scale.device)[:, None] - zero
    places = (steps + steps.new_tensor([-0.3, 0.0, 0.3])).flatten()
    if float(zero) == 0:
        places = places[places >= 0]
    n_in = layer.weight.shape[1]
    places = torch.cat([places, places[-1:].expand(-len(places) % n_in)])
    inputs = (scale * places).view((-1, n_in) + (1,) * (layer.weight.dim() - 2))
    meant = scale * (inputs / scale).round().clamp(-zero, highest - zero)
    with _in_eval(layer.input_quantizer) as quantizer:
        used = quantizer(inputs).detach().float()
    if _differ(used, meant, scale):
        return (
            "the input quantizer's `forward` in eval mode gives other values than the nearest "
            "levels of its grid"
        )
    return ""


def _differ(used: Tensor, meant: Tensor, scale: Tensor) -> bool:
    """Whether more values differ than ties of rounding explain: one in a thousand, or one."""
    if used.shape != meant.shape:
        return True
    same = (used - meant).abs() <= SAME_LEVEL * scale
    return int((~same).sum()) > max(1, same.numel() // 1000)


@contextmanager
def _in_eval(quantizer: Quantizer) -> Iterator[Quantizer]:
    """The quantizer in eval mode, for a while."""
    before = [(module, module.training) for module in quantizer.modules()]
    quantizer.eval()
    try:
        yield quantizer
    finally:
        for module, training in before:
            module.training = training
