"""Local errors through fixed random readouts (Mostafa et al., 2018).

No gradient crosses from one layer to the one before; needs a network that is a sequence.
"""

from __future__ import annotations

from typing import Any

import torch
from assay import Method, Step
from torch import Tensor, nn


class LocalLoss(Method):
    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.readouts: list[Tensor] = []

    def training_step(self, step: Step) -> None:
        blocks = blocks_of(step.model)
        hidden, total = step.batch.inputs, torch.zeros((), device=self.plan.device)
        for number, block in enumerate(blocks):
            hidden = block(hidden.detach())
            outputs = hidden
            if number < len(blocks) - 1:
                features = hidden.flatten(1)
                outputs = features @ self._readout(number, features)
            total = total + step.loss(outputs)
        step.zero_grad()
        step.backward(total)
        step.optimizer_step()

    def _readout(self, number: int, features: Tensor) -> Tensor:
        if number == len(self.readouts):
            shape = (features.shape[1], self.plan.n_classes)
            drawn = torch.randn(shape, generator=self.plan.generator) / shape[0] ** 0.5
            self.readouts.append(drawn.to(features))
        return self.readouts[number]


def blocks_of(model: nn.Module) -> list[nn.Sequential]:
    """The children, each layer with weights together with what follows it up to the next."""
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"local losses need a sequence of layers, got {type(model).__name__}")
    blocks: list[list[nn.Module]] = []
    for child in model:
        if not blocks or (any_weights([child]) and any_weights(blocks[-1])):
            blocks.append([])
        blocks[-1].append(child)
    return [nn.Sequential(*block) for block in blocks]


def any_weights(modules: list[nn.Module]) -> bool:
    return any(True for module in modules for _ in module.parameters())
