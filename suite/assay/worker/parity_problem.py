"""The small problem on which an optimizer is held against its equations, in torch and in numpy.

An example has coefficients c and a weight m. With x for all weights in a row, its loss is

    m [ sum_i k_i (x_i - c_i)^2 / 2 + sum_i cos(x_i + c_i) + (a . x)^2 / 2 ],

and the loss of a batch is the mean over its examples. The Hessian is neither diagonal nor positive
everywhere. The batches of the first epoch have very different m, because rules that differ in where
they add eps, or in what they keep of the largest gradient so far, differ only then.

The two are written out apart from each other, so that each is a check of the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.optim import SGD, Optimizer
from torch.overrides import TorchFunctionMode

from assay.cards import Family, TaskCard
from assay.errors import PluginError
from assay.messages.worker import WorkerSeeds
from assay.method import TrainingSet
from assay.task import Problem, Scores, Seeds, Snapshot, Task, Tensors

Array = NDArray[np.float64]
N_STEPS, BATCH_SIZE = 6, 8
SEEDS = WorkerSeeds(order=1, augment=2, method=3)
REFERENCE_LR = 0.1
MAGNITUDES = (1e-4, 1.0, 1.0, 0.01, 0.3, 0.3)
"""m of the examples in each batch of the first epoch."""
RANDOM = frozenset(
    {
        "bernoulli", "bernoulli_", "cauchy_", "exponential_", "multinomial", "normal", "normal_",
        "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "random_",
        "uniform_",
    }
)  # fmt: skip
"""Functions of torch whose results are random, but randperm, which orders the examples."""


@dataclass(frozen=True)
class Setup:
    """A variant of the problem."""

    shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((4, 3), (5,))
    """Of the weights called matrix and vector."""
    scale: float = 1.0
    """Factor on the loss."""
    diagonal: bool = False
    """Whether only the first of the three sums is there: a diagonal, constant Hessian."""
    even: bool = False
    """Whether m is 1 in every example."""
    unused: bool = False
    """Whether there is a third parameter, `unused`, that no loss depends on."""
    n_steps: int = N_STEPS

    @property
    def n(self) -> int:
        """Number of weights that the loss depends on."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def curvatures(self) -> Array:
        """The k_i."""
        return np.linspace(0.5, 3.0, self.n)

    def coupling(self) -> Array:
        """The vector a."""
        return 0.3 * np.cos(np.arange(self.n))

    def start(self) -> list[Array]:
        """Weights before the first step."""
        drawn = np.random.default_rng(5).normal(size=self.n)
        return _split(drawn, self.shapes)


def _split(x: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """The parts of x (n,) or (m, n) along its last axis, each in its shape."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(x, ends[:-1], axis=-1)
    return [part.reshape(*x.shape[:-1], *shape) for part, shape in zip(parts, shapes, strict=True)]


class _Weights(nn.Module):
    """The weights; forward takes examples (m, n + 1) and returns their losses (m,)."""

    def __init__(self, setup: Setup, note: Callable[[], None]) -> None:
        super().__init__()
        matrix, vector = setup.start()
        self.matrix = nn.Parameter(torch.from_numpy(matrix))
        self.vector = nn.Parameter(torch.from_numpy(vector))
        if setup.unused:
            self.unused = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
        self._setup, self._note = setup, note
        self._k = torch.from_numpy(setup.curvatures())
        self._a = torch.from_numpy(setup.coupling())

    def forward(self, inputs: Tensor) -> Tensor:
        x = torch.cat([self.matrix.flatten(), self.vector.flatten()])
        if x.requires_grad and not torch._C._are_functorch_transforms_active():
            x.register_hook(self._look_at)  # type: ignore[no-untyped-call]
        magnitude, c = inputs[:, 0], inputs[:, 1:]
        value = (self._k * (x - c) ** 2).sum(1) / 2
        if not self._setup.diagonal:
            value = value + torch.cos(x + c).sum(1) + (self._a * x).sum() ** 2 / 2
        result: Tensor = self._setup.scale * magnitude * value
        return result

    def _look_at(self, gradient: Tensor) -> None:
        if gradient.requires_grad:  # its own graph is kept: somebody wants second derivatives
            self._note()


class ParityTask(Task):
    """The problem as a task of a family, so that a method meets what it meets in the engine."""

    def __init__(self, setup: Setup, family: Family, passes: float) -> None:
        """The task.

        Args:
            setup: which variant.
            family: whose task it pretends to be.
            passes: that a batch is expected to take.
        """
        batches = max(1, round(setup.n_steps * passes))
        super().__init__(_card(family, batches))
        self.setup = setup
        self.batch: Tensor | None = None
        """The examples of the last batch."""
        self.second_order = False
        """Whether second derivatives were taken."""

    def _note(self) -> None:
        self.second_order = True

    def examples(self) -> dict[str, Tensor]:
        """What a session gets as its training set."""
        n = BATCH_SIZE * N_STEPS
        random = np.random.default_rng(8)
        inputs = torch.from_numpy(np.hstack([np.ones((n, 1)), random.normal(size=(n, 17))]))
        inputs = inputs[:, : self.setup.n + 1].contiguous()
        targets = torch.arange(n) % 2
        order = Generator().manual_seed(SEEDS.order)
        first_epoch = TrainingSet(inputs, targets).shuffled(order, BATCH_SIZE)
        for indices, magnitude in zip(first_epoch, MAGNITUDES, strict=True):
            inputs[indices, 0] = 1.0 if self.setup.even else magnitude
        return {"inputs": inputs, "targets": targets}

    def build_model(self, train: Tensors) -> nn.Module:
        return _Weights(self.setup, self._note)

    def loss(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """The mean of what the model gives; targets mean nothing."""
        if reduction == "none":
            return outputs
        return outputs.sum() if reduction == "sum" else outputs.mean()

    def augment(self, inputs: Tensor, generator: Generator) -> Tensor:
        """The same batch, which is noted."""
        self.batch = inputs
        return inputs

    def reference_optimizer(self, parameters: Iterable[Any], reference: Any) -> Optimizer:
        """Plain SGD, whose equations fit on a line."""
        return SGD(parameters, lr=REFERENCE_LR)

    def prepare(self, seeds: Seeds) -> Problem:
        raise NotImplementedError("its examples are always the same")

    def score(self, problem: Problem, runs: Sequence[Sequence[Snapshot]]) -> Scores:
        raise NotImplementedError("it is trained on, and scored by nobody")


def _card(family: Family, batches: int) -> TaskCard:
    facts: Mapping[str, Any] = {
        "slug": "parity",
        "version": 1,
        "title": "A small smooth problem",
        "summary": "Methods are held against their equations on it.",
        "family": family,
        "tier": "lite",
        "n_classes": 0 if family == "functions" else 2,
        "reference": "sgd",
        "access": ["sample_indices", "class_counts", "noise_rate"],
        "dataset": {"name": "none", "source": "made here", "licence": "none"},
        "model": {"name": "weights"},
        "metric": {"name": "loss", "direction": "minimize", "chance": 0.0, "margin": 0.01},
        "budget": {"batches": batches, "batch_size": BATCH_SIZE, "seconds": 60},
        "evaluation": {"points": min(batches, 200)},
        "schedule": "constant",
        "recipe": {"noise_rate": 0.0},
    }
    return TaskCard(**facts)


class Draws(TorchFunctionMode):
    """Keeps what torch's random functions return while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: deque[Array] = deque()
        self.n = 0
        """How many arrays were drawn."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in RANDOM and isinstance(result, Tensor):
            self.kept.append(result.detach().double().numpy().copy())
            self.n += 1
        return result


@dataclass
class ProblemInNumpy:
    """What equations.py gets as `problem`: the present step's batch, in numpy.

    Weights, gradients and vectors are lists of a matrix (4, 3) and a vector (5,), in float64.
    """

    setup: Setup
    total_steps: int
    """Batches that the run lasts."""
    draws: Draws
    batch: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """Examples (8, 18): m, then c."""
    reference_lr: float = REFERENCE_LR
    """Learning rate of the plain SGD under methods that configure no optimizer."""

    def value(self, w: Sequence[Array]) -> float:
        """The loss of the batch."""
        x, m, c = self._parts(w)
        value = 0.5 * ((x - c) ** 2) @ self.setup.curvatures()
        if not self.setup.diagonal:
            value = value + np.cos(x + c).sum(axis=1) + 0.5 * np.dot(self.setup.coupling(), x) ** 2
        return float(np.mean(m * value))

    def example_gradients(self, w: Sequence[Array]) -> list[Array]:
        """The gradient of each example's loss: (8, 4, 3) and (8, 5)."""
        x, m, c = self._parts(w)
        gradients = (x - c) * self.setup.curvatures()
        if not self.setup.diagonal:
            a = self.setup.coupling()
            gradients = gradients - np.sin(x + c) + a * np.dot(a, x)
        return _split(m[:, None] * gradients, self.setup.shapes)

    def gradient(self, w: Sequence[Array]) -> list[Array]:
        """The gradient of the batch's loss."""
        return [part.mean(axis=0) for part in self.example_gradients(w)]

    def hessian_product(self, w: Sequence[Array], v: Sequence[Array]) -> list[Array]:
        """The Hessian of the batch's loss times v."""
        x, m, c = self._parts(w)
        along = np.concatenate([np.ravel(part) for part in v])
        diagonal = np.broadcast_to(self.setup.curvatures(), c.shape)
        products = diagonal * along
        if not self.setup.diagonal:
            a = self.setup.coupling()
            products = (diagonal - np.cos(x + c)) * along + a * np.dot(a, along)
        return _split((m[:, None] * products).mean(axis=0), self.setup.shapes)

    def draw(self) -> Array:
        """The next array of random numbers that the method drew from torch in this step.

        Raises:
            PluginError: it drew no more.
        """
        if not self.draws.kept:
            raise PluginError("problem.draw(): the method drew no more random numbers in this step")
        return self.draws.kept.popleft()

    def _parts(self, w: Sequence[Array]) -> tuple[Array, Array, Array]:
        """The weights x (n,), m (8,) times the factor on the loss, and c (8, n)."""
        x = np.concatenate([np.ravel(part) for part in w])
        return x, self.setup.scale * self.batch[:, 0], self.batch[:, 1:]
