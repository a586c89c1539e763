"""The control of the EMA scaling rule: a larger batch without it (Busbridge et al., 2023)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from assay import Calibration, Choice, Method, Step, TrainingSet
from torch import Tensor, nn

KAPPA = 4


class WeightEMAUnscaled(Method):
    """Batch size times kappa and lr times kappa (of SGD), but rho stays what it was.

    zeta <- rho zeta + (1 - rho) theta after every step, zeta_0 = theta_0; zeta is scored.
    """

    # The paper's 0.9999 belongs to runs of a hundred times as many steps.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        rho: Annotated[float, Choice((0.8, 0.9, 0.95, 0.98, 0.99, 0.995))] = 0.98

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.zeta: dict[str, Tensor] = {}

    def lr_factor(self, elapsed: float) -> float:
        """The task's schedule times kappa, the rule for SGD."""
        return KAPPA * self.plan.schedule(elapsed)

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        """Shuffled epochs in batches of kappa times the task's size."""
        size = min(KAPPA * self.plan.batch_size, len(dataset.targets))
        while True:
            yield from dataset.shuffled(self.plan.order_generator, size)

    def training_step(self, step: Step) -> None:
        """The usual step, then the average's."""
        if not self.zeta:
            self.zeta = copy.deepcopy(step.model.state_dict())
        step.automatic()
        theta = step.model.state_dict()
        floats = [name for name, tensor in theta.items() if tensor.is_floating_point()]
        for name in theta.keys() - floats:
            self.zeta[name] = theta[name].clone()
        torch._foreach_lerp_(
            [self.zeta[name] for name in floats],
            [theta[name] for name in floats],
            1 - self.hyperparameters.rho,
        )

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """A copy of the model with the averaged weights."""
        averaged = copy.deepcopy(model)
        averaged.load_state_dict(self.zeta)
        return averaged
