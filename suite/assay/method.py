"""The contract of a method: the base class of every method.py. Importing it imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from assay import space
from assay.cards import HOOKS, Access, Family
from assay.errors import PluginError
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
    """What every hook may know about the run, as `self.plan`; the engine keeps it up to date.

    The budget is a number of example-passes: forward-backward passes times the examples in them.
    """

    family: Family
    budget: int
    """Example-passes that the run may spend."""
    total_batches: int
    """Batches that the budget is expected to last: budget / (batch_size * passes_per_batch)."""
    batches_per_epoch: int
    """Full batches in one sweep over the training set."""
    batch_size: int
    n_examples: int
    """Size of the training set."""
    n_classes: int
    """Classes of a labelled task; 0 for functions."""
    device: device
    generator: Generator
    """The method's own random numbers (CPU generator, seeded per run)."""
    order_generator: Generator
    """Random numbers of `sampler`: the same for every method, so that all see the same order."""
    access: frozenset[Access]
    """What the task granted and the card asked for."""
    schedule: Callable[[float], float]
    """The task's learning-rate factor when the share `elapsed` of the budget is spent."""
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
    examples: int = 0
    """Examples drawn so far, repeats included."""
    spent: int = 0
    """Example-passes spent so far."""

    @property
    def epoch(self) -> int:
        """Full sweeps over the training set so far."""
        return self.examples // (self.batches_per_epoch * self.batch_size)

    @property
    def total_epochs(self) -> int:
        """Epochs that the budget is expected to last, rounded up."""
        return -(-self.total_batches // self.batches_per_epoch)

    @property
    def elapsed(self) -> float:
        """Share of the budget spent, 0..1."""
        return min(self.spent / self.budget, 1.0)


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
    """One batch, for a method that drives its own training step.

    Every call of autograd (`backward`, `torch.autograd.grad`, torch.func's transforms that use
    them) is counted as one forward-backward pass over the batch, wherever it is made. Tasks of the
    family functions count evaluations instead: a forward pass is one, with its gradient or without;
    the backward pass after it is free; each Hessian product is one more.
    """

    model: nn.Module
    batch: Batch
    optimizers: Sequence[Optimizer]

    def forward(self, inputs: Tensor | None = None) -> Tensor:
        """Outputs of the model for the batch's inputs, or for others of the same shape."""

    def loss(self, outputs: Tensor | None = None) -> Tensor:
        """The method's own compute_loss on this batch (running `forward` if needed)."""

    def backward(self, loss: Tensor, **options: Any) -> None:
        """`loss.backward(**options)`."""

    def micro_gradients(self, k: int) -> list[Tensor]:
        """Gradients of the method's loss on k equal parts of the batch: one pass over the batch.

        Where the batch does not divide by k, k is the largest smaller number that divides it.
        Batch norm sees the parts, one by one. `.grad` stays as it is.

        Returns:
            (k, ...) for each parameter, in the order of `model.parameters()`.
        """

    def count_pass(self, n: int = 1, examples: int | None = None) -> None:
        """Count work that autograd does not do: forward mode, finite differences.

        On functions every evaluation has been counted already, and this does nothing.

        Args:
            n: how many passes cost as much.
            examples: in each of them; default: those of the batch.
        """

    def zero_grad(self) -> None:
        """Clear the gradients of every optimizer's parameters."""

    def optimizer_step(self) -> None:
        """transform_gradients, then `step()` of every optimizer.

        An optimizer whose `step` demands a closure (L-BFGS) gets one that clears the gradients,
        computes the loss, calls backward and transform_gradients, and returns the loss.
        """

    def automatic(self) -> None:
        """zero_grad, loss, backward, optimizer_step: the default of training_step."""


class Method:
    """A training method. Subclass it in method.py and override the hooks you need.

    Every hook has a default; one that is not overridden costs nothing. The engine builds a fresh
    instance for each run, sets `plan`, calls `transform_model` and `configure_optimizer` once,
    then for each batch `transform_batch`, `training_step` (or: `compute_loss`, backward,
    `transform_gradients`, optimizer step), and before every scored snapshot `finalize_model`.
    Training ends after the batch in which the budget of example-passes is spent: two passes a
    batch are half the batches. A batch that goes far beyond it (more than a tenth, and than
    32 batches) fails the run.

    Must: keep all state in the instance, its model and its optimizers, never in the module.
    May: draw from `plan.generator` or from torch's global generator, which is seeded for each run;
    set `families` of hyperparameters (`hyperparameters_by_family`); in a single file without a
    card, say what it enters (`families`, `track`, `access`).
    """

    class Hyperparameters(space.Hyperparameters):
        """Hyperparameters; a subclass declares fields with ranges (see assay.space)."""

    hyperparameters_by_family: ClassVar[Mapping[Family, type[Hyperparameters]]] = {}
    """Hyperparameters in families for which defaults or ranges differ from those above."""

    plan: Plan
    """Set before the first hook is called."""

    def __init__(self, hyperparameters: Any) -> None:
        self.hyperparameters = hyperparameters

    @property
    def passes_per_batch(self) -> float:
        """Forward-backward passes that a batch is expected to take; `plan.total_batches` uses it.

        It may depend on `self.hyperparameters`. What is spent is counted, not declared.
        """
        return 1.0

    def transform_model(self, model: nn.Module) -> nn.Module:
        """The model to train: quantizers, reparametrisation. Default: what the task does."""
        return self.plan.task_transform(model)

    def configure_optimizer(self, model: nn.Module) -> Optimizer | Sequence[Optimizer]:
        """One optimizer or several. Default: the task's reference optimizer."""
        return self.plan.reference_optimizer(model.parameters())

    def lr_factor(self, elapsed: float) -> float:
        """Factor on every group's learning rate, `elapsed` in [0, 1). Default: the task's."""
        return self.plan.schedule(elapsed)

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        """An endless stream of index tensors, one per batch, drawn with `plan.order_generator`.

        Default: shuffled epochs without replacement; the last, incomplete batch is dropped.
        """
        while True:
            yield from dataset.shuffled(self.plan.order_generator, self.plan.batch_size)

    def transform_batch(self, batch: Batch) -> Batch:
        """The batch to train on. Default: the same."""
        return batch

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """A scalar to minimise. Default: the task's loss, `self.plan.loss`."""
        return self.plan.loss(outputs, batch.targets)

    def transform_gradients(self, model: nn.Module) -> None:
        """Change `.grad` in place, between backward and the optimizer's step."""

    def training_step(self, step: Step) -> None:
        """One batch, driven by the method. Default: `step.automatic()`."""
        step.automatic()

    def on_epoch_end(self, model: nn.Module) -> None:
        """Called after every full sweep's worth of examples."""

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """The model to score. `model` itself must stay as it is: training goes on with it."""
        return model


def overridden_hooks(method: type[Method]) -> list[str]:
    """Names of the hooks that `method` defines itself, in firing order."""
    return [name for name in HOOKS if getattr(method, name) is not getattr(Method, name)]


def hyperparameters_for(method: type[Method], family: Family) -> type[Hyperparameters]:
    """The Hyperparameters class that `method` uses in `family`.

    Raises:
        PluginError: it is no such class.
    """
    found: Any = method.hyperparameters_by_family.get(family, method.Hyperparameters)
    if not (isinstance(found, type) and issubclass(found, space.Hyperparameters)):
        name = found.__qualname__ if isinstance(found, type) else f"{found!r:.60}"
        raise PluginError(f"{name} is no class that derives from Method.Hyperparameters")
    return found


def method_space(method: type[Method], family: Family) -> Space:
    """The search space of `method` in `family`, as data."""
    return space_of(hyperparameters_for(method, family))
