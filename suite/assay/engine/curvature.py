"""The training loss around given weights: gradients, Hessian products and the top eigenvalue."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor, nn

from assay.task import TaskLoss

CHUNK = 64
"""Examples whose graph is in memory at once."""
PRODUCTS, TOLERANCE = 30, 0.01
"""Most Hessian products for one eigenvalue, and its relative error at which fewer are enough."""


class TrainingLoss:
    """The mean loss on some examples as a function of a network's weights, in float64.

    The network is in eval mode, as when it is scored: dropout is off, and batch norm uses its
    running statistics. Vectors (n_weights,) hold all trainable weights, one tensor after the other.
    """

    def __init__(self, model: nn.Module, loss: TaskLoss, inputs: Tensor, targets: Tensor) -> None:
        """Take the weights as they are in `model`, which is changed to float64.

        Args:
            model: gives outputs (n, ...) for inputs.
            loss: of outputs and targets.
            inputs: (n, ...) decoded; whole numbers stay such.
            targets: (n,).
        """
        self._model, self._loss = model.double().eval(), loss
        self._inputs = inputs.double() if inputs.is_floating_point() else inputs
        self._targets = targets
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def n_weights(self) -> int:
        """Trainable weights."""
        return sum(weight.numel() for weight in self._weights)

    def gradient(self, rows: slice) -> Tensor:
        """(n_weights,): of the mean loss on some of the examples."""
        targets = self._targets[rows]
        total = torch.zeros(self.n_weights, dtype=torch.float64)
        for inputs, wanted in _chunks(self._inputs[rows], targets):
            total += self._flat(self._gradients(inputs, wanted))
        return total / len(targets)

    def hessian_product(self, vector: Tensor) -> Tensor:
        """H v, (n_weights,), where H is the Hessian of the mean loss on all examples.

        Source: Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 1994.
        """
        pieces = torch.split(vector, [weight.numel() for weight in self._weights])
        total = torch.zeros_like(vector)
        for inputs, wanted in _chunks(self._inputs, self._targets):
            gradients = self._gradients(inputs, wanted, create_graph=True)
            along = torch.stack(
                [g.flatten() @ piece for g, piece in zip(gradients, pieces, strict=True)]
            ).sum()
            if along.requires_grad:  # else the loss is linear in the weights
                total += self._flat(
                    torch.autograd.grad(along, self._weights, materialize_grads=True)
                )
        return total / len(self)

    def _gradients(
        self, inputs: Tensor, targets: Tensor, *, create_graph: bool = False
    ) -> tuple[Tensor, ...]:
        """Of the sum of the losses, by weight."""
        loss = self._loss(self._model(inputs), targets, reduction="sum")
        return torch.autograd.grad(
            loss, self._weights, create_graph=create_graph, materialize_grads=True
        )

    @staticmethod
    def _flat(parts: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([part.detach().flatten() for part in parts])


def _chunks(inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(inputs, CHUNK), torch.split(targets, CHUNK), strict=True)


def top_eigenvalue(product: Callable[[Tensor], Tensor], n: int, most: int = PRODUCTS) -> float:
    """The largest eigenvalue of a symmetric matrix that is known by its products with vectors.

    By Lanczos' method with full reorthogonalisation (Golub & Van Loan, "Matrix Computations",
    4th edition, section 10.3), until its relative error is below TOLERANCE. After `most` products
    it is what was found: a lower bound. NaN where a product is not finite.

    Args:
        product: H v of v, both (n,) in float64.
        n: rows of the matrix.
        most: how many products.
    """
    start = torch.randn(n, generator=Generator().manual_seed(0), dtype=torch.float64)
    basis = [start / start.norm()]
    tridiagonal = torch.zeros(most, most, dtype=torch.float64)
    top = 0.0
    for step in range(min(n, most)):
        image = product(basis[-1])
        if not bool(image.isfinite().all()):
            return math.nan
        tridiagonal[step, step] = image @ basis[-1]
        known = torch.stack(basis)
        for _ in range(2):  # once leaves what rounding has left of them
            image = image - known.T @ (known @ image)
        values, vectors = torch.linalg.eigh(tridiagonal[: step + 1, : step + 1])
        top, rest = float(values[-1]), float(image.norm())
        if rest * abs(float(vectors[-1, -1])) <= TOLERANCE * abs(top) or step + 1 == most:
            break
        tridiagonal[step, step + 1] = tridiagonal[step + 1, step] = rest
        basis.append(image / rest)
    return top


def curvature_along(product: Callable[[Tensor], Tensor], direction: Tensor) -> float | None:
    """u^T H u / |u|^2; None where u = 0.

    Source: Pan & Li, "Toward understanding why Adam converges faster than SGD for Transformers",
    arXiv 2306.00204, definition of directional sharpness.
    """
    length = float(direction @ direction)
    return float(direction @ product(direction)) / length if length > 0 else None
