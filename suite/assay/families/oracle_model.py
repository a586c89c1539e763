"""The model of a method that trains on a function: its unknowns, and an oracle to ask.

It can be differentiated as any network: backward, create_graph and Hessian products, forward mode
(torch.func.jvp, dual numbers), torch.func.grad and vmap. A forward pass asks for value and gradient
together, which is one call, whether or not the gradient is used. A Hessian product is one more.
Under vmap over points every point is a call. Third derivatives are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function, forward_ad

from assay.errors import PluginError
from assay.families.oracle import DTYPES, Oracle


class OracleModel(nn.Module):
    """A function's unknowns as parameters; forward takes row numbers (n, 1), as in `inputs`."""

    def __init__(self, oracle: Oracle, start: Mapping[str, Tensor]) -> None:
        """Begin at `start`."""
        super().__init__()
        self._oracle, self._names = oracle, sorted(start)
        for name in self._names:
            self.register_parameter(name, nn.Parameter(start[name].clone()))

    def forward(self, inputs: Tensor) -> Tensor:
        """The function with the mean of the noise rows `inputs` (n, 1) added: a scalar."""
        unknowns = [getattr(self, name) for name in self._names]
        value: Tensor = _Value.apply(self._oracle, inputs, *unknowns)[0]
        return value


def row_numbers(inputs: Tensor, n_rows: int) -> list[int]:
    """The rows that `inputs` (n, 1) name, to the nearest whole number.

    Raises:
        PluginError: they are not numbers of rows.
    """
    if inputs.dim() == 2 and inputs.shape[1] == 1 and len(inputs):
        numbers = inputs.flatten().tolist()
        if all(-0.5 < number < n_rows - 0.5 for number in numbers):
            return [round(number) for number in numbers]
    raise PluginError(
        f"a function was given inputs of shape {tuple(inputs.shape)}; expected (n, 1), each the "
        f"number of a row of the training set, 0 to {n_rows - 1}"
    )


def _plain(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, in a type that an oracle computes in."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
        wanted = tensor.dtype if tensor.dtype in DTYPES else torch.float32
        tensor = tensor.to("cpu", wanted)
    return tensor


class _Applied(Function):
    """A Function whose arguments are all given by position and have no defaults."""

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Function.apply without its search for defaults, which takes as long as ten additions."""
        if torch._C._are_functorch_transforms_active():
            return super().apply(*arguments)  # type: ignore[no-untyped-call]
        return super(Function, cls).apply(*arguments)  # type: ignore[misc]


def _each(function: Any, info: Any, in_dims: Sequence[Any], arguments: Sequence[Any]) -> Any:
    """The rule of vmap: one call for each element of the batch."""
    results = [
        function.apply(
            *(
                argument if dim is None else argument.select(dim, number)
                for argument, dim in zip(arguments, in_dims, strict=True)
            )
        )
        for number in range(info.batch_size)
    ]
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True)), (0,) * len(results[0])


class _Value(_Applied):
    """(value, *gradient) of (oracle, inputs, *unknowns); only the value can be differentiated."""

    @staticmethod
    def forward(oracle: Oracle, inputs: Tensor, *unknowns: Tensor) -> tuple[Tensor, ...]:
        rows = row_numbers(inputs, oracle.n_rows)
        value, gradients = oracle.evaluate(rows, [_plain(tensor) for tensor in unknowns])
        return tuple(tensor.to(unknowns[0]) for tensor in (value, *gradients))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.oracle, ctx.inputs, *unknowns = inputs
        gradients = output[1:]
        ctx.mark_non_differentiable(*gradients)
        ctx.save_for_backward(*gradients, *unknowns)
        ctx.save_for_forward(*gradients, *unknowns)

    @staticmethod
    def backward(ctx: Any, grad_value: Tensor, *_: Any) -> tuple[Any, ...]:
        known = ctx.saved_tensors
        gradients = known[: len(known) // 2]
        if torch.is_grad_enabled() or forward_ad._current_level >= 0:
            gradients = _Gradient.apply(ctx.oracle, ctx.inputs, *known)
        return (None, None, *(grad_value * gradient for gradient in gradients))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Any, ...]:
        gradients = _Gradient.apply(ctx.oracle, ctx.inputs, *ctx.saved_tensors)
        moving = [
            (gradient * tangent).sum()
            for gradient, tangent in zip(gradients, tangents[2:], strict=True)
            if tangent is not None
        ]
        return (sum(moving[1:], moving[0]), *(None for _ in tangents[2:]))

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[Any], *arguments: Any) -> Any:
        return _each(_Value, info, in_dims, arguments)


class _Gradient(_Applied):
    """The gradient of (oracle, inputs, *gradient, *unknowns): known, so that this asks for nothing.

    Its derivatives are Hessian products.
    """

    @staticmethod
    def forward(oracle: Oracle, inputs: Tensor, *known: Tensor) -> tuple[Tensor, ...]:
        return tuple(gradient.clone() for gradient in known[: len(known) // 2])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.oracle, ctx.inputs, *known = inputs
        ctx.save_for_backward(*known[len(known) // 2 :])
        ctx.save_for_forward(*known[len(known) // 2 :])

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Any, ...]:
        unknowns = ctx.saved_tensors
        products = _Product.apply(ctx.oracle, ctx.inputs, *unknowns, *vectors)
        return (None, None, *(None for _ in unknowns), *products)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        unknowns = ctx.saved_tensors
        vectors = [
            torch.zeros_like(unknown) if tangent is None else tangent
            for unknown, tangent in zip(unknowns, tangents[-len(unknowns) :], strict=True)
        ]
        return _Product.apply(ctx.oracle, ctx.inputs, *unknowns, *vectors)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[Any], *arguments: Any) -> Any:
        return _each(_Gradient, info, in_dims, arguments)


class _Product(_Applied):
    """The Hessian product of (oracle, inputs, *unknowns, *vectors)."""

    @staticmethod
    def forward(oracle: Oracle, inputs: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        rows = row_numbers(inputs, oracle.n_rows)
        plain, half = [_plain(tensor) for tensor in tensors], len(tensors) // 2
        products = oracle.product(rows, plain[:half], plain[half:])
        return tuple(product.to(tensors[0]) for product in products)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.oracle, ctx.inputs, *tensors = inputs
        ctx.save_for_backward(*tensors[: len(tensors) // 2])

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Any, ...]:
        unknowns = ctx.saved_tensors
        products = _Product.apply(ctx.oracle, ctx.inputs, *unknowns, *vectors)
        third = (torch.full_like(unknown, torch.nan) for unknown in unknowns)
        return (None, None, *third, *products)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise PluginError("third derivatives of a function cannot be asked for")

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[Any], *arguments: Any) -> Any:
        return _each(_Product, info, in_dims, arguments)
