from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from assay.method import Batch, Method, Plan, hyperparameters_for
from assay.paths import ROOT
from assay.plugins.loading import load_method
from assay.worker.micro_batches import micro_gradients
from assay.worker.pass_counter import PassCounter
from torch import Tensor, nn

SUBMISSIONS = ROOT / "submissions"


def module_of(slug: str) -> ModuleType:
    """A submission's method.py, to reach the functions beside the class."""
    return sys.modules[load_method(SUBMISSIONS / slug / "method.py").__module__]


def cross_entropy(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction=reduction)


def build_plan(**changes: Any) -> Plan:
    facts: dict[str, Any] = {
        "family": "classification",
        "budget": 200,
        "total_batches": 40,
        "batches_per_epoch": 4,
        "batch_size": 5,
        "n_examples": 20,
        "n_classes": 3,
        "device": torch.device("cpu"),
        "generator": torch.Generator().manual_seed(11),
        "order_generator": torch.Generator().manual_seed(12),
        "access": frozenset(),
        "schedule": lambda elapsed: 1.0,
        "loss": cross_entropy,
        "reference_optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        "task_transform": lambda model: model,
        "recipe": {},
    }
    return Plan(**facts | changes)


def build_method(source: Path, family: str = "classification", **values: Any) -> Method:
    method = load_method(source)
    return method(hyperparameters_for(method, family)(**values))  # type: ignore[arg-type]


def planned(method: Method, plan: Plan) -> Method:
    """The method, with its plan set as the engine sets it."""
    method.plan = plan
    return method


class FakeStep:
    """A training step as the contract describes it, without the engine."""

    def __init__(self, method: Method, model: nn.Module, plan: Plan) -> None:
        returned = planned(method, plan).configure_optimizer(model)
        self.optimizers = list(returned) if isinstance(returned, (list, tuple)) else [returned]
        self.method, self.model, self.plan = method, model, plan
        self.counter = PassCounter()
        self.losses: list[float] = []
        self.batch: Batch

    def forward(self, inputs: Tensor | None = None) -> Tensor:
        return self.model(self.batch.inputs if inputs is None else inputs)

    def loss(self, outputs: Tensor | None = None) -> Tensor:
        outputs = self.forward() if outputs is None else outputs
        loss = self.method.compute_loss(outputs, self.batch)
        self.losses.append(loss.item())
        return loss

    @property
    def passes(self) -> int:
        return self.counter.passes

    def backward(self, loss: Tensor, **options: Any) -> None:
        loss.backward(**options)

    def micro_gradients(self, k: int) -> list[Tensor]:
        found, losses = micro_gradients(self.model, self.batch, self.method.compute_loss, k)
        self.losses.append(losses.mean().item())
        return found

    def count_pass(self, n: int = 1, examples: int | None = None) -> None:
        self.counter.add(n, examples)

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def optimizer_step(self) -> None:
        self.method.transform_gradients(self.model)
        for optimizer in self.optimizers:
            if isinstance(optimizer, torch.optim.LBFGS):
                optimizer.step(self._closure)  # type: ignore[arg-type]
            else:
                optimizer.step()

    def _closure(self) -> Tensor:
        with torch.enable_grad():
            self.zero_grad()
            loss = self.loss()
            self.backward(loss)
            self.method.transform_gradients(self.model)
        return loss

    def automatic(self) -> None:
        if all(isinstance(optimizer, torch.optim.LBFGS) for optimizer in self.optimizers):
            self.optimizer_step()
            return
        self.zero_grad()
        self.backward(self.loss())
        self.optimizer_step()

    def train(self, batch: Batch) -> None:
        self.batch = self.method.transform_batch(batch)
        with self.counter:
            self.method.training_step(self)
        epoch = self.plan.epoch
        self.plan.batch += 1
        self.plan.examples += len(self.batch.indices)
        self.plan.spent += len(self.batch.indices)
        if self.plan.epoch > epoch:
            self.method.on_epoch_end(self.model)


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    return build_plan


@pytest.fixture
def make_method() -> Callable[..., Method]:
    """A submission's method by slug, at its defaults but for the values given."""
    return lambda slug, family="classification", **values: build_method(
        SUBMISSIONS / slug / "method.py", family, **values
    )


@pytest.fixture
def make_step() -> type[FakeStep]:
    return FakeStep


@pytest.fixture
def batch() -> Batch:
    """Five samples of four features, three classes."""
    generator = torch.Generator().manual_seed(3)
    return Batch(
        inputs=torch.randn(5, 4, generator=generator),
        targets=torch.tensor([0, 1, 2, 1, 0]),
        indices=torch.tensor([7, 0, 19, 4, 11]),
    )
