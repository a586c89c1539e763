"""Greedy layer-wise training: one layer at a time, each for its share of the budget."""

from __future__ import annotations

from assay import Method, Step
from torch import nn


class Layerwise(Method):
    """The layers before the active one are frozen, those after it learn along."""

    def training_step(self, step: Step) -> None:
        layers = [m for m in step.model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        active = min(int(self.plan.elapsed * len(layers)), len(layers) - 1)
        for number, layer in enumerate(layers):
            layer.requires_grad_(number >= active)
        step.automatic()
