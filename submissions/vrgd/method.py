"""VRGD: gradients weighted by their signal-to-noise ratio (Jiang et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor


class VRGD(Method):
    """r = E[g]^2 / Var[g] over k micro-batches, element by element; r <- r / mean of r over its
    tensor, clipped to [gamma, 1]; g <- r E[g], for the task's optimizer (VR-SGD where it is SGD).
    """

    # gamma = 0.1 is the paper's (from memory); k = 8 devices.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        gamma: Annotated[float, LogUniform(0.01, 1.0)] = 0.1
        k: Annotated[int, Choice((4, 8, 16))] = 8

    def training_step(self, step: Step) -> None:
        """Gradients of the micro-batches, their ratio, the optimizer's step."""
        h = self.hyperparameters
        parts = micro_gradients(self, step, h.k)
        for p, g in zip(step.model.parameters(), parts, strict=True):
            mean = g.mean(0)
            p.grad = ratio(mean, g.var(0, correction=0), h.gamma).mul_(mean)
        step.optimizer_step()


def ratio(mean: Tensor, variance: Tensor, gamma: float) -> Tensor:
    """The clipped ratio; 1 where there is no variance."""
    r = mean.square().div_(variance.clamp(min=torch.finfo(mean.dtype).tiny))
    return r.div_(r.mean().clamp(min=torch.finfo(mean.dtype).tiny)).clamp_(gamma, 1)


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
