"""The plan that a method is given: what its task allows and supplies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from assay.cards import Access
from assay.messages.worker import WorkerSeeds
from assay.method import Method, Plan
from assay.task import Task
from assay.worker import hook_returns


def total_batches(method: Method, plan: Plan) -> int:
    """How many batches the budget lasts for, at the passes a batch that the method says."""
    passes = hook_returns.expect_passes(method.passes_per_batch)
    return max(1, math.floor(plan.budget / (plan.batch_size * passes)))


def plan_of(
    task: Task,
    access: frozenset[Access],
    reference: Mapping[str, Any],
    targets: Tensor,
    seeds: WorkerSeeds,
    device: torch.device,
) -> Plan:
    """The plan of a method on `task`, before its first hook.

    Args:
        task: what it trains on.
        access: what the method may know of it.
        reference: hyperparameters of the task's reference optimizer.
        targets: of the training examples (n,).
        seeds: of this start.
        device: where it trains.
    """
    card = task.card
    n, size = len(targets), card.budget.batch_size
    rate = card.recipe.get("noise_rate")
    return Plan(
        family=card.family,
        budget=card.budget.example_passes,
        total_batches=card.budget.batches,
        batches_per_epoch=max(1, math.floor(n / size)),
        batch_size=size,
        n_examples=n,
        n_classes=card.n_classes,
        device=device,
        generator=torch.Generator().manual_seed(seeds.method),
        order_generator=torch.Generator().manual_seed(seeds.order),
        access=access,
        schedule=card.lr_factor,
        loss=task.loss,
        reference_optimizer=lambda parameters: task.reference_optimizer(
            parameters, task.Reference(**reference)
        ),
        task_transform=task.transform_model,
        recipe=dict(card.recipe),
        class_counts=(
            torch.bincount(targets.cpu(), minlength=card.n_classes)
            if "class_counts" in access
            else None
        ),
        noise_rate=float(rate) if "noise_rate" in access and rate is not None else None,
    )
