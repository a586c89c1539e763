"""The contract of a task: the base class of every task.py. Importing it imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from assay.cards import TaskCard
from assay.identity import derive_seed
from assay.space import Hyperparameters

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn
    from torch.optim import Optimizer

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Seeds:
    """Seeds of one repetition of one task, by name; only the scorer knows them."""

    root: str
    task: str
    repetition: int

    def __getitem__(self, name: str) -> int:
        return derive_seed(self.root, self.task, self.repetition, name)


@dataclass(frozen=True)
class Problem:
    """The data of one repetition of a task: what the worker gets, and what stays sealed."""

    train: Tensors
    """For the worker: `inputs` (n, ...), `targets` (n,) as given (noisy if the task says so), and
    whatever `build_model` needs. Never val or test labels, test inputs or clean labels, nor what
    was drawn of a function."""
    starts: Sequence[Tensors]
    """Initial weights; the method is trained from each in turn. One, except for functions."""
    sealed: Tensors = field(default_factory=dict)
    """For the scorer only."""


@dataclass(frozen=True)
class Snapshot:
    """Weights as the worker exported them at one evaluation point."""

    batch: int
    """Batches trained so far."""
    passes: int
    """Forward-backward passes so far, as counted in the worker."""
    example_passes: int
    """Passes times the examples in each so far."""
    state: Tensors


@dataclass(frozen=True)
class Scores:
    """The scores of a run, in the unit and direction of the card's metric."""

    val: float
    """On validation at the selected snapshot; of a repetition's points the best on it counts."""
    test: float
    """On test at the same snapshot; the result of the run."""
    test_last: float
    """On test at the last snapshot."""
    test_oracle: float
    """On test at the best snapshot on test: for diagnosis, never a result."""
    selected: int
    """Index of the selected snapshot."""
    curve: Sequence[Mapping[str, float]]
    """One mapping per snapshot: at least `batch`, `val`, `test`; `x`, `y` where a function of one
    or two unknowns was evaluated."""
    secondary: Mapping[str, float] = field(default_factory=dict)
    """Further metrics on test at the selected snapshot."""


class TaskLoss(Protocol):
    """The task's loss, with torch's `reduction` convention."""

    def __call__(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Loss of `outputs` (n, ...) against `targets` (n,): a scalar, or (n,) for "none"."""


class Task(ABC):
    """A data set, a model, a metric and a budget.

    Must define: `prepare`, `build_model`, `score`. May define the rest.
    `prepare` and `score` run in the trusted scorer; `build_model`, `loss`, `augment`, `project`,
    `transform_model`, `export` and `reference_optimizer` also run in the worker, where no sealed
    data exist. Most tasks subclass a family of assay.families and add a few lines.
    """

    class Reference(Hyperparameters):
        """Hyperparameters of the reference optimizer; a subclass adds ranges."""

    def __init__(self, card: TaskCard) -> None:
        self.card = card

    @abstractmethod
    def prepare(self, seeds: Seeds) -> Problem:
        """Draw the split, the initial weights and everything else random of one repetition."""

    @abstractmethod
    def build_model(self, train: Tensors) -> nn.Module:
        """The network, with weights not set; worker and scorer each build their own."""

    def model_for(self, problem: Problem, start: int) -> nn.Module:
        """The network that is trained from one start, where sealed data are at hand."""
        return self.build_model(problem.train)

    @abstractmethod
    def score(self, problem: Problem, runs: Sequence[Sequence[Snapshot]]) -> Scores:
        """Score the snapshots (one sequence per start) against sealed data.

        Raises:
            BadWeights: they break a rule of the task other than `layout`; the run has failed.
        """

    def layout(self, problem: Problem) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Type (as safetensors names it) and shape of each tensor of a snapshot, by name.

        Default: those of the weights.
        """
        from safetensors.torch import _TYPES

        names = {dtype: name for name, dtype in _TYPES.items()}
        state = self.model_for(problem, 0).state_dict()
        return {key: (names[value.dtype], tuple(value.shape)) for key, value in state.items()}

    def loss(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Cross-entropy of logits (n, classes) and labels (n,)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets, reduction=reduction)

    def decode(self, inputs: Tensor) -> Tensor:
        """Stored inputs (possibly uint8) as the model takes them, (n, ...) float."""
        return inputs

    def augment(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Randomly augment a decoded batch, in the same way for every method. Default: none."""
        return inputs

    def project(self, model: nn.Module) -> None:
        """Restore constraints on weights; called after every optimizer step. Default: nothing."""

    def transform_model(self, model: nn.Module) -> nn.Module:
        """The model to train, for methods that do not change it themselves. Default: the same."""
        return model

    def export(self, model: nn.Module) -> dict[str, Tensor]:
        """The tensors of a snapshot, matching `layout`. Default: the weights."""
        return dict(model.state_dict())

    def reference_optimizer(self, parameters: Iterable[Any], reference: Any) -> Optimizer:
        """The optimizer of methods that define none; `reference` is a `Reference`."""
        raise NotImplementedError(f"task {self.card.slug} supplies no reference optimizer")


def untrained_states(task: Task, problem: Problem) -> list[dict[str, Tensor]]:
    """What a method that trains nothing would hand over, per start."""
    import torch

    states = []
    for number, start in enumerate(problem.starts):
        model = task.model_for(problem, number)
        model.load_state_dict(dict(start))
        model = task.transform_model(model)
        with torch.no_grad():
            model(task.decode(problem.train["inputs"][: task.card.budget.batch_size]))
            exported = task.export(model.eval())
            states.append({name: t.clone().contiguous() for name, t in exported.items()})
    return states


def untrained_runs(task: Task, problem: Problem) -> list[list[Snapshot]]:
    """`untrained_states` as the last snapshots of a run."""
    budget = task.card.budget
    return [
        [Snapshot(budget.batches, budget.batches, budget.example_passes, state)]
        for state in untrained_states(task, problem)
    ]
