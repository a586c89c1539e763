"""One method on one task from one start: its model, its optimizers and the steps they take.

A session trains the batches that it is told to; assay.worker.training says which and when.
"""

from __future__ import annotations

import inspect
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from assay.cards import Access, TaskCard
from assay.errors import PluginError
from assay.messages import WorkerSeeds
from assay.method import Batch, Method, Plan, TrainingSet
from assay.task import Task
from assay.worker.pass_counter import PassCounter

DROP_AT, DROP_FACTOR = 0.8, 0.1


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


def schedule_of(card: TaskCard) -> Callable[[float], float]:
    """The task's learning-rate factor when the share `elapsed` of the budget is spent."""
    if card.schedule == "constant":
        return lambda elapsed: 1.0
    if card.schedule == "drop":
        return lambda elapsed: 1.0 if elapsed < DROP_AT else DROP_FACTOR
    return lambda elapsed: 1.0 - elapsed


class _Calibration:
    """The training inputs, decoded, in stored order (see method.Calibration)."""

    def __init__(self, task: Task, inputs: Tensor, batch_size: int) -> None:
        self._task, self._inputs, self._batch_size = task, inputs, batch_size

    def batches(self, n_batches: int) -> Iterator[Tensor]:
        for chunk in torch.split(self._inputs, self._batch_size)[:n_batches]:
            yield self._task.decode(chunk)


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
        self.count_pass = session.counter.add

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
            _nothing(
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
    ) -> None:
        card = task.card
        self.task, self.method, self.device = task, method, device
        self.inputs = train["inputs"].to(device)
        self.targets = train["targets"].to(device)
        self.global_seed = seeds.method
        _seed_global(self.global_seed, device)
        if len(self.targets) < card.budget.batch_size:
            raise PluginError(
                f"task {card.slug} has {len(self.targets)} training examples, "
                f"expected at least one batch of {card.budget.batch_size}"
            )
        self._augment_generator = torch.Generator(device).manual_seed(seeds.augment)
        self.counter = PassCounter()
        self.counter.examples = card.budget.batch_size
        self.seconds = 0.0
        """In training so far, evaluation excluded."""
        self.plan = method.plan = _plan(task, access, reference, self.targets, seeds, device)
        self.plan.total_batches = _total_batches(method, self.plan)
        self._losses = _Losses()
        model = task.build_model(train)
        model.load_state_dict(start)
        with self.counter:
            transformed: Any = method.transform_model(model.to(device).train())
            self.model: nn.Module = _expect(transformed, nn.Module, "transform_model").to(device)
            self.model.register_forward_pre_hook(self.counter.note_inputs)
            self.optimizers = _optimizers(method.configure_optimizer(self.model))
        self.plan.spent = self.counter.example_passes
        self._base_lrs: list[tuple[dict[str, Any], float | None]] = []
        self._stream = _stream(method.sampler(TrainingSet(self.inputs, self.targets)))
        self.calibration = _Calibration(task, self.inputs, card.budget.batch_size)
        self._thresholds = card.evaluation.thresholds(card.budget)
        self._step = _Step(self)
        self._decode, self._augment = (_own(task, Task, name) for name in ("decode", "augment"))
        self._transform_batch = self.hook("transform_batch")
        self.stopped = False

    def hook(self, name: str) -> Any:
        """The method's hook of that name, or None where the method does not override it."""
        defined = getattr(type(self.method), name) is not getattr(Method, name)
        return getattr(self.method, name) if defined else None

    def note_loss(self, loss: Tensor) -> None:
        """Keep a loss for the curve and the divergence guard.

        Raises:
            PluginError: it is not a scalar tensor.
        """
        if not isinstance(loss, Tensor) or loss.dim():
            given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else (
                type(loss).__name__
            )  # fmt: skip
            raise PluginError(
                f"compute_loss returned {given}, expected a scalar Tensor{_forgotten(loss)}"
            )
        self._losses.pending.append(loss.detach())

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
            step.batch = self._next_batch()
            examples = len(step.batch.indices)
            counter.begin_batch(max(examples, len(step.batch.inputs)))
            before, epoch = counter.passes, plan.epoch
            self._set_lr(lr_factor(plan.elapsed))
            with counter:
                if training_step is None:
                    step.automatic()
                else:
                    _nothing(
                        training_step(step),
                        "training_step",
                        "it must call step.backward and step.optimizer_step itself",
                    )
                if project is not None:
                    project(self.model)
                plan.batch += 1
                plan.examples += examples
                if counter.passes == before:  # no batch is free
                    counter.add()
                plan.spent = counter.example_passes
                if epoch_end is not None and plan.epoch > epoch:
                    _nothing(epoch_end(self.model), "on_epoch_end", "keep values in `self`")
                    plan.spent = counter.example_passes
            self.stopped = plan.spent >= plan.budget
            if plan.spent >= self._thresholds[0]:
                self.seconds += time.perf_counter() - began
                on_point(self.take_point())
                self._thresholds = [n for n in self._thresholds if n > plan.spent]
                began = time.perf_counter()
            if self.stopped:
                break
        self._losses.settle(plan.batch)
        self.seconds += time.perf_counter() - began

    def _next_batch(self) -> Batch:
        """Draw indices, decode, augment, and let the method transform the batch."""
        try:
            indices = next(self._stream)
        except StopIteration:
            raise PluginError(
                f"sampler ended after {self.plan.batch} batches; expected an endless stream of "
                "index tensors: wrap it in `while True`"
            ) from None
        taken = self._take(indices)
        if self._decode is not None:
            taken = self._decode(taken)
        if self._augment is not None:
            taken = self._augment(taken, self._augment_generator)
        batch = Batch(taken, self.targets.index_select(0, indices), indices)
        if self._transform_batch is None:
            return batch
        changed: Batch = _expect(self._transform_batch(batch), Batch, "transform_batch")
        return changed

    def _take(self, indices: Any) -> Tensor:
        try:
            taken = self.inputs.index_select(0, indices)
        except (TypeError, RuntimeError, IndexError) as error:
            raise self._bad_indices(indices) from error
        if indices.dim() != 1 or not len(indices):
            raise self._bad_indices(indices)
        return taken

    def _bad_indices(self, indices: Any) -> PluginError:
        whole = isinstance(indices, Tensor) and not indices.is_floating_point()
        known = whole and indices.dtype != torch.bool and indices.numel() > 0
        span = f" with values in {int(indices.min())}..{int(indices.max())}" if known else ""
        return PluginError(
            f"sampler yielded {_shown(indices)}{span}, expected a tensor of shape (n,) and type "
            f"torch.int64 with values in 0..{len(self.inputs) - 1}, one for each batch"
        )

    def _set_lr(self, factor: Any) -> None:
        """Scale the learning rate of every group, those added since the last batch too."""
        if not isinstance(factor, (int, float)) or not 0 <= factor < math.inf:
            raise PluginError(
                f"lr_factor returned {_shown(factor)} for elapsed={self.plan.elapsed:.3g}, "
                "expected a number, 0 or more"
            )
        if len(self._base_lrs) != sum(len(o.param_groups) for o in self.optimizers):
            known = {id(group): lr for group, lr in self._base_lrs}
            self._base_lrs = [
                (group, known.get(id(group), group.get("lr")))
                for optimizer in self.optimizers
                for group in optimizer.param_groups
            ]
        self._factor = float(factor)
        for group, lr in self._base_lrs:
            if lr is not None:
                group["lr"] = lr * factor

    def lr_changed_by_method(self) -> tuple[float, float] | None:
        """A learning rate as it was set for the last batch and as it is now, if they differ."""
        for group, lr in self._base_lrs:
            if lr is not None and float(group["lr"]) != lr * self._factor:
                return lr * self._factor, float(group["lr"])
        return None

    def take_point(self) -> Point:
        """The weights as they would be scored now."""
        self._losses.settle(self.plan.batch)
        training = self.model.training
        _switch(self.optimizers, "eval")
        with self.counter:
            final: Any = self.method.finalize_model(self.model, self.calibration)
        self.plan.spent = self.counter.example_passes
        final = _expect(final, nn.Module, "finalize_model")
        with torch.no_grad():
            # A copy: a file must not change with the training that goes on, nor share memory.
            state = {
                name: tensor.detach().to("cpu", copy=True).contiguous()
                for name, tensor in self.task.export(final).items()
            }
        self.model.train(training)
        _switch(self.optimizers, "train")
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


def _expect(value: Any, kind: type, hook: str) -> Any:
    if not isinstance(value, kind):
        raise PluginError(
            f"{hook} returned {type(value).__name__}, expected {kind.__name__}{_forgotten(value)}"
        )
    return value


def _forgotten(value: Any) -> str:
    """Advice on a value that a hook returned."""
    return ": is a `return` missing?" if value is None else ""


def _shown(value: Any) -> str:
    """A returned value in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {value.dtype}"
    return f"{type(value).__name__} ({value!r:.60})"


def _stream(sampled: Any) -> Iterator[Any]:
    """The batches of a sampler."""
    try:
        return iter(sampled)
    except TypeError as error:
        raise PluginError(
            f"sampler returned {_shown(sampled)}, expected an endless iterator: "
            "`yield` one tensor of indices for each batch"
        ) from error


def _nothing(returned: Any, hook: str, advice: str) -> None:
    """Refuse a value that a hook returned, where it would be lost without a word."""
    if returned is not None:
        raise PluginError(f"{hook} returned {_shown(returned)}, expected None: {advice}")


def _optimizers(returned: Any) -> list[Optimizer]:
    found = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    if not found:
        raise PluginError("configure_optimizer returned no optimizer")
    for optimizer in found:
        if isinstance(optimizer, (list, tuple, dict, LRScheduler)):
            kinds = type(returned).__name__
            if isinstance(returned, (list, tuple)):
                kinds += f" of {' and '.join(dict.fromkeys(type(o).__name__ for o in found))}"
            raise PluginError(
                f"configure_optimizer returned a {kinds}, as in Lightning; expected one optimizer "
                "or a list of optimizers: schedules belong in lr_factor"
            )
        _expect(optimizer, Optimizer, "configure_optimizer")
    _switch(found, "train")
    return found


def _needs_closure(optimizer: Optimizer) -> bool:
    """Whether `step` cannot be called without a closure."""
    parameter = inspect.signature(optimizer.step).parameters.get("closure")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _switch(optimizers: Sequence[Optimizer], mode: str) -> None:
    """Put schedule-free optimizers into `train` or `eval` mode."""
    for optimizer in optimizers:
        if (switch := getattr(optimizer, mode, None)) is not None:
            switch()


def _total_batches(method: Method, plan: Plan) -> int:
    passes = method.passes_per_batch
    if not isinstance(passes, (int, float)) or not 0 < passes < math.inf:
        advice = ": is `@property` missing?" if callable(passes) else ""
        raise PluginError(
            f"passes_per_batch is {_shown(passes)}, expected a positive number{advice}"
        )
    return max(1, math.floor(plan.budget / (plan.batch_size * passes)))


def _plan(
    task: Task,
    access: frozenset[Access],
    reference: Mapping[str, Any],
    targets: Tensor,
    seeds: WorkerSeeds,
    device: torch.device,
) -> Plan:
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
        schedule=schedule_of(card),
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
