"""One method on one task from one start: its model, its optimizers and the steps they take.

A session trains the batches that it is told to; assay.worker.training says which and when.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from assay.cards import HOOKS, Access
from assay.errors import PluginError
from assay.families.oracle import BudgetSpent, Oracle, digest_of
from assay.families.oracle_model import OracleModel
from assay.messages.worker import WorkerSeeds
from assay.method import Batch, Method, TrainingSet
from assay.task import Task
from assay.worker import hook_returns
from assay.worker.micro_batches import micro_gradients
from assay.worker.nudge import Nudge
from assay.worker.pass_counter import CallCounter, PassCounter
from assay.worker.plans import plan_of, total_batches


class Diverged(Exception):
    """A loss or a weight is not finite."""


@dataclass(frozen=True)
class Point:
    """One evaluation point: what was spent up to it, and the weights to score."""

    batch: int
    passes: int
    example_passes: int
    seconds: float
    train_loss: float | None
    state: dict[str, Tensor]


class _Calibration:
    """The training inputs, decoded, in stored order (see method.Calibration)."""

    def __init__(self, task: Task, inputs: Tensor, batch_size: int) -> None:
        self._task, self._inputs, self._batch_size = task, inputs, batch_size

    def batches(self, n_batches: int) -> Iterator[Tensor]:
        for chunk in torch.split(self._inputs, self._batch_size)[:n_batches]:
            yield self._task.decode(chunk.clone())  # a method may change what it gets


class _Step:
    """See method.Step."""

    batch: Batch

    def __init__(self, session: Session) -> None:
        self._session = session
        self.model = session.model
        self.optimizers: Sequence[Optimizer] = session.optimizers
        self._compute_loss = session.method.compute_loss
        self._transform = session.hook("transform_gradients")
        self._closures = [_needs_closure(optimizer) for optimizer in session.optimizers]
        self._any_closure = any(self._closures)
        self.count_pass = session.counter.claim

    def forward(self, inputs: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.model(self.batch.inputs if inputs is None else inputs))

    def loss(self, outputs: Tensor | None = None) -> Tensor:
        if outputs is None:
            outputs = self.model(self.batch.inputs)
        loss = self._compute_loss(outputs, self.batch)
        self._session.note_loss(loss)
        return loss

    def backward(self, loss: Tensor, **options: Any) -> None:
        loss.backward(**options)  # type: ignore[no-untyped-call]

    def micro_gradients(self, k: int) -> list[Tensor]:
        gradients, losses = micro_gradients(self.model, self.batch, self._compute_loss, k)
        self._session.note_loss(losses.mean())
        return gradients

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def optimizer_step(self) -> None:
        self._transform_gradients()
        if not self._any_closure:
            for optimizer in self.optimizers:
                optimizer.step()
            return
        for optimizer, wanted in zip(self.optimizers, self._closures, strict=True):
            optimizer.step(self._closure) if wanted else optimizer.step()  # type: ignore[arg-type]

    def _closure(self) -> Tensor:
        with torch.enable_grad():
            self.zero_grad()
            loss = self.loss()
            self.backward(loss)
            self._transform_gradients()
        return loss

    def _transform_gradients(self) -> None:
        if self._transform is not None:
            hook_returns.expect_nothing(
                self._transform(self.model),
                "transform_gradients",
                "change the parameters' `.grad` in place",
            )

    def automatic(self) -> None:
        if all(self._closures):  # they compute the gradients themselves
            self.optimizer_step()
            return
        self.zero_grad()
        self.backward(self.loss())
        self.optimizer_step()


@dataclass
class _Losses:
    """Losses since the last evaluation point, as tensors: reading one would wait for the device."""

    pending: list[Tensor] = field(default_factory=list)
    total: float = 0.0
    n: int = 0
    first: float | None = None

    def settle(self, batch: int) -> None:
        if not self.pending:
            return
        values = torch.stack(self.pending).double()
        self.pending.clear()
        if not bool(torch.isfinite(values).all()):
            raise Diverged(f"the loss was not finite at or before batch {batch}")
        if self.first is None:
            self.first = float(values[0])
        self.total += float(values.sum())
        self.n += len(values)

    def mean(self) -> float | None:
        """Mean since the last call; None if no loss was noted."""
        mean = self.total / self.n if self.n else None
        self.total, self.n = 0.0, 0
        return mean


class Session:
    """One method on one task from one start."""

    def __init__(
        self,
        *,
        task: Task,
        method: Method,
        access: frozenset[Access],
        reference: Mapping[str, Any],
        train: Mapping[str, Tensor],
        start: Mapping[str, Tensor],
        seeds: WorkerSeeds,
        device: torch.device,
        oracle: Oracle | None = None,
        thresholds: Sequence[int] | None = None,
        nudge: Nudge | None = None,
    ) -> None:
        card = task.card
        self.task, self.method, self.device = task, method, device
        self.inputs = train["inputs"].to(device)
        self.targets = train["targets"].to(device)
        self.global_seed = seeds.method
        _seed_global(self.global_seed, device)
        self._refuse_assigned_hooks()
        if len(self.targets) < card.budget.batch_size:
            raise PluginError(
                f"task {card.slug} has {len(self.targets)} training examples, "
                f"expected at least one batch of {card.budget.batch_size}"
            )
        self._augment_generator = torch.Generator(device).manual_seed(seeds.augment)
        self._oracle = oracle
        self.counter = PassCounter() if oracle is None else CallCounter(oracle)
        self.counter.examples = card.budget.batch_size
        self.seconds = 0.0
        """In training so far, evaluation excluded."""
        self.plan = method.plan = plan_of(task, access, reference, self.targets, seeds, device)
        with self.counter:
            self.plan.total_batches = total_batches(method, self.plan)
        self._losses = _Losses()
        if oracle is None:
            model = task.build_model(train)
            model.load_state_dict(start)
        else:
            model = OracleModel(oracle, start)
        with self.counter:
            transformed: Any = method.transform_model(model.to(device).train())
            hook_returns.expect(transformed, nn.Module, "transform_model")
            self.model: nn.Module = transformed.to(device)
            self.counter.watch(self.model)
            configured: Any = method.configure_optimizer(self.model)
            self.optimizers = hook_returns.optimizers_of(configured)
            _switch(self.optimizers, "train")
            self._stream = hook_returns.stream_of(
                method.sampler(TrainingSet(self.inputs, self.targets))
            )
        self._refuse_assigned_hooks()
        self.plan.spent = self.counter.example_passes
        self._base_lrs: list[tuple[dict[str, Any], float | None]] = []
        self.calibration = _Calibration(task, self.inputs, card.budget.batch_size)
        self._thresholds = list(thresholds or card.evaluation.thresholds(card.budget))
        self._step = _Step(self)
        self._nudge = nudge
        self._decode, self._augment = (_own(task, Task, name) for name in ("decode", "augment"))
        self._transform_batch = self.hook("transform_batch")
        self.stopped = False

    def hook(self, name: str) -> Any:
        """The method's hook of that name, or None where the method does not override it."""
        defined = getattr(type(self.method), name) is not getattr(Method, name)
        return getattr(self.method, name) if defined else None

    def _refuse_assigned_hooks(self) -> None:
        """Refuse hooks on the instance: whoever asks the class what it overrides sees none."""
        if assigned := sorted(vars(self.method).keys() & set(HOOKS)):
            raise PluginError(f"{assigned[0]} was assigned to self: define it in the class")

    def note_loss(self, loss: Tensor) -> None:
        """Keep a loss for the curve and the divergence guard.

        Raises:
            PluginError: it is not a scalar tensor.
        """
        self._losses.pending.append(hook_returns.expect_scalar(loss).detach())

    def train_batches(self, n_batches: int, on_point: Callable[[Point], None]) -> None:
        """Train up to `n_batches` batches; `stopped` says that the budget is spent.

        Raises:
            Diverged: a loss or an exported weight is not finite.
            PluginError: a hook breaks its contract.
        """
        if self.stopped:
            return
        if self.plan.batch == 0:
            _seed_global(self.global_seed, self.device)
        plan, counter, method, step = self.plan, self.counter, self.method, self._step
        lr_factor = method.lr_factor
        project = _own(self.task, Task, "project")
        epoch_end, training_step = self.hook("on_epoch_end"), self.hook("training_step")
        began = time.perf_counter()
        for _ in range(n_batches):
            with counter:
                counter.begin_batch()  # once: the hooks before the step may run the model for it
                step.batch = self._next_batch()
                examples = len(step.batch.indices)
                counter.examples = max(examples, len(step.batch.inputs))
                before, epoch = counter.passes, plan.epoch
                self._set_lr(lr_factor(plan.elapsed))
                with contextlib.suppress(BudgetSpent):
                    if training_step is None:
                        step.automatic()
                    else:
                        hook_returns.expect_nothing(
                            training_step(step),
                            "training_step",
                            "it must call step.backward and step.optimizer_step itself",
                        )
                if project is not None:
                    project(self.model)
                if self._nudge is not None:
                    self._nudge(self.model)
                plan.batch += 1
                plan.examples += examples
                if counter.passes == before:  # no batch is free
                    counter.add()
                plan.spent = counter.example_passes
                if epoch_end is not None and plan.epoch > epoch:
                    hook_returns.expect_nothing(
                        epoch_end(self.model), "on_epoch_end", "keep values in `self`"
                    )
                    plan.spent = counter.example_passes
            if plan.spent >= self._thresholds[0]:
                self.seconds += time.perf_counter() - began
                point = self.take_point()
                if self._oracle is not None:
                    self._oracle.mark(point.batch, digest_of(point.state))
                on_point(point)
                self._thresholds = [n for n in self._thresholds if n > plan.spent]
                began = time.perf_counter()
            # After the snapshot, whose making may spend the rest; a plan is the method's to change.
            self.stopped = not self._thresholds
            if self.stopped:
                break
        self._losses.settle(plan.batch)
        self.seconds += time.perf_counter() - began

    def _next_batch(self) -> Batch:
        """Draw indices, decode, augment, and let the method transform the batch."""
        try:
            indices = next(self._stream)
        except StopIteration:
            raise hook_returns.stream_ended(self.plan.batch) from None
        taken = self._take(indices)
        self.counter.examples = len(indices)
        if self._decode is not None:
            taken = self._decode(taken)
        if self._augment is not None:
            taken = self._augment(taken, self._augment_generator)
        batch = Batch(taken, self.targets.index_select(0, indices), indices)
        if self._transform_batch is None:
            return batch
        changed: Batch = hook_returns.expect(self._transform_batch(batch), Batch, "transform_batch")
        return changed

    def _take(self, indices: Any) -> Tensor:
        try:
            taken = self.inputs.index_select(0, indices)
        except (TypeError, RuntimeError, IndexError) as error:
            raise hook_returns.bad_indices(indices, len(self.inputs)) from error
        if indices.dim() != 1 or not len(indices):
            raise hook_returns.bad_indices(indices, len(self.inputs))
        return taken

    def _set_lr(self, factor: Any) -> None:
        """Scale the learning rate of every group, those added since the last batch too.

        One in the place of another has its base rate, as after load_state_dict.
        """
        self._factor = hook_returns.expect_factor(factor, self.plan.elapsed)
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        if len(groups) != len(self._base_lrs) or any(
            group is not old for group, (old, _) in zip(groups, self._base_lrs, strict=True)
        ):
            known = {id(group): lr for group, lr in self._base_lrs}
            if len(groups) == len(self._base_lrs):
                places = zip(groups, self._base_lrs, strict=True)
                known = {id(group): lr for group, (_, lr) in places} | known
            self._base_lrs = [(group, known.get(id(group), group.get("lr"))) for group in groups]
        for group, lr in self._base_lrs:
            if lr is not None:
                group["lr"] = lr * self._factor

    def lr_changed_by_method(self) -> tuple[float, float] | None:
        """A learning rate as it was set for the last batch and as it is now, if they differ."""
        for group, lr in self._base_lrs:
            if lr is not None and float(group["lr"]) != lr * self._factor:
                return lr * self._factor, float(group["lr"])
        return None

    def take_point(self) -> Point:
        """The weights as they would be scored now."""
        self._refuse_assigned_hooks()
        self._losses.settle(self.plan.batch)
        training = self.model.training
        with self.counter:  # an optimizer's modes and a model's export are a method's code too
            _switch(self.optimizers, "eval")
            final: Any = self.method.finalize_model(self.model, self.calibration)
            hook_returns.expect(final, nn.Module, "finalize_model")
            with torch.no_grad():
                # A copy: a file must not change with the training that goes on, nor share memory.
                state = {
                    name: tensor.detach().to("cpu", copy=True).contiguous()
                    for name, tensor in self.task.export(final).items()
                }
            self.model.train(training)
            _switch(self.optimizers, "train")
        self.plan.spent = self.counter.example_passes
        for name, tensor in state.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise Diverged(f"{name} was not finite after batch {self.plan.batch}")
        return Point(
            batch=self.plan.batch,
            passes=self.counter.passes,
            example_passes=self.counter.example_passes,
            seconds=self.seconds,
            train_loss=self._losses.mean(),
            state=state,
        )

    @property
    def first_loss(self) -> float | None:
        """The first loss that was noted; None if there was none."""
        return self._losses.first

    def optimizer_state_bytes(self) -> int:
        """Bytes of tensors in the optimizers' state."""
        return sum(
            value.numel() * value.element_size()
            for optimizer in self.optimizers
            for state in optimizer.state.values()
            if isinstance(state, dict)
            for value in state.values()
            if isinstance(value, Tensor)
        )


def _seed_global(seed: int, device: torch.device) -> None:
    """Seed the global generators: layers and library optimizers draw from them.

    torch.manual_seed would format a stack trace for every kind of device, which takes as long as
    ten small steps.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _own(instance: Any, base: type, name: str) -> Any:
    """The bound function where `instance`'s class overrides it, else None."""
    defined = getattr(type(instance), name) is not getattr(base, name)
    return getattr(instance, name) if defined else None


def _needs_closure(optimizer: Optimizer) -> bool:
    """Whether `step` cannot be called without a closure."""
    parameter = inspect.signature(optimizer.step).parameters.get("closure")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _switch(optimizers: Sequence[Optimizer], mode: str) -> None:
    """Put schedule-free optimizers into `train` or `eval` mode."""
    for optimizer in optimizers:
        if callable(switch := getattr(optimizer, mode, None)):
            switch()
