"""SSO: several steps on a surrogate in the space of outputs (Lavington et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor, nn, optim

FORWARDS_PER_PASS = 3


class SSO(Method):
    """z = outputs at w_t, G = dl/dz. m steps of gradient descent from w_t, each with an Armijo line
    search, on q(w) = mean over the batch of <G, f(w) - z> + norm(f(w) - z)^2 / (2 eta).

    eta, a step length in the space of outputs, is what the schedule acts on. The search starts at
    `first_step` in each batch and goes on from the last length within it.
    """

    # m: the middle of the paper's 1, 5, 10, 100; m = 1 is SGD with a line search.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        eta: Annotated[float, LogUniform(0.1, 30.0)] = 1.0
        m: Annotated[int, Choice((2, 5, 10))] = 5
        first_step: float = 10.0
        c: float = 0.5
        shrink: float = 0.5

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.n_trials = 0

    @property
    def passes_per_batch(self) -> float:
        """One for each inner step, and its trials: measured on digits_mlp."""
        return 2.0 * float(self.hyperparameters.m)

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """Its lr is eta; the steps are made below."""
        return optim.SGD(model.parameters(), lr=self.hyperparameters.eta)

    def training_step(self, step: Step) -> None:
        """One batch: the loss's own gradient once, the surrogate's after it."""
        (group,) = step.optimizers[0].param_groups
        w, eta, n = group["params"], group["lr"], len(step.batch.inputs)
        if not eta:
            return
        outputs = step.forward()
        # At w_t the surrogate's gradient is the loss's, and one pass gives it and G.
        g = torch.autograd.grad(step.loss(outputs), [outputs, *w], materialize_grads=True)
        z, G = outputs.detach(), n * g[0]

        def q(outputs: Tensor) -> Tensor:
            moved = (outputs - z).flatten(1)
            return ((G.flatten(1) * moved).sum(1) + moved.square().sum(1) / (2 * eta)).mean()

        value, gradient, length = 0.0, g[1:], self.hyperparameters.first_step
        for inner in range(self.hyperparameters.m):
            if inner:
                surrogate = q(step.forward())
                gradient = torch.autograd.grad(surrogate, w, materialize_grads=True)
                value = surrogate.item()
            length = self.armijo(step, q, value, gradient, length)
            with torch.no_grad():
                torch._foreach_add_(w, gradient, alpha=-length)

    def armijo(self, step: Step, q: Any, value: float, gradient: Any, length: float) -> float:
        """The first of length, shrink length, ... with q(w - length g) <= q(w) - c length norm^2.

        Trials have copies of the running statistics and leave no trace.
        """
        h = self.hyperparameters
        squared = float(sum(part.square().sum() for part in gradient))
        named = dict(step.model.named_parameters())
        with torch.no_grad():
            while squared > 0 and length > 1e-8:
                trial = {
                    name: p - length * part
                    for (name, p), part in zip(named.items(), gradient, strict=True)
                }
                trial |= {name: buffer.clone() for name, buffer in step.model.named_buffers()}
                outputs = torch.func.functional_call(step.model, trial, (step.batch.inputs,))
                self.n_trials += 1
                if self.n_trials % FORWARDS_PER_PASS == 0:
                    step.count_pass()
                if q(outputs).item() <= value - h.c * length * squared:
                    break
                length *= h.shrink
        return length
