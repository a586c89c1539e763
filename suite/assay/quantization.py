"""Quantizers for training, and layers that use them.

A quantizer maps real numbers to levels `scale * (code - zero)` with `code` in 0..2^bits - 1. In
training it returns these levels as floats, with the gradient that its paper defines; scored are the
codes. `quantize_layers` puts quantizers into a network by the suite's rule;
`families.integer_export` turns the trained network into integer codes, scales and what stays in
float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

END_BITS = 8
"""Bits of weights and inputs of the first and the last layer, whatever the task's bits are."""
FLOAT_BITS = 32
"""Activation bits that mean "not quantized"; also the bits of a number kept in float."""
RANGE_MOMENTUM = 0.1
"""Weight of the newest batch in the running range of activations."""
SMALLEST_SCALE = 1e-8
"""Lower bound of scales, for channels of zeros."""

Kernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, replaced: Tensor) -> Tensor:
        return replaced.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def straight_through(values: Tensor, replaced: Tensor) -> Tensor:
    """`replaced` forward, bit for bit; its gradient goes to `values` unchanged (same shape).

    Source: Bengio, Leonard & Courville 2013, arXiv 1308.3432, the straight-through estimator.
    """
    result: Tensor = _StraightThrough.apply(values, replaced)  # type: ignore[no-untyped-call]
    return result


def round_straight_through(values: Tensor) -> Tensor:
    """Nearest whole number (ties to even), with the gradient of the identity."""
    result: Tensor = _Round.apply(values)  # type: ignore[no-untyped-call]
    return result


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """`values`, bit for bit, with a gradient multiplied by `factor`."""
    result: Tensor = _ScaleGradient.apply(values, factor)  # type: ignore[no-untyped-call]
    return result


@dataclass(frozen=True)
class Grid:
    """The levels of a quantizer: `scale * (code - zero)`."""

    scale: Tensor
    """Positive; () for one grid per tensor, (out, 1, ...) for one per output channel."""
    zero: Tensor
    """The code of the value 0: whole for activations, a multiple of 1/2 for weights (an even
    number of symmetric levels has no level at 0). Same shape rules as `scale`."""


class Quantizer(nn.Module):
    """Base class. Subclasses define `grid` and `forward`, and `codes` unless values are rounded
    to the nearest level.

    In eval mode `forward(x)` must equal `scale * (codes(x) - zero)` up to one rounding of floats,
    for every x of the right shape, without randomness.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    @property
    def highest(self) -> int:
        """The highest code, 2^bits - 1."""
        return int(2**self.bits - 1)

    def grid(self, values: Tensor) -> Grid:
        """The grid for `values`; that of activations must not depend on them."""
        raise NotImplementedError

    def codes(self, values: Tensor) -> Tensor:
        """Codes 0..2^bits-1 of `values`, as whole floats of the same shape. Default: nearest."""
        grid = self.grid(values)
        return nearest_codes(values, grid, self.highest)


def nearest_codes(values: Tensor, grid: Grid, highest: int) -> Tensor:
    """Code of the level nearest to each value, for a whole `grid.zero`; ties to even multiples."""
    steps = (values / grid.scale).round()
    return steps.clamp(-grid.zero, highest - grid.zero) + grid.zero


class NearestWeights(Quantizer):
    """Symmetric levels per output channel, the straight-through gradient; the suite's default.

    b >= 2 bits: scale = max|w| / (2^(b-1) - 1) (Krishnamoorthi 2018, arXiv 1806.08342, section
    2.2); at 2 bits that leaves three levels in use. One bit: +-mean|w|, the two levels nearest to
    the channel in the least-squares sense (Rastegari et al. 2016, arXiv 1603.05279, eq. 6).
    """

    def grid(self, values: Tensor) -> Grid:
        """See Quantizer.grid; shapes (out, 1, ...)."""
        weights = values.detach().abs().flatten(1)
        shape = (-1,) + (1,) * (values.dim() - 1)
        if self.bits == 1:
            scale = 2 * weights.mean(1)
            zero = torch.full_like(scale, 0.5)
        else:
            scale = weights.amax(1) / (2 ** (self.bits - 1) - 1)
            zero = torch.full_like(scale, 2.0 ** (self.bits - 1))
        return Grid(scale.clamp_min(SMALLEST_SCALE).view(shape), zero.view(shape))

    def codes(self, values: Tensor) -> Tensor:
        """See Quantizer.codes; one bit is the sign, with sign(0) = +1."""
        return (values >= 0).to(values.dtype) if self.bits == 1 else super().codes(values)

    def forward(self, values: Tensor) -> Tensor:
        """Quantized weights (out, ...)."""
        grid = self.grid(values)
        return straight_through(values, grid.scale * (self.codes(values) - grid.zero))


class RunningRange(Quantizer):
    """Activations on a grid up to a running maximum, rounded to nearest; the suite's default.

    The maximum of |x| is tracked in training mode (Jacob et al. 2018, arXiv 1712.05877, section 3);
    values beyond it are clipped and get no gradient, the others the straight-through one.
    """

    maximum: Tensor

    def __init__(self, bits: int, *, signed: bool = False) -> None:
        super().__init__(bits)
        self.signed = signed
        self.register_buffer("maximum", torch.tensor(0.0))

    def grid(self, values: Tensor) -> Grid:
        """See Quantizer.grid; shapes ()."""
        zero = 2.0 ** (self.bits - 1) if self.signed else 0.0
        scale = (self.maximum / (self.highest - zero)).clamp_min(SMALLEST_SCALE)
        return Grid(scale, torch.full_like(scale, zero))

    def forward(self, values: Tensor) -> Tensor:
        """Quantized activations, any shape."""
        if self.training:
            largest = values.detach().abs().amax()
            # The first batch sets the range: from zero, the first batches would all be clipped.
            weight = torch.where(self.maximum == 0, 1.0, RANGE_MOMENTUM)
            self.maximum.lerp_(largest, weight)
        grid = self.grid(values)
        low, high = -grid.scale * grid.zero, grid.scale * (self.highest - grid.zero)
        quantized = grid.scale * (self.codes(values) - grid.zero)
        return straight_through(values.clamp(low, high), quantized)


class QuantizedLayer(nn.Module):
    """A convolution or linear layer whose weights and inputs pass through quantizers.

    Its `weight` and `bias` are those of `layer` under the same names; `input_quantizer` is None
    where activations stay in float. `weight_quantizer` may be replaced, for example by one with
    other bits.
    """

    def __init__(
        self,
        layer: nn.Conv2d | nn.Linear,
        weight_quantizer: Quantizer,
        input_quantizer: Quantizer | None,
    ) -> None:
        super().__init__()
        self.weight = layer.weight
        self.bias = layer.bias
        self.kernel = kernel_of(layer)
        self.weight_quantizer = weight_quantizer
        self.input_quantizer = input_quantizer

    def forward(self, inputs: Tensor) -> Tensor:
        """As the wrapped layer: (n, in, ...) to (n, out, ...)."""
        if self.input_quantizer is not None:
            inputs = self.input_quantizer(inputs)
        return self.kernel(inputs, self.weight_quantizer(self.weight), self.bias)


def kernel_of(layer: nn.Conv2d | nn.Linear) -> Kernel:
    """The layer as a function of inputs, weight and bias."""
    if isinstance(layer, nn.Linear):
        return functional.linear
    if layer.padding_mode != "zeros":
        raise ValueError(f"padding_mode is {layer.padding_mode!r}, only 'zeros' is supported")
    return partial(
        functional.conv2d,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )


@dataclass(frozen=True)
class LayerBits:
    """Bits of one layer under the suite's rule."""

    weight: int
    input: int


def layer_bits(model: nn.Module, recipe: Mapping[str, Any]) -> dict[str, LayerBits]:
    """Bits of every convolution and linear layer of a float model, by name, first to last.

    The first and the last layer (in the order of `model.named_modules()`) have 8 bits, the others
    `recipe["weight_bits"]` and `recipe["activation_bits"]`; 32 activation bits mean float
    everywhere. Sums, normalisation, pooling and biases are exempt.
    """
    kinds = (nn.Conv2d, nn.Linear)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    weight, inputs = int(recipe["weight_bits"]), int(recipe["activation_bits"])
    end = LayerBits(END_BITS, FLOAT_BITS if inputs == FLOAT_BITS else END_BITS)
    inner = LayerBits(weight, inputs)
    return {name: end if name in (names[0], names[-1]) else inner for name in names}


def quantize_layers(
    model: nn.Module,
    recipe: Mapping[str, Any],
    *,
    weight: Callable[[Tensor, int], Quantizer] = lambda values, bits: NearestWeights(bits),
    activation: Callable[[int], Quantizer] = RunningRange,
) -> nn.Module:
    """A copy of a float model with every layer quantized by the rule of `layer_bits`.

    Args:
        model: the float network, weights set; left as it is.
        recipe: the task's `weight_bits` and `activation_bits` (`plan.recipe`).
        weight: makes the quantizer of one inner layer from its weight tensor and its bits.
        activation: makes the quantizer of one inner layer's input from its bits; these inputs
            follow a ReLU, so they are not negative.

    The first and the last layer always get the suite's default quantizers: with 8 bits, others are
    no better, and the papers leave these layers in float or do the same.
    """
    result = deepcopy(model)
    rule = layer_bits(result, recipe)
    first, last = next(iter(rule)), next(reversed(rule))
    for name, bits in rule.items():
        layer = result.get_submodule(name)
        assert isinstance(layer, (nn.Conv2d, nn.Linear))
        inputs: Quantizer | None
        if name in (first, last):
            weights: Quantizer = NearestWeights(bits.weight)
            inputs = RunningRange(bits.input, signed=name == first)
        else:
            weights, inputs = weight(layer.weight.detach(), bits.weight), None
            if bits.input != FLOAT_BITS:
                inputs = activation(bits.input)
        if bits.input == FLOAT_BITS:
            inputs = None
        result.set_submodule(name, QuantizedLayer(layer, weights, inputs))
    return result.train(model.training)
