"""Large batches with ghost batch normalisation and sqrt-scaled lr (Hoffer et al., 2017)."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from assay import Choice, Method, Step
from torch.nn.utils import clip_grad_norm_


class TrainLonger(Method):
    """Large batch M B: lr sqrt(M), gradients clipped to norm 5, batch normalisation over B.

    As in the official code (main_gbn.py) a large batch is M small ones, passed one by one, whose
    gradients are averaged: so batch normalisation sees only B examples (Algorithm 1). The paper's
    third part, as many updates as with small batches, would cost M times the budget: here
    all methods see the same number of examples, and an M-th of the updates is made.
    """

    class Hyperparameters(Method.Hyperparameters):
        """M = 16 in the paper (2048 against 128); networks and data are smaller here."""

        m: Annotated[int, Choice((8, 4, 2))] = 8
        max_norm: float = 5.0

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.n_passed = 0

    def lr_factor(self, elapsed: float) -> float:
        """The task's schedule times sqrt(M)."""
        return math.sqrt(self.hyperparameters.m) * self.plan.schedule(elapsed)

    def training_step(self, step: Step) -> None:
        """A pass over a small batch; after M of them a step."""
        h = self.hyperparameters
        if self.n_passed % h.m == 0:
            step.zero_grad()
        step.backward(step.loss())
        self.n_passed += 1
        if self.n_passed % h.m == 0:
            gradients = [p.grad for p in step.model.parameters() if p.grad is not None]
            torch._foreach_div_(gradients, h.m)
            clip_grad_norm_(step.model.parameters(), h.max_norm)
            step.optimizer_step()
