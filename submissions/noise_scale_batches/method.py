"""Batches that follow the gradient noise scale (McCandlish et al., 2018, appendices A.1 and D)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method, Step, TrainingSet
from torch import Tensor
from torch.nn.utils import get_total_norm

PARTS = 4
"""A batch of the task's size is passed in so many parts; every later batch in at least two."""


class NoiseScaleBatches(Method):
    """B = sqrt(r B_simple), B_simple = S / |G|^2, with |G|^2 and S estimated from two batch sizes.

    A batch is passed in parts of b examples whose gradients are averaged. With n_b the mean
    |gradient|^2 of the parts and n_B that of the whole batch (equation A.2):
    |G|^2 = (B n_B - b n_b) / (B - b), S = (n_b - n_B) / (1/b - 1/B). Both are smoothed, and their
    ratio is taken afterwards; it is never above the size of the training set.

    With the batch changes lr ~ B / (B_* + B), as in the paper's adaptive runs (appendix D.2); B_*,
    found by a grid of runs there (96 on SVHN), is the task's batch size here.
    """

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        r: Annotated[float, LogUniform(0.1, 10.0)] = 1.0
        """Examples that are worth a step, in batches of the task's size."""
        smoothing: Annotated[float, Choice((0.9, 0.98))] = 0.9

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.n_parts = PARTS
        self.total: list[Tensor] = []
        """Sum of the gradients of the parts passed so far, per parameter."""
        self.sizes: list[Tensor] = []
        """|gradient|^2 of each of them."""
        self.signal = self.noise = 0.0
        """Smoothed |G|^2 and S."""

    @property
    def part_size(self) -> int:
        """Examples in a part, b."""
        return max(1, self.plan.batch_size // PARTS)

    def lr_factor(self, elapsed: float) -> float:
        """The task's schedule times 2 B / (B_* + B), which is 1 at the task's batch size."""
        batch = self.n_parts * self.part_size
        return 2 * batch / (self.plan.batch_size + batch) * self.plan.schedule(elapsed)

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        """Shuffled epochs, part by part."""
        while True:
            yield from dataset.shuffled(self.plan.order_generator, self.part_size)

    def training_step(self, step: Step) -> None:
        """A pass over a part; after the last one a step, and the size of the next batch."""
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
        n_large, n_small = get_total_norm(gradients) ** 2, torch.stack(self.sizes).mean()
        self.resize(float(n_small), float(n_large))
        self.sizes = []
        step.optimizer_step()

    def resize(self, n_small: float, n_large: float) -> None:
        """Choose the next batch size, from two parts up to the training set."""
        h, b, large = self.hyperparameters, self.part_size, self.part_size * self.n_parts
        signal = (large * n_large - b * n_small) / (large - b)
        noise = (n_small - n_large) / (1 / b - 1 / large)
        self.signal = h.smoothing * self.signal + (1 - h.smoothing) * signal
        self.noise = h.smoothing * self.noise + (1 - h.smoothing) * noise
        most = self.plan.n_examples
        # Where no signal was found, the noise scale is beyond what can be measured.
        noise_scale = min(self.noise / self.signal, most) if self.signal > 0 else most
        wanted = math.sqrt(h.r * self.plan.batch_size * noise_scale) / b
        self.n_parts = max(2, round(min(wanted, most // b)))
