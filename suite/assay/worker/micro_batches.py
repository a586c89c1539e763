"""Gradients of the micro-batches of a batch, in one pass (see method.Step.micro_gradients)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from assay.method import Batch


def micro_gradients(
    model: nn.Module, batch: Batch, compute_loss: Callable[[Tensor, Batch], Tensor], k: int
) -> tuple[list[Tensor], Tensor]:
    """Gradients, (k, ...) for each parameter, and losses (k,) of k micro-batches.

    Buffers (the running statistics of batch norm) become the mean of those that the micro-batches
    leave behind, each starting from what they were.
    """
    n = len(batch.inputs)
    k = next(divisor for divisor in range(min(k, n), 0, -1) if n % divisor == 0)
    w = {name: p.detach() for name, p in model.named_parameters()}
    buffers = {name: b.expand(k, *b.shape).clone() for name, b in model.named_buffers()}

    def loss_of(w: Any, buffers: Any, *parts: Tensor) -> Tensor:
        micro_batch = Batch(*parts)
        outputs = torch.func.functional_call(model, (w, buffers), (micro_batch.inputs,))
        return compute_loss(outputs, micro_batch)

    parts = (
        part.reshape(k, n // k, *part.shape[1:])
        for part in (batch.inputs, batch.targets, batch.indices)
    )
    gradients, losses = torch.func.vmap(
        torch.func.grad_and_value(loss_of), (None, *[0] * 4), randomness="different"
    )(w, buffers, *parts)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name].double().mean(0))
    return list(gradients.values()), losses.detach()
