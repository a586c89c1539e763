"""Winsorised gradients: no example moves a weight further than most (Chatterjee, 2020)."""

from __future__ import annotations

from typing import Annotated

from assay import Choice, Method, Step
from torch import Tensor


class Winsorized(Method):
    """Of k micro-batch gradients, each element is clipped to the range that is left without its c
    smallest and c largest values; their mean goes to the task's optimizer.

    The paper clips the gradients of single examples to percentiles c and 100 - c; those of
    micro-batches need no more memory than k networks, and let batch norm work.
    """

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; c is a count, so c = 1 of k = 8 are the 12.5 % at each end."""

        k: int = 8
        c: Annotated[int, Choice((1, 2, 3))] = 1

    def training_step(self, step: Step) -> None:
        """Gradients of the micro-batches, clipped, averaged."""
        h = self.hyperparameters
        parts = step.micro_gradients(h.k)
        for p, g in zip(step.model.parameters(), parts, strict=True):
            p.grad = winsorized_mean(g, h.c)
        step.optimizer_step()


def winsorized_mean(g: Tensor, c: int) -> Tensor:
    """The mean over (k, ...) of values clipped to the (c+1)-th smallest and largest."""
    k = len(g)
    c = min(c, (k - 1) // 2)
    ordered = g.sort(dim=0).values
    return g.clamp(ordered[c], ordered[k - 1 - c]).mean(0)
