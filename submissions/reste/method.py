"""ReSTE: binary weights whose gradient is that of a power function approaching the sign."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from assay import Method, Uniform
from assay.quantization import Grid, Quantizer, quantize_layers
from torch import Tensor, nn


class RectifiedSign(torch.autograd.Function):
    """sign(x) forward; backward the derivative of sign(x) |x|^(1/o), rectified.

    (1/o) |x|^((1-o)/o) for m < |x| <= t; the secant slope m^(1/o) / m for |x| <= m, where the
    derivative has no bound; 0 for |x| > t.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, o: Tensor, m: float, t: float) -> Tensor:
        """Values -1 and +1; sign(0) is +1, a third value would not be binary."""
        ctx.save_for_backward(x, o)
        ctx.m, ctx.t = m, t
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient for x, of its shape."""
        x, o = ctx.saved_tensors
        size = x.abs()
        # Below m the power is replaced, so keep it finite there.
        slope = size.clamp_min(ctx.m) ** ((1 - o) / o) / o
        slope = torch.where(size <= ctx.m, ctx.m ** (1 / o) / ctx.m, slope)
        return gradients[0] * slope * (size <= ctx.t), None, None, None


class ResteWeights(Quantizer):
    """sign(w) times mean|w| over the whole tensor; the scale is a constant for the gradient."""

    o: Tensor

    def __init__(self, bits: int, *, m: float, t: float) -> None:
        if bits != 1:
            raise ValueError(f"ReSTE is defined for 1-bit weights, but the task asks for {bits}")
        super().__init__(bits)
        self.m, self.t = m, t
        self.register_buffer("o", torch.tensor(1.0))

    def grid(self, values: Tensor) -> Grid:
        """See Quantizer.grid; one scale per tensor."""
        scale = 2 * values.detach().abs().mean()
        return Grid(scale, torch.full_like(scale, 0.5))

    def codes(self, values: Tensor) -> Tensor:
        """See Quantizer.codes."""
        return (values >= 0).to(values.dtype)

    def forward(self, values: Tensor) -> Tensor:
        """Binary weights, any shape."""
        binary: Tensor = RectifiedSign.apply(values, self.o, self.m, self.t)  # type: ignore[no-untyped-call]
        return self.grid(values).scale / 2 * binary


class Reste(Method):
    """Rectified straight-through estimator for binary weights; activations as the task has them."""

    class Hyperparameters(Method.Hyperparameters):
        """The optimizer is the task's."""

        o_end: Annotated[float, Uniform(1.0, 5.0)] = 3.0
        """Final power o: 1 is the plain straight-through estimator, infinity the sign itself."""
        t: Annotated[float, Uniform(1.0, 2.0)] = 1.5
        """Weights beyond it get no gradient."""
        m: float = 0.1
        """Weights below it get the secant's slope."""

    def transform_model(self, model: nn.Module) -> nn.Module:
        """Binary weights by the suite's rule."""
        values = self.hyperparameters
        return quantize_layers(
            model,
            self.plan.recipe,
            weight=lambda weights, bits: ResteWeights(bits, m=values.m, t=values.t),
        )

    def on_epoch_end(self, model: nn.Module) -> None:
        """After e of E epochs: o = 1 + (1 - cos(pi/2 e/E)) (o_end - 1)."""
        growth = 1 - math.cos(math.pi / 2 * self.plan.epoch / self.plan.total_epochs)
        for module in model.modules():
            if isinstance(module, ResteWeights):
                module.o.fill_(1 + growth * (self.hyperparameters.o_end - 1))
