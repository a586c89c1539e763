"""DoReFa-Net: weights squashed by tanh to [-1, 1], activations clipped to [0, 1], fixed grids."""

from __future__ import annotations

import torch
from assay import Method
from assay.quantization import (
    Grid,
    Quantizer,
    quantize_layers,
    round_straight_through,
    straight_through,
)
from torch import Tensor, nn


class DorefaWeights(Quantizer):
    """r_o = 2 quantize_k(tanh(r_i) / (2 max|tanh(r_i)|) + 1/2) - 1.

    One bit: r_o = sign(r_i) E(|r_i|) with the gradient of the identity.
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
        """r_o, any shape."""
        grid = self.grid(values)
        if self.bits == 1:
            return straight_through(values, grid.scale * (self.codes(values) - grid.zero))
        codes = round_straight_through(self.unit(values) * self.highest)
        return grid.scale * (codes - grid.zero)


class DorefaActivations(Quantizer):
    """quantize_k(clip(x, 0, 1)) = round((2^k - 1) x) / (2^k - 1)."""

    def grid(self, values: Tensor) -> Grid:
        """See Quantizer.grid; one fixed grid."""
        scale = values.new_tensor(1 / self.highest)
        return Grid(scale, torch.zeros_like(scale))

    def forward(self, values: Tensor) -> Tensor:
        """Activations in [0, 1], any shape."""
        scale = self.grid(values).scale
        return round_straight_through(values.clamp(0, 1) / scale) * scale


class Dorefa(Method):
    """Weights and activations of DoReFa-Net; gradients stay in float."""

    def transform_model(self, model: nn.Module) -> nn.Module:
        """Quantizers by the suite's rule."""
        return quantize_layers(
            model,
            self.plan.recipe,
            weight=lambda weights, bits: DorefaWeights(bits),
            activation=DorefaActivations,
        )
