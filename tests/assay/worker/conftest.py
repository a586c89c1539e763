"""Training sessions in this process: what a worker makes of a request."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.families.toys import toy_card, toy_task
from assay.messages.worker import WorkerSeeds
from assay.method import Method, hyperparameters_for
from assay.space import checked_values
from assay.task import Task
from assay.worker.session import Session
from torch import Tensor


def session(
    task: Task,
    method: Method,
    train: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    **more: object,
) -> Session:
    """A session on the CPU with one set of seeds; `more` is given to Session as it is."""
    return Session(
        task=task,
        method=method,
        access=frozenset(),
        reference=task.Reference().model_dump(),
        train=train,
        start=start,
        seeds=WorkerSeeds(order=1, augment=2, method=3),
        device=torch.device("cpu"),
        **more,
    )


def toy_session(method: type[Method], n_batches: int, **more: object) -> Session:
    """One of a method at its defaults on 16 made-up pictures, in batches of 8."""
    card = toy_card("classification")
    budget = card.budget.model_copy(update={"batches": n_batches, "batch_size": 8})
    task = toy_task(card.model_copy(update={"budget": budget}))
    draw = torch.Generator().manual_seed(0)
    train = {
        "inputs": torch.rand(16, 1, 8, 8, generator=draw),
        "targets": torch.arange(16) % card.n_classes,
    }
    torch.manual_seed(0)
    values = checked_values(hyperparameters_for(method, "classification"), {})
    return session(task, method(values), train, task.build_model(train).state_dict(), **more)
