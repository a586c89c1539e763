"""Runs of a method on worker.parity_problem, alone and beside its equations; how they differ."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.cards import Family
from assay.errors import PluginError
from assay.method import Method
from assay.plugins.files import EQUATIONS
from assay.worker.findings import explained
from assay.worker.parity_problem import SEEDS, Array, Draws, ParityTask, ProblemInNumpy, Setup
from assay.worker.session import Point, Session

TINY = 1e-300
"""In place of a way of no length."""


@dataclass(frozen=True)
class Optimized:
    """A method, with the values of its hyperparameters."""

    method: type[Method]
    values: Any
    family: Family

    def session(self, setup: Setup, seed: int = SEEDS.method) -> tuple[ParityTask, Session]:
        """A session of the method on the problem."""
        made = self.method(self.values)
        task = ParityTask(setup, self.family, _passes(made))
        train = task.examples()
        session = Session(
            task=task,
            method=made,
            access=frozenset(),
            reference={},
            train=train,
            start=task.build_model(train).state_dict(),
            seeds=SEEDS.model_copy(update={"method": seed}),
            device=torch.device("cpu"),
        )
        return task, session

    def run(
        self,
        setup: Setup = Setup(),  # noqa: B008  (frozen)
        *,
        seed: int = SEEDS.method,
        prepare: Callable[[Session], None] = lambda _: None,
    ) -> list[list[Array]]:
        """The weights that would be scored after each step."""
        _, session = self.session(setup, seed)
        prepare(session)
        return [_weights(point) for point in points_of(session, setup.n_steps)]


def _passes(method: Method) -> float:
    """The passes that a batch takes, before there is a plan that they could depend on."""
    try:
        return max(1.0, float(method.passes_per_batch))
    except Exception:  # whatever is wrong with it, the session says
        return 1.0


def points_of(session: Session, n_steps: int) -> Iterator[Point]:
    """The evaluation point after each step, until the budget is spent."""
    for _ in range(n_steps):
        found: list[Point] = []
        session.train_batches(1, found.append)
        yield found[-1] if found else session.take_point()
        if session.stopped:
            return


def _weights(point: Point) -> list[Array]:
    return [point.state[name].double().numpy() for name in ("matrix", "vector")]


@dataclass
class Difference:
    """How far two runs are apart, and where most."""

    share: float = 0.0
    """The largest difference of a weight, as a share of the longest way that a weight went."""
    where: str = ""


def difference(
    one: Sequence[Sequence[Array]], other: Sequence[Sequence[Array]], start: Sequence[Array]
) -> Difference:
    """The largest difference between two runs, step by step.

    Args:
        one: the matrix and the vector after each step.
        other: likewise; its way is the measure.
        start: the matrix and the vector before the first.
    """
    way = max(
        (float(np.abs(w - s).max()) for step in other for w, s in zip(step, start, strict=True)),
        default=0.0,
    )
    found = Difference()
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False), 1):
        for name, a, b in zip(("matrix", "vector"), mine, theirs, strict=True):
            apart = float(np.abs(a - b).max())
            share = apart / max(way, TINY) if np.isfinite(apart) else float("inf")
            if share > found.share:
                found = Difference(share, f"step {number}, {name}")
    if len(one) != len(other):
        return Difference(float("inf"), f"{len(one)} and {len(other)} steps")
    return found


def load_steps(path: Path) -> Callable[..., Iterator[Any]]:
    """The function `steps` of a file of equations.

    Raises:
        PluginError: it cannot be imported, or has no such function.
    """
    spec = importlib.util.spec_from_file_location(f"assay_equations_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"{path.name} cannot be imported: {explained(error, path)}") from error
    steps = getattr(module, "steps", None)
    if not callable(steps):
        raise PluginError(f"{path.name}: expected a function steps(problem, w, h)")
    found: Callable[..., Iterator[Any]] = steps
    return found


def follow(
    optimized: Optimized,
    steps: Callable[..., Iterator[Any]],
    path: Path,
    setup: Setup = Setup(),  # noqa: B008  (frozen)
) -> Difference:
    """How far a method is from its equations, which take each step after it.

    Raises:
        PluginError: the equations give something else than weights.
    """
    draws = Draws()
    with draws:
        task, session = optimized.session(setup)
    problem = ProblemInNumpy(setup, session.plan.total_batches, draws)
    start = setup.start()
    visited, expected = [], []
    equations: Iterator[Any] | None = None
    for number in range(1, setup.n_steps + 1):
        if session.stopped:
            break
        with draws:
            visited.append(_weights(next(points_of(session, 1))))
        assert task.batch is not None
        problem.batch = task.batch.numpy()
        try:
            if equations is None:
                equations = iter(steps(problem, [part.copy() for part in start], optimized.values))
            expected.append(_as_weights(next(equations), setup, number))
        except StopIteration:
            raise PluginError(f"{path.name}: steps ended after {number - 1} steps") from None
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(explained(error, path)) from error
        draws.kept.clear()
    return difference(visited, expected, start)


def _as_weights(given: Any, setup: Setup, number: int) -> list[Array]:
    """What equations yielded, copied.

    Raises:
        PluginError: it is no matrix and vector of the problem's shapes.
    """
    parts = [np.array(part, dtype=np.float64) for part in given]
    shapes = tuple(part.shape for part in parts)
    if shapes != setup.shapes:
        raise PluginError(
            f"{EQUATIONS}: step {number} yields arrays of shapes {shapes}, expected {setup.shapes}"
        )
    return parts
