"""AutoClip: a threshold from the history of norms (Seetharaman et al., 2020, Algorithm 1)."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from assay import Choice, Method
from torch import nn
from torch.nn.utils import get_total_norm


class AutoClip(Method):
    """Clip |g_t| to the p-th percentile of |g_1|, ..., |g_t|, norms of all gradients together."""

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; the paper recommends p = 10, which clips nine steps of ten."""

        p: Annotated[float, Choice((1.0, 5.0, 10.0, 25.0, 50.0, 90.0))] = 10.0

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.norms: list[float] = []
        """Of every step so far, sorted."""

    def transform_gradients(self, model: nn.Module) -> None:
        """Scale all gradients alike."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = float(get_total_norm(gradients))
        bisect.insort(self.norms, norm)
        eta = percentile(self.norms, self.hyperparameters.p)
        if norm > eta:
            torch._foreach_mul_(gradients, eta / norm)


def percentile(ordered: Sequence[float], p: float) -> float:
    """The p-th percentile of sorted values, linear between neighbours (numpy's definition)."""
    place = (len(ordered) - 1) * p / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
