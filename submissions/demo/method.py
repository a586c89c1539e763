"""DeMo: workers that exchange only the largest frequencies of their momenta (Peng et al., 2024)."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor, nn, optim


class DeMo(Method):
    """Of each worker: delta <- beta delta + lr g; q = the top_k largest DCT coefficients of each
    chunk of delta; delta <- delta - IDCT(q). Of all: w <- w - lr sign(IDCT(mean of the q)).

    `workers` are micro-batches of the batch, simulated in one process: what the method learns is
    that of a cluster, its saving of traffic is not. A coefficient's mean is over the workers that
    sent it, as in the official code.
    """

    # beta, top_k and chunk: the official code's. A step is lr long in each element, as
    # Lion's, whose range it has.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta: Annotated[float, Choice((0.9, 0.99, 0.999))] = 0.999
        top_k: Annotated[int, Choice((4, 8, 32))] = 32
        chunk: int = 64
        workers: int = 4
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return DecoupledMomentum(model.parameters(), self.hyperparameters)

    def training_step(self, step: Step) -> None:
        """The gradient of each worker, then one exchange."""
        (optimizer,) = step.optimizers
        optimizer.step(step.micro_gradients(self.hyperparameters.workers))


class DecoupledMomentum(optim.Optimizer):
    """The update above; keeps one delta for each worker."""

    def __init__(self, params: Any, h: Any) -> None:
        super().__init__(params, {"lr": h.lr})
        self.h = h
        self.chunks = [Chunks(p.shape, h.chunk, p) for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self, gradients: list[Tensor]) -> None:
        """One exchange and update; `gradients` are (workers, ...) for each parameter."""
        h, (group,) = self.h, self.param_groups
        for p, g, chunks in zip(group["params"], gradients, self.chunks, strict=True):
            delta = self.state[p].setdefault("delta", torch.zeros_like(g))
            delta.mul_(h.beta).add_(g, alpha=group["lr"])
            frequencies = chunks.encode(delta)
            places = frequencies.abs().topk(min(h.top_k, frequencies.shape[-1]), sorted=False)[1]
            sent = torch.zeros_like(frequencies, dtype=torch.bool).scatter_(-1, places, True)
            q = frequencies * sent
            delta.sub_(chunks.decode(q))
            mean = q.sum(0, keepdim=True) / sent.sum(0, keepdim=True).clamp(min=1)
            p.mul_(1 - group["lr"] * h.weight_decay)
            p.sub_(chunks.decode(mean)[0].sign_(), alpha=group["lr"])


class Chunks:
    """Blocks of a tensor of `shape` (as a matrix: its first dimension by all others), and their
    orthonormal discrete cosine transform.
    """

    def __init__(self, shape: torch.Size, chunk: int, like: Tensor) -> None:
        """Take blocks of the largest sizes up to `chunk` that divide both sides."""
        self.shape = shape
        n_rows = shape[0] if shape else 1
        self.sides = (n_rows, max(1, math.prod(shape)) // n_rows)
        self.blocks = tuple(max(b for b in range(1, chunk + 1) if n % b == 0) for n in self.sides)
        self.left, self.right = (cosines(n, like) for n in self.blocks)

    def encode(self, x: Tensor) -> Tensor:
        """(workers, *shape) to coefficients (workers, blocks, elements of a block)."""
        (rows, columns), (height, breadth) = self.sides, self.blocks
        x = x.reshape(-1, rows // height, height, columns // breadth, breadth).transpose(2, 3)
        return (self.left @ x @ self.right.T).flatten(3).flatten(1, 2)

    def decode(self, frequencies: Tensor) -> Tensor:
        """The inverse of `encode`."""
        (rows, columns), (height, breadth) = self.sides, self.blocks
        x = frequencies.view(-1, rows // height, columns // breadth, height, breadth)
        x = (self.left.T @ x @ self.right).transpose(2, 3)
        return x.reshape(-1, *self.shape)


def cosines(n: int, like: Tensor) -> Tensor:
    """The orthonormal DCT-II (n, n): row k has the k-th frequency."""
    i = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi * (2 * i + 1) * i.unsqueeze(1) / (2 * n)) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.to(like)
