"""Counts what a method spends, whatever it says: calls of autograd, or calls of an oracle."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, autograd, nn
from torch._C import _functorch  # no public name says how large the enclosing vmaps are

from assay.families.oracle import BudgetSpent, Oracle
from assay.worker import hook_returns

_run_backward = getattr(autograd, "_engine_run_backward")  # noqa: B009  (no public name)


class PassCounter:
    """Forward-backward passes and example-passes, counted while it is entered.

    torch.autograd.backward, Tensor.backward, torch.autograd.grad and the transforms of torch.func
    that are built on them all run through one function, which is replaced meanwhile. A call is one
    pass over the examples of the batch, or over all that went through the model since the call
    before, if those are more: two forward passes and one backward for their sum are two passes'
    worth of examples.
    """

    def __init__(self) -> None:
        self.passes = 0
        """Forward-backward passes."""
        self.example_passes = 0
        """Passes times the examples in each."""
        self.examples = 1
        """Examples of the batch."""
        self.forward_examples = 0
        """Examples that went through the model, with and without gradients."""
        self._forwarded = 0
        """Examples that went through the model since the last call of autograd."""

    def add(self, n: int = 1, examples: int | None = None) -> None:
        """Charge `n` passes over `examples` examples each; by default those of the batch."""
        self.passes += n
        self.example_passes += n * (self.examples if examples is None else examples)

    def claim(self, n: int = 1, examples: int | None = None) -> None:
        """What a method says of itself (Step.count_pass): as `add`.

        Raises:
            PluginError: it is no number of passes; a negative one would pay others back.
        """
        n = hook_returns.expect_count(n, "n")
        if examples is not None:
            examples = hook_returns.expect_count(examples, "examples")
        self.add(n, examples)

    def begin_batch(self) -> None:
        """Forget what went through the model in the last batch and was not differentiated."""
        self._forwarded = 0

    def watch(self, model: nn.Module) -> None:
        """Charge what goes through the model."""
        model.register_forward_pre_hook(self.note_inputs, with_kwargs=True)

    def note_inputs(self, model: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Forward pre-hook: what goes through the model with gradients will be charged."""
        first = next(iter((*inputs, *named.values())), None)
        if isinstance(first, Tensor):
            n = len(first) * _mapped()
            self.forward_examples += n
            if torch.is_grad_enabled():
                self._forwarded += n

    def __deepcopy__(self, memo: dict[int, Any]) -> PassCounter:
        """Copies of a model, hooks included, count here too."""
        return self

    def __enter__(self) -> None:
        def counted(*args: Any, **options: Any) -> Any:
            self.passes += 1
            self.example_passes += max(self.examples, self._forwarded)
            self._forwarded = 0
            return _run_backward(*args, **options)

        setattr(autograd, "_engine_run_backward", counted)  # noqa: B010

    def __exit__(self, *_: object) -> None:
        setattr(autograd, "_engine_run_backward", _run_backward)  # noqa: B010


def _mapped() -> int:
    """How many calls one call stands for: torch.func.vmap makes one of many.

    Of a batch in parts it sees the length of a part; and of many models on one batch, the batch.
    Inputs keep a batch dimension in it (`x.unsqueeze(0)`): else their features pass for examples.
    """
    n = 1
    for level in _functorch.get_interpreter_stack() or ():
        if level.key() == _functorch.TransformType.Vmap:
            n *= _functorch.CVmapInterpreterPtr(level).batchSize()
    return n


class CallCounter:
    """What a start has spent of a function: its oracle counts, and nothing else is known of it."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.examples = 1
        """Examples of the batch."""

    @property
    def passes(self) -> int:
        """Calls of the oracle."""
        return self._oracle.passes

    @property
    def example_passes(self) -> int:
        """Calls times the rows in each."""
        return self._oracle.example_passes

    @property
    def forward_examples(self) -> int:
        """The same: each evaluation is counted."""
        return self._oracle.example_passes

    def add(self) -> None:
        """Charge a pass over the batch, if there is a budget left."""
        with contextlib.suppress(BudgetSpent):
            self._oracle.charge(self.examples)

    def claim(self, n: int = 1, examples: int | None = None) -> None:
        """Check it and do nothing: what a method says of itself has been counted already."""
        hook_returns.expect_count(n, "n")
        if examples is not None:
            hook_returns.expect_count(examples, "examples")

    def begin_batch(self) -> None:
        """Do nothing: each evaluation was counted when it was made."""

    def watch(self, model: nn.Module) -> None:
        """Do nothing: the oracle sees every call."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
