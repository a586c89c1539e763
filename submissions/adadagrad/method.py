"""AdAdaGrad: AdaGrad whose batch grows by the norm test (Lau, Liu and Kolar, 2024, Algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method, Step, TrainingSet
from torch import Tensor, nn, optim
from torch.nn.utils import get_total_norm

PARTS = 4
"""The first batch, of the task's size, is passed in so many parts."""


class AdAdaGrad(Method):
    """b <- max(b, ceil(Var / (eta^2 |g|^2))): the norm test; the step is AdaGrad's.

    Var is the summed variance of single examples' gradients. The paper takes it from per-example
    gradients; here a batch is passed in k parts of m examples with gradients g_j and mean g, and
    Var = m sum_j |g_j - g|^2 / (k - 1), which has the same mean and needs no more passes.
    """

    # lr, eps and weight decay as for AdaGrad.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(1e-3, 0.3)] = 1e-2
        eta: Annotated[float, LogUniform(0.1, 4.0)] = 0.5
        eps: float = 1e-10
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0
        largest: float = 0.25
        """The largest batch, as a share of the training set."""

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.n_parts = PARTS
        self.total: list[Tensor] = []
        """Sum of the gradients of the parts passed so far, per parameter."""
        self.sizes: list[Tensor] = []
        """|gradient|^2 of each of them."""

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """AdaGrad."""
        h = self.hyperparameters
        return optim.Adagrad(
            model.parameters(), lr=h.lr, eps=h.eps, weight_decay=h.weight_decay, fused=True
        )

    @property
    def part_size(self) -> int:
        """Examples in a part, m."""
        return max(1, self.plan.batch_size // PARTS)

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        """Shuffled epochs, part by part."""
        while True:
            yield from dataset.shuffled(self.plan.order_generator, self.part_size)

    def training_step(self, step: Step) -> None:
        """A pass over a part; after the last one a step and the norm test."""
        step.zero_grad()
        step.backward(step.loss())
        gradients = [p.grad for p in step.model.parameters() if p.grad is not None]
        self.sizes.append(get_total_norm(gradients) ** 2)
        if len(self.sizes) == 1:
            self.total = torch._foreach_clone(gradients)
        else:
            torch._foreach_add_(self.total, gradients)
        if len(self.sizes) < self.n_parts:
            return
        torch._foreach_div_(self.total, len(self.sizes))
        torch._foreach_copy_(gradients, self.total)
        self.test(float(torch.stack(self.sizes).mean()), float(get_total_norm(gradients) ** 2))
        self.sizes = []
        step.optimizer_step()

    def test(self, mean_size: float, size: float) -> None:
        """Enlarge the batch if the mean gradient, of squared norm `size`, is mostly noise."""
        h, m, k = self.hyperparameters, self.part_size, self.n_parts
        variance = m * k / (k - 1) * (mean_size - size)
        most = max(k, math.floor(h.largest * self.plan.n_examples / m))
        enough = variance / (h.eta**2 * max(size, 1e-30)) / m
        self.n_parts = max(k, math.ceil(min(enough, float(most))))
