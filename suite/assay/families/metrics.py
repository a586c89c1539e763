"""Metrics of labelled tasks: functions of predicted and true labels, all to be maximised.

A prediction of -1 (the network gave something that is not finite) is wrong for every class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

MAX_SAMPLE_LOSS = 100.0
"""Cap, in nats, on one example's log loss: a single infinite logit must not hide the others."""


def predictions(logits: Tensor) -> Tensor:
    """The largest logit's class, (n, classes) to (n,); -1 where a logit is not finite."""
    return torch.where(logits.isfinite().all(1), logits.argmax(1), -1)


def accuracy(predicted: Tensor, targets: Tensor) -> float:
    """Share of right predictions, both (n,)."""
    return float((predicted == targets).double().mean())


def present(targets: Tensor) -> list[int]:
    """The classes that occur in (n,) labels, increasing."""
    return sorted(set(targets.tolist()))


def recalls(predicted: Tensor, targets: Tensor) -> dict[int, float]:
    """Share of right predictions in each class that occurs in `targets`."""
    return {
        label: accuracy(predicted[targets == label], targets[targets == label])
        for label in present(targets)
    }


def balanced_accuracy(predicted: Tensor, targets: Tensor) -> float:
    """Mean of the classes' recalls (Brodersen et al., ICPR 2010)."""
    found = recalls(predicted, targets).values()
    return sum(found) / len(found)


def macro_f1(predicted: Tensor, targets: Tensor) -> float:
    """Mean over the classes of 2 TP / (2 TP + FP + FN); classes as they occur in `targets`."""
    scores = []
    for label in present(targets):
        hits = ((predicted == label) & (targets == label)).sum()
        claimed, actual = (predicted == label).sum(), (targets == label).sum()
        scores.append(float(2 * hits / (claimed + actual)))
    return sum(scores) / len(scores)


def log_loss(logits: Tensor, targets: Tensor) -> float:
    """Mean cross-entropy in nats of logits (n, classes), each example capped at 100 nats."""
    losses = functional.cross_entropy(logits.double(), targets, reduction="none")
    return float(losses.nan_to_num(nan=MAX_SAMPLE_LOSS).clamp(max=MAX_SAMPLE_LOSS).mean())


METRICS: Mapping[str, Callable[[Tensor, Tensor], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
}
"""The metrics that a card may name."""
