"""Co-teaching (Han et al., 2018, Algorithm 1)."""

from __future__ import annotations

import copy
from typing import Annotated

import torch
from assay import Calibration, IntUniform, Method, Step, Uniform
from torch import Generator, Tensor, nn


class Pair(nn.Module):
    """Two networks of one architecture; the first one answers."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the first network."""
        return self.first(inputs)


class CoTeaching(Method):
    """Each network picks the R(T) share of the batch with the smallest loss for the other.

    R(T) = 1 - tau min(T / T_k, 1), with T the epoch and tau the share of wrong labels.
    """

    passes_per_batch = 2.0

    # Defaults: T_k = 10 and the true noise rate, as in the paper's experiments.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        ramp_epochs: Annotated[int, IntUniform(5, 20)] = 10
        noise_scale: Annotated[float, Uniform(0.8, 1.2)] = 1.0

    def transform_model(self, model: nn.Module) -> nn.Module:
        """The task's network and a second one from other initial weights."""
        first = self.plan.task_transform(model)
        return Pair(first, _reinitialised(first, self.plan.generator))

    def training_step(self, step: Step) -> None:
        """One update of both networks; two passes."""
        inputs, targets = step.batch.inputs, step.batch.targets
        losses_first = self.plan.loss(step.model.first(inputs), targets, reduction="none")
        losses_second = self.plan.loss(step.model.second(inputs), targets, reduction="none")
        n_kept = max(1, int(self._kept_share() * len(targets)))
        for_second = losses_first.detach().argsort(stable=True)[:n_kept]
        for_first = losses_second.detach().argsort(stable=True)[:n_kept]
        step.zero_grad()
        step.backward(losses_first[for_first].mean() + losses_second[for_second].mean())
        step.count_pass()  # the second network: one call of autograd serves both
        step.optimizer_step()

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """The first network."""
        return model.first

    def _kept_share(self) -> float:
        h = self.hyperparameters
        tau = min(1.0, h.noise_scale * self.plan.noise_rate)
        return 1 - tau * min(self.plan.epoch / h.ramp_epochs, 1.0)


def _reinitialised(model: nn.Module, generator: Generator) -> nn.Module:
    """A copy with the entries of every parameter tensor shuffled.

    The weights of a fresh layer are independent draws from one distribution, so shuffled they
    are a fresh draw from it, whatever the layer's rule of initialisation.
    """
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return other
