"""Schedule refinement from gradient norms (Defazio et al., 2023, Algorithm 1): two runs."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any

import numpy as np
from assay import Choice, Method, Step
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import SGD


class RefinedSchedule(Method):
    """Run with linear decay and note G_t = |g_t|; run again with the schedule that fits them.

    w_t = G_t^-2 after a median filter of width tau T, lr_t ~ w_t sum_{p > t} w_p, at most 1. With
    Adam G_t is the sum of |g_i| and w_t = 1 / G_t. Each run takes half of the budget, so both are
    counted; the second starts from the same weights with a fresh optimizer.
    """

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        tau: Annotated[float, Choice((0.01, 0.03, 0.1, 0.3))] = 0.1

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.norms: list[Tensor] = []
        self.power = 2.0
        self.refined: NDArray[np.float64] | None = None
        self.started_again = False
        self.start: dict[str, Tensor] = {}

    def lr_factor(self, elapsed: float) -> float:
        """Linear decay in the first half, the refined schedule in the second."""
        if elapsed < 0.5 or not self.norms:
            return 1.0 - 2 * min(elapsed, 0.5)
        if self.refined is None:
            norms = np.array([float(norm) for norm in self.norms])
            self.refined = refined(norms, self.hyperparameters.tau, self.power)
        place = int((2 * elapsed - 1) * len(self.refined) + 1e-9)  # a share is rounded
        return float(self.refined[min(place, len(self.refined) - 1)])

    def training_step(self, step: Step) -> None:
        """The usual step; norms are noted in the first half."""
        if not self.norms:
            self.start = copy.deepcopy(step.model.state_dict())
            self.power = 2.0 if isinstance(step.optimizers[0], SGD) else 1.0
        if self.plan.elapsed < 0.5:
            step.zero_grad()
            step.backward(step.loss())
            gradients = [p.grad for p in step.model.parameters() if p.grad is not None]
            self.norms.append(get_total_norm(gradients, norm_type=self.power))
            step.optimizer_step()
            return
        if not self.started_again:
            self.started_again = True
            step.model.load_state_dict(self.start)
            for optimizer in step.optimizers:
                optimizer.state.clear()
        step.automatic()


def refined(norms: NDArray[np.float64], tau: float, power: float) -> NDArray[np.float64]:
    """The schedule (T,) for gradient norms (T,) of a run of T steps; its largest value is 1.

    Steps without a gradient count as those with the smallest one. Constant norms give linear decay.
    """
    n = len(norms)
    width = 2 * (math.floor(tau * n) // 2) + 1
    # Reflected at the end, where norms change fast and a filter would see half a window.
    padded = np.pad(norms, (0, 2 * width), mode="reflect") if n > 1 else norms
    smooth = median_filter(padded, size=width, mode="nearest")[:n]
    positive = smooth[smooth > 0]
    if not len(positive):
        return 1 - np.arange(n) / n
    weights = np.maximum(smooth / positive.min(), 1.0) ** -power
    later = np.cumsum(weights[::-1])[::-1] - weights
    schedule = weights * later
    return schedule / max(schedule.max(), np.finfo(float).tiny)
