"""A method under test and the toy it is tried on, set up as the engine would set them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from assay.cards import Access
from assay.families.functions import Functions
from assay.messages.worker import WorkerSeeds
from assay.method import Method
from assay.space import Value
from assay.task import Problem, Task
from assay.worker.session import Point, Session
from assay.worker.training import train


@dataclass(frozen=True)
class Toy:
    """A family's toy with one repetition of its problem."""

    task: Task
    problem: Problem

    def changed(self, task: Task) -> Toy:
        """The same problem with another task of the family."""
        return Toy(task, self.problem)


@dataclass
class Trained:
    """One finished run on a toy."""

    session: Session
    points: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class ProbedMethod:
    """The method under test, as the engine would set it up."""

    method: type[Method]
    source: Path
    access: frozenset[Access]
    values: Any

    def session(
        self,
        toy: Toy,
        *,
        values: Any = None,
        bare: bool = False,
        reference: Mapping[str, Value] | None = None,
    ) -> Session:
        """A session of the method, or of the default method where `bare`, on a toy."""
        default = Method(Method.Hyperparameters())
        return Session(
            task=toy.task,
            method=default if bare else self.method(values or self.values),
            access=self.access,
            reference=reference or {},
            train=toy.problem.train,
            start=toy.problem.starts[0],
            seeds=WorkerSeeds(order=1, augment=2, method=3),
            device=torch.device("cpu"),
            oracle=toy.task.oracle(toy.problem, 0) if isinstance(toy.task, Functions) else None,
        )

    def trained(self, toy: Toy, prepare: Callable[[Session], None] = lambda _: None) -> Trained:
        """A whole run."""
        trained = Trained(self.session(toy))
        prepare(trained.session)
        train([trained.session], lambda _, point: trained.points.append(point))
        return trained
