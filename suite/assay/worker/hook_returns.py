"""What hooks returned, checked: the errors name the hook, what it gave and what was expected."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from assay.errors import PluginError


def expect(value: Any, kind: type, hook: str) -> Any:
    """`value`, which must be a `kind`."""
    if not isinstance(value, kind):
        raise PluginError(
            f"{hook} returned {type(value).__name__}, expected {kind.__name__}{_forgotten(value)}"
        )
    return value


def expect_nothing(returned: Any, hook: str, advice: str) -> None:
    """Refuse a value that would be lost without a word."""
    if returned is not None:
        raise PluginError(f"{hook} returned {_shown(returned)}, expected None: {advice}")


def expect_scalar(loss: Any) -> Tensor:
    """The `loss`, which must be a tensor without dimensions."""
    if not isinstance(loss, Tensor) or loss.dim():
        given = type(loss).__name__
        if isinstance(loss, Tensor):
            given = f"a tensor of shape {tuple(loss.shape)}"
        raise PluginError(
            f"compute_loss returned {given}, expected a scalar Tensor{_forgotten(loss)}"
        )
    return loss


def expect_factor(factor: Any, elapsed: float) -> float:
    """What lr_factor returned when the share `elapsed` of the budget was spent."""
    if not isinstance(factor, (int, float)) or not 0 <= factor < math.inf:
        raise PluginError(
            f"lr_factor returned {_shown(factor)} for elapsed={elapsed:.3g}, "
            "expected a number, 0 or more"
        )
    return float(factor)


def expect_passes(passes: Any) -> float:
    """A method's passes_per_batch."""
    if not isinstance(passes, (int, float)) or not 0 < passes < math.inf:
        advice = ": is `@property` missing?" if callable(passes) else ""
        raise PluginError(
            f"passes_per_batch is {_shown(passes)}, expected a positive number{advice}"
        )
    return passes


def expect_count(given: Any, name: str) -> int:
    """What a method gave step.count_pass as `name`: a whole number, 0 or more."""
    try:
        count = operator.index(given)
    except TypeError:
        count = -1
    if count < 0:
        raise PluginError(
            f"step.count_pass was given {name}={_shown(given)}, expected a whole number, 0 or more"
        )
    return count


def optimizers_of(returned: Any) -> list[Optimizer]:
    """What configure_optimizer returned, as a list."""
    found = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    if not found:
        raise PluginError("configure_optimizer returned no optimizer")
    for optimizer in found:
        if isinstance(optimizer, (list, tuple, dict, LRScheduler)):
            kinds = type(returned).__name__
            if isinstance(returned, (list, tuple)):
                kinds += f" of {' and '.join(dict.fromkeys(type(o).__name__ for o in found))}"
            raise PluginError(
                f"configure_optimizer returned a {kinds}, as in Lightning; expected one optimizer "
                "or a list of optimizers: schedules belong in lr_factor"
            )
        expect(optimizer, Optimizer, "configure_optimizer")
        if not hasattr(optimizer, "defaults"):
            kind = type(optimizer).__name__
            raise PluginError(
                f"configure_optimizer returned a {kind} that is not an optimizer yet: call "
                f"super().__init__(params, defaults) in {kind}.__init__"
            )
    return found


def stream_of(sampled: Any) -> Iterator[Any]:
    """The batches of what sampler returned."""
    try:
        return iter(sampled)
    except TypeError as error:
        raise PluginError(
            f"sampler returned {_shown(sampled)}, expected an endless iterator: "
            "`yield` one tensor of indices for each batch"
        ) from error


def stream_ended(n_batches: int) -> PluginError:
    """The error for a sampler without a further batch."""
    return PluginError(
        f"sampler ended after {n_batches} batches; expected an endless stream of "
        "index tensors: wrap it in `while True`"
    )


def bad_indices(indices: Any, n_examples: int) -> PluginError:
    """The error for indices that a sampler yielded and that choose no examples."""
    whole = isinstance(indices, Tensor) and not indices.is_floating_point()
    known = whole and indices.dtype != torch.bool and indices.numel() > 0
    span = f" with values in {int(indices.min())}..{int(indices.max())}" if known else ""
    return PluginError(
        f"sampler yielded {_shown(indices)}{span}, expected a tensor of shape (n,) and type "
        f"torch.int64 with values in 0..{n_examples - 1}, one for each batch"
    )


def _forgotten(value: Any) -> str:
    """Advice on a value that a hook returned."""
    return ": is a `return` missing?" if value is None else ""


def _shown(value: Any) -> str:
    """A returned value in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {value.dtype}"
    return f"{type(value).__name__} ({value!r:.60})"
