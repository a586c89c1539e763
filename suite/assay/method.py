"""The contract of a method: the base class of every method.py. Importing it imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from assay.cards import HOOKS, Access, Family
from assay.space import Hyperparameters, Space, space_of
from assay.task import TaskLoss

if TYPE_CHECKING:
    from torch import Generator, Tensor, device, nn
    from torch.optim import Optimizer


@dataclass(slots=True)
class Batch:
    """One batch of training data; not frozen, because one is made for every step."""

    inputs: Tensor
    """(n, ...) decoded and augmented."""
    targets: Tensor
    """(n,) given labels; or (n, classes) after a transform_batch that mixes them."""
    indices: Tensor
    """(n,) positions in the training set; a sample always has the same index."""


@dataclass
class Plan:
    """What a hook may know about the run. The engine updates `batch`."""

    family: Family
    total_batches: int
    batches_per_epoch: int
    batch_size: int
    n_examples: int
    """Size of the training set."""
    n_classes: int
    """Classes of a labelled task; 0 for functions."""
    device: device
    generator: Generator
    """The method's own random numbers (CPU generator, seeded per run)."""
    order_generator: Generator
    """Random numbers for `sampler` only, so that a resumed run can draw the same batches again."""
    access: frozenset[Access]
    """Extra access that the card asked for and the task granted."""
    schedule: Callable[[int], float]
    """The task's learning-rate factor before batch t (0..total_batches-1)."""
    loss: TaskLoss
    """The task's loss."""
    reference_optimizer: Callable[[Iterable[Any]], Optimizer]
    """Makes the task's reference optimizer for parameters or parameter groups."""
    task_transform: Callable[[nn.Module], nn.Module]
    """The task's own change of the model, for methods that do not replace it."""
    recipe: Mapping[str, Any]
    """Public facts of the task (for example weight_bits, activation_bits)."""
    class_counts: Tensor | None = None
    """(classes,) training examples per given label; None without access to it."""
    noise_rate: float | None = None
    """Share of wrong labels; None without access to it."""
    batch: int = 0
    """Batches trained so far."""

    @property
    def epoch(self) -> int:
        """Full passes over the training set so far."""
        return self.batch // self.batches_per_epoch

    @property
    def total_epochs(self) -> int:
        """Epochs in the budget, rounded up."""
        return -(-self.total_batches // self.batches_per_epoch)

    @property
    def elapsed(self) -> float:
        """Share of the budget used, 0..1."""
        return self.batch / self.total_batches


@dataclass(frozen=True)
class TrainingSet:
    """The training examples, as a sampler sees them."""

    inputs: Tensor
    """(n, ...) as stored."""
    targets: Tensor
    """(n,) given labels."""

    def shuffled(self, generator: Generator, batch_size: int) -> Sequence[Tensor]:
        """One epoch: every index once in random order, in full batches."""
        import torch

        n = len(self.targets)
        order = torch.randperm(n, generator=generator)
        batches: Sequence[Tensor] = torch.split(order[: n - n % batch_size], batch_size)
        return batches


class Calibration(Protocol):
    """Training inputs for `finalize_model`: no labels, no augmentation."""

    def batches(self, n_batches: int) -> Iterator[Tensor]:
        """The first `n_batches` batches of decoded training inputs, always the same."""


class Step(Protocol):
    """One batch, for a method that drives its own training step."""

    model: nn.Module
    batch: Batch
    optimizers: Sequence[Optimizer]
    plan: Plan

    def forward(self, inputs: Tensor | None = None) -> Tensor:
        """Outputs of the model for the batch's inputs, or for others of the same shape."""

    def loss(self, outputs: Tensor | None = None) -> Tensor:
        """The method's own compute_loss on this batch (running `forward` if needed)."""

    def backward(self, loss: Tensor, **options: Any) -> None:
        """`loss.backward(**options)`, counted as one forward-backward pass."""

    def count_pass(self, n: int = 1) -> None:
        """Count passes made by other means than `backward` (torch.func, autograd.grad)."""

    def zero_grad(self) -> None:
        """Clear the gradients of every optimizer's parameters."""

    def optimizer_step(self) -> None:
        """transform_gradients, then `step()` of every optimizer."""

    def automatic(self) -> None:
        """zero_grad, loss, backward, optimizer_step: the default of training_step."""


class Method:
    """A training method. Subclass it in method.py and override the hooks you need.

    Every hook has a default; one that is not overridden costs nothing. The engine builds a fresh
    instance for each run, calls `transform_model` and `configure_optimizer` once, then for each
    batch `transform_batch`, `training_step` (or: `compute_loss`, backward, `transform_gradients`,
    optimizer step), and before every scored snapshot `finalize_model`.

    Must: draw random numbers from `plan.generator` only, never from the global state of torch,
    numpy or Python; keep everything it learns in the model, its optimizers or `state_dict`.
    May: declare other hyperparameters for some families (`hyperparameters_by_family`).
    """

    class Hyperparameters(Hyperparameters):
        """Hyperparameters; a subclass declares fields with ranges (see assay.space)."""

    hyperparameters_by_family: ClassVar[Mapping[Family, type[Hyperparameters]]] = {}
    """Hyperparameters in families for which defaults or ranges differ from those above."""

    def __init__(self, hyperparameters: Any) -> None:
        self.hyperparameters = hyperparameters

    def transform_model(self, model: nn.Module, plan: Plan) -> nn.Module:
        """The model to train, for example with quantizers. Default: the task's own change."""
        return plan.task_transform(model)

    def configure_optimizer(self, model: nn.Module, plan: Plan) -> Optimizer | Sequence[Optimizer]:
        """One optimizer or several. Default: the task's reference optimizer."""
        return plan.reference_optimizer(model.parameters())

    def lr_factor(self, batch: int, plan: Plan) -> float:
        """Factor on all learning rates before `batch`, 0..total_batches-1. Default: the task's."""
        return plan.schedule(batch)

    def sampler(self, dataset: TrainingSet, plan: Plan) -> Iterator[Tensor]:
        """An endless stream of index tensors, one per batch, drawn with `plan.order_generator`.

        Default: shuffled epochs without replacement; the last, incomplete batch is dropped.
        """
        while True:
            yield from dataset.shuffled(plan.order_generator, plan.batch_size)

    def transform_batch(self, batch: Batch, plan: Plan) -> Batch:
        """The batch to train on. Default: the same."""
        return batch

    def compute_loss(self, outputs: Tensor, batch: Batch, task_loss: TaskLoss) -> Tensor:
        """A scalar to minimise. Default: the task's loss."""
        return task_loss(outputs, batch.targets)

    def transform_gradients(self, model: nn.Module, plan: Plan) -> None:
        """Change `.grad` in place, between backward and the optimizer's step."""

    def training_step(self, step: Step) -> None:
        """One batch, driven by the method. Default: `step.automatic()`."""
        step.automatic()

    def on_epoch_end(self, model: nn.Module, plan: Plan) -> None:
        """Called after every `plan.batches_per_epoch` batches."""

    def callbacks(self) -> Sequence[Any]:
        """Lightning callbacks to add to the trainer."""
        return ()

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """The model to score. `model` itself must stay as it is: training goes on with it."""
        return model

    def state_dict(self) -> dict[str, Any]:
        """State beside model and optimizers that a resumed run needs (averages, for example)."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def overridden_hooks(method: type[Method]) -> list[str]:
    """Names of the hooks that `method` defines itself, in firing order."""
    return [name for name in HOOKS if getattr(method, name) is not getattr(Method, name)]


def hyperparameters_for(method: type[Method], family: Family) -> type[Hyperparameters]:
    """The Hyperparameters class that `method` uses in `family`."""
    return method.hyperparameters_by_family.get(family, method.Hyperparameters)


def method_space(method: type[Method], family: Family) -> Space:
    """The search space of `method` in `family`, as data."""
    return space_of(hyperparameters_for(method, family))
