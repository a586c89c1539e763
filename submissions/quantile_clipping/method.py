"""Coordinate-wise clipping of a fixed share of coordinates (Pan and Li, 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from assay import LogUniform, Method
from torch import nn


class QuantileClipping(Method):
    """g_i <- clip(g_i, -tau, tau); tau is such that a given share of all |g_i| lies above it.

    As in the authors' code, tau is one number for the whole network and step, taken before weight
    decay and momentum. With n unknowns, floor(share n) are clipped: none if n is small.
    """

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; the paper clips 0.1 to 50 % of the coordinates."""

        share: Annotated[float, LogUniform(1e-3, 0.5)] = 0.1

    def transform_gradients(self, model: nn.Module) -> None:
        """Clip every gradient to the same tau."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        sizes = torch.cat([g.abs().flatten() for g in gradients])
        n_clipped = int(self.hyperparameters.share * len(sizes))
        tau = sizes.kthvalue(len(sizes) - n_clipped).values
        for g in gradients:
            g.clamp_(-tau, tau)
