"""Winsorised gradients: no example moves a weight further than most (Chatterjee, 2020)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
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
        parts = micro_gradients(self, step, h.k)
        for p, g in zip(step.model.parameters(), parts, strict=True):
            p.grad = winsorized_mean(g, h.c)
        step.optimizer_step()


def winsorized_mean(g: Tensor, c: int) -> Tensor:
    """The mean over (k, ...) of values clipped to the (c+1)-th smallest and largest."""
    k = len(g)
    c = min(c, (k - 1) // 2)
    ordered = g.sort(dim=0).values
    return g.clamp(ordered[c], ordered[k - 1 - c]).mean(0)


def micro_gradients(method: Method, step: Step, k: int) -> list[Tensor]:
    """Gradients of k micro-batches, (k, ...) for each parameter: one pass over the batch.

    Where the batch does not divide by k, k is the largest smaller number that divides it. Batch
    norm sees micro-batches; its running statistics become the mean of theirs.
    """
    model, inputs, targets = step.model, step.batch.inputs, step.batch.targets
    k = next(divisor for divisor in range(min(k, len(inputs)), 0, -1) if len(inputs) % divisor == 0)
    w = {name: p.detach() for name, p in model.named_parameters()}
    buffers = {name: b.expand(k, *b.shape).clone() for name, b in model.named_buffers()}

    def loss_of(w: Any, buffers: Any, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        outputs = torch.func.functional_call(model, (w, buffers), (inputs,))
        return method.plan.loss(outputs, targets), outputs

    gradient = torch.func.grad_and_value(loss_of, has_aux=True)
    parts, (_, outputs) = torch.func.vmap(gradient, (None, 0, 0, 0), randomness="different")(
        w, buffers, inputs.unflatten(0, (k, -1)), targets.unflatten(0, (k, -1))
    )
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name].double().mean(0))
        step.loss(outputs.flatten(0, 1))  # the loss of the whole batch, for the curve
    return list(parts.values())
