"""A gradient oracle: a function of which nothing is known but the answers that were paid for.

A method that trains on a function gets values, gradients and Hessian products at its own points.
Here are what its model needs of an oracle, and the oracle of one start, which holds the function.
In a run it stands in a trusted process of its own (engine.oracle) and the model's `Oracle` is a
connection to it (worker.oracle_client); in `assay check` and in tests both are one object.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, autograd, nn

from assay.errors import PluginError

GRACE = 32
"""Example-passes beyond the budget that are still answered, so that the batch in which the budget
ends can be finished. They count as spent at the end of the budget."""
DTYPES = (torch.float32, torch.float64)
"""Types of unknowns that a function is computed in."""


class BudgetSpent(PluginError):
    """The function was asked for more than the budget pays for."""

    def __init__(self) -> None:
        super().__init__("the budget is spent: the function answers no further evaluation")


class Oracle(Protocol):
    """One start's function, as its model sees it. Tensors are on the CPU and of one of DTYPES."""

    n_rows: int
    """Noise rows; they are chosen by number, 0 to n_rows - 1."""
    passes: int
    """Calls so far."""
    example_passes: int
    """Calls times the rows in each so far."""

    def evaluate(
        self, rows: Sequence[int], unknowns: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The function and its gradient: one call.

        Args:
            rows: numbers of the noise rows (n,), whose mean is taken.
            unknowns: the point, in the order of the unknowns' names.

        Raises:
            BudgetSpent: this call is not paid for.
        """

    def product(
        self, rows: Sequence[int], unknowns: Sequence[Tensor], vectors: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """The Hessian times `vectors`: one call. Arguments and errors as `evaluate`."""

    def charge(self, examples: int) -> None:
        """Count a pass over `examples` that asks for nothing: no batch is free.

        Raises:
            BudgetSpent: nothing is left.
        """

    def mark(self, batch: int, digest: bytes) -> None:
        """Note what has been spent where a snapshot is taken.

        Args:
            batch: batches trained so far.
            digest: see `digest_of`.
        """


@dataclass(frozen=True)
class Mark:
    """What was spent when a snapshot was taken."""

    batch: int
    passes: int
    example_passes: int
    digest: bytes


class FunctionOracle:
    """The oracle of one start, with the function itself."""

    def __init__(self, function: nn.Module, *, n_rows: int, budget: int, max_marks: int) -> None:
        """Hold a function.

        Args:
            function: of row numbers (n, 1); its parameters are the unknowns.
            n_rows: noise rows it has.
            budget: example-passes that are paid for.
            max_marks: snapshots that may be marked.
        """
        self.n_rows, self.passes, self.example_passes = n_rows, 0, 0
        self.marks: list[Mark] = []
        self._budget, self._max_marks = budget, max_marks
        self._functions = {torch.float32: _Held(function)}

    def __deepcopy__(self, memo: dict[int, object]) -> FunctionOracle:
        """Copies of a model ask, and pay, here too."""
        return self

    def evaluate(
        self, rows: Sequence[int], unknowns: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """See Oracle."""
        self._pay(len(rows))
        held = self._held(unknowns)
        with torch.enable_grad():
            value = held.at(rows, unknowns)
            gradients = autograd.grad(value, held.unknowns, materialize_grads=True)
        return value.detach(), gradients

    def product(
        self, rows: Sequence[int], unknowns: Sequence[Tensor], vectors: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """See Oracle."""
        self._pay(len(rows))
        held = self._held(unknowns)
        with torch.enable_grad():
            gradients = autograd.grad(
                held.at(rows, unknowns), held.unknowns, create_graph=True, materialize_grads=True
            )
            curved = [p for p in zip(gradients, vectors, strict=True) if p[0].grad_fn is not None]
            if not curved:  # a linear function
                return [torch.zeros_like(unknown) for unknown in unknowns]
            along, directions = zip(*curved, strict=True)
            return autograd.grad(along, held.unknowns, directions, materialize_grads=True)

    def charge(self, examples: int) -> None:
        """See Oracle."""
        if self.example_passes >= self._budget:
            raise BudgetSpent
        self._count(examples)

    def mark(self, batch: int, digest: bytes) -> None:
        """See Oracle.

        Raises:
            PluginError: there are more snapshots than the task has evaluation points.
        """
        if len(self.marks) == self._max_marks:
            raise PluginError(f"more than {self._max_marks} snapshots were marked")
        self.marks.append(Mark(batch, self.passes, self.example_passes, digest))

    def _pay(self, examples: int) -> None:
        """Count a call; one that goes too far beyond the budget uses up what is left of it."""
        if self.example_passes + examples > self._budget + GRACE:
            self.example_passes = max(self.example_passes, self._budget)
            raise BudgetSpent
        self._count(examples)

    def _count(self, examples: int) -> None:
        self.passes += 1
        self.example_passes += examples

    def _held(self, unknowns: Sequence[Tensor]) -> _Held:
        """The function in the unknowns' type."""
        dtype = unknowns[0].dtype
        if dtype not in self._functions:
            function = copy.deepcopy(self._functions[torch.float32].function)
            self._functions[dtype] = _Held(function.to(dtype))
        return self._functions[dtype]


class _Held:
    """A function in one type, and its parameters in the order of their names."""

    def __init__(self, function: nn.Module) -> None:
        self.function = function
        self.unknowns = [parameter for _, parameter in sorted(function.named_parameters())]

    def at(self, rows: Sequence[int], unknowns: Sequence[Tensor]) -> Tensor:
        """The value at a point, to be differentiated by `self.unknowns`."""
        for own, given in zip(self.unknowns, unknowns, strict=True):
            own.data.copy_(given)
        value: Tensor = self.function(torch.tensor(rows).unsqueeze(1))
        return value


def digest_of(state: Mapping[str, Tensor]) -> bytes:
    """SHA-256 of a snapshot's tensors, which are on the CPU: names, types and all bytes."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.digest()
