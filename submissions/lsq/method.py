"""LSQ: the step size of every quantizer is a parameter, trained with the weights."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from assay import LogUniform, Method
from assay.quantization import (
    Grid,
    Quantizer,
    quantize_layers,
    round_straight_through,
    scale_gradient,
)
from torch import Tensor, nn
from torch.optim import Optimizer

SMALLEST_STEP = 1e-6


class LsqQuantizer(Quantizer):
    """v_hat = s * round(clip(v / s, -Q_N, Q_P)) with a trained step size s (eqs. 1, 2).

    The gradient (eqs. 3, 5) follows from the straight-through rounding alone: d v_hat / d s is
    round(v/s) - v/s inside, -Q_N or Q_P outside; d v_hat / d v is 1 inside, 0 outside.
    """

    first_batch: Tensor

    def __init__(self, bits: int, *, weights: Tensor | None = None) -> None:
        super().__init__(bits)
        signed = weights is not None
        self.q_n = 2 ** (bits - 1) if signed else 0
        self.q_p = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        initial = torch.tensor(1.0) if weights is None else self.initial_step(weights)
        self.step = nn.Parameter(initial)
        self.register_buffer("first_batch", torch.tensor(weights is None))

    def initial_step(self, values: Tensor) -> Tensor:
        """2 <|v|> / sqrt(Q_P), section 2.1."""
        return 2 * values.detach().abs().mean() / math.sqrt(self.q_p)

    def grid(self, values: Tensor) -> Grid:
        """See Quantizer.grid; one step size per tensor."""
        step = self.step.abs().clamp_min(SMALLEST_STEP)
        return Grid(step, torch.full_like(step, float(self.q_n)))

    def forward(self, values: Tensor) -> Tensor:
        """v_hat, any shape."""
        n = values.numel()
        if self.q_n == 0:
            n //= len(values)  # features of one example, not of the batch
            if self.training and self.first_batch:
                with torch.no_grad():
                    self.step.copy_(self.initial_step(values))
                    self.first_batch.fill_(False)
        # Gradient scale g = 1 / sqrt(n Q_P), section 2.2.
        step = scale_gradient(self.grid(values).scale, 1 / math.sqrt(n * self.q_p))
        return round_straight_through((values / step).clamp(-self.q_n, self.q_p)) * step


class Lsq(Method):
    """Weights and activations through LSQ quantizers, one step size per tensor."""

    class Hyperparameters(Method.Hyperparameters):
        """The optimizer is the task's."""

        step_lr: Annotated[float, LogUniform(0.1, 1.0)] = 1.0
        """Learning rate of step sizes as a multiple of the weights'."""

    def transform_model(self, model: nn.Module) -> nn.Module:
        """Quantizers by the suite's rule."""
        return quantize_layers(
            model,
            self.plan.recipe,
            weight=lambda weights, bits: LsqQuantizer(bits, weights=weights),
            activation=LsqQuantizer,
        )

    def configure_optimizer(self, model: nn.Module) -> Optimizer:
        """The reference optimizer; no weight decay on step sizes."""
        steps = [m.step for m in model.modules() if isinstance(m, LsqQuantizer)]
        chosen = {id(step) for step in steps}
        weights = [p for p in model.parameters() if id(p) not in chosen]
        optimizer = self.plan.reference_optimizer(
            [{"params": weights}, {"params": steps, "weight_decay": 0.0}]
        )
        optimizer.param_groups[1]["lr"] *= self.hyperparameters.step_lr
        return optimizer
