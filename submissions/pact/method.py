"""PACT: activations clipped at a trained level alpha; weights as in DoReFa-Net."""

from __future__ import annotations

from typing import Annotated

import torch
from assay import LogUniform, Method
from assay.quantization import (
    Grid,
    Quantizer,
    quantize_layers,
    round_straight_through,
    straight_through,
)
from torch import Tensor, nn
from torch.optim import Optimizer

SMALLEST_CLIP = 1e-3


class PactActivations(Quantizer):
    """y = clip(x, 0, alpha) (eq. 1), y_q = round(y (2^k - 1) / alpha) alpha / (2^k - 1) (eq. 2).

    d y_q / d alpha is 0 for x < alpha and 1 for x >= alpha (eq. 3): the rounding is straight
    through for y as a whole, so alpha learns from the clipped values alone.
    """

    def __init__(self, bits: int, alpha: float) -> None:
        super().__init__(bits)
        self.alpha = nn.Parameter(torch.tensor(alpha))

    def grid(self, values: Tensor) -> Grid:
        """See Quantizer.grid; one grid per tensor."""
        scale = self.alpha.detach().clamp_min(SMALLEST_CLIP) / self.highest
        return Grid(scale, torch.zeros_like(scale))

    def forward(self, values: Tensor) -> Tensor:
        """y_q, any shape."""
        alpha = self.alpha.clamp_min(SMALLEST_CLIP)
        clipped = torch.where(values >= alpha, alpha, values.clamp_min(0))
        return straight_through(clipped, self.grid(values).scale * self.codes(values))


class DorefaWeights(Quantizer):
    """2 quantize_k(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1; one bit: sign(w) E(|w|).

    Source: Zhou et al. 2016, arXiv 1606.06160; the weights of PACT's experiments.
    """

    def unit(self, values: Tensor) -> Tensor:
        """The weights squashed to [0, 1]."""
        squashed = values.tanh()
        return squashed / (2 * squashed.abs().max()) + 0.5

    def grid(self, values: Tensor) -> Grid:
        """See Quantizer.grid; one grid per tensor, fixed unless one bit."""
        if self.bits == 1:
            scale = 2 * values.detach().abs().mean()
        else:
            scale = values.new_tensor(2 / self.highest)
        return Grid(scale, torch.full_like(scale, self.highest / 2))

    def codes(self, values: Tensor) -> Tensor:
        """See Quantizer.codes."""
        if self.bits == 1:
            return (values >= 0).to(values.dtype)
        return (self.unit(values) * self.highest).round()

    def forward(self, values: Tensor) -> Tensor:
        """Quantized weights, any shape."""
        grid = self.grid(values)
        if self.bits == 1:
            return straight_through(values, grid.scale * (self.codes(values) - grid.zero))
        codes = round_straight_through(self.unit(values) * self.highest)
        return grid.scale * (codes - grid.zero)


class Pact(Method):
    """Trained clipping of activations with an L2 penalty on the clipping levels."""

    class Hyperparameters(Method.Hyperparameters):
        """The optimizer is the task's."""

        alpha: Annotated[float, LogUniform(2.0, 10.0)] = 10.0
        """Initial clipping level."""
        alpha_decay: Annotated[float, LogUniform(1e-5, 1e-3)] = 2e-4
        """L2 penalty on the clipping levels, as a weight decay (section 3)."""

    def transform_model(self, model: nn.Module) -> nn.Module:
        """Quantizers by the suite's rule."""
        return quantize_layers(
            model,
            self.plan.recipe,
            weight=lambda weights, bits: DorefaWeights(bits),
            activation=lambda bits: PactActivations(bits, self.hyperparameters.alpha),
        )

    def configure_optimizer(self, model: nn.Module) -> Optimizer:
        """The reference optimizer; clipping levels have their own decay."""
        levels = [m.alpha for m in model.modules() if isinstance(m, PactActivations)]
        chosen = {id(level) for level in levels}
        weights = [p for p in model.parameters() if id(p) not in chosen]
        return self.plan.reference_optimizer(
            [
                {"params": weights},
                {"params": levels, "weight_decay": self.hyperparameters.alpha_decay},
            ]
        )
