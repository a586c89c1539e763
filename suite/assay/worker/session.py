"""One method on one task from one start: its model, its optimizers and the steps they take.

A session trains the batches that it is told to; assay.worker.training says which and when.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from assay.cards import Access, TaskCard
from assay.errors import PluginError
from assay.messages import WorkerSeeds
from assay.method import Batch, Method, Plan, TrainingSet
from assay.task import Task

DROP_AT, DROP_FACTOR = 0.8, 0.1


class Diverged(Exception):
    """A loss or a weight is not finite."""


@dataclass
class Spent:
    """What training from one start has used so far."""

    batches: int = 0
    passes: int = 0
    examples: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Point:
    """One evaluation point: what was spent up to it, and the weights to score."""

    batch: int
    passes: int
    seconds: float
    train_loss: float | None
    state: dict[str, Tensor]


def schedule_of(card: TaskCard) -> Callable[[int], float]:
    """The task's learning-rate factor before batch t, t = 0 .. batches-1."""
    total = card.budget.batches
    if card.schedule == "constant":
        return lambda batch: 1.0
    if card.schedule == "drop":
        return lambda batch: 1.0 if batch < DROP_AT * total else DROP_FACTOR
    return lambda batch: 1.0 - batch / total


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
        self.plan = session.plan
        self._compute_loss = session.method.compute_loss
        self._task_loss = session.task.loss
        self._spent = session.spent
        self._transform = session.hook("transform_gradients")

    def forward(self, inputs: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.model(self.batch.inputs if inputs is None else inputs))

    def loss(self, outputs: Tensor | None = None) -> Tensor:
        if outputs is None:
            outputs = self.model(self.batch.inputs)
        loss = self._compute_loss(outputs, self.batch, self._task_loss)
        self._session.note_loss(loss)
        return loss

    def backward(self, loss: Tensor, **options: Any) -> None:
        loss.backward(**options)  # type: ignore[no-untyped-call]
        self._spent.passes += 1

    def count_pass(self, n: int = 1) -> None:
        self._spent.passes += n

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def optimizer_step(self) -> None:
        if self._transform is not None:
            self._transform(self.model, self.plan)
        for optimizer in self.optimizers:
            optimizer.step()

    def automatic(self) -> None:
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
        self.plan = _plan(task, method, access, reference, self.targets, seeds, device)
        self.spent = Spent()
        self._losses = _Losses()
        model = task.build_model(train)
        model.load_state_dict(start)
        transformed: Any = method.transform_model(model.to(device).train(), self.plan)
        self.model: nn.Module = _expect(transformed, nn.Module, "transform_model").to(device)
        self.optimizers = _optimizers(method.configure_optimizer(self.model, self.plan))
        self._groups = [(group, group["lr"]) for o in self.optimizers for group in o.param_groups]
        self._stream = method.sampler(TrainingSet(self.inputs, self.targets), self.plan)
        self.calibration = _Calibration(task, self.inputs, card.budget.batch_size)
        self.evaluation = set(card.evaluation.batches(card.budget.batches))
        self._step = _Step(self)
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
            raise PluginError(f"compute_loss returned {given}, expected a scalar Tensor")
        self._losses.pending.append(loss.detach())

    def train_batches(self, begin: int, end: int, on_point: Callable[[Point], None]) -> None:
        """Train batches begin..end-1, unless the budget of passes is spent."""
        if self.stopped:
            return
        if begin == 0:
            _seed_global(self.global_seed, self.device)
        plan, spent, method, step = self.plan, self.spent, self.method, self._step
        task, lr_factor = self.task, method.lr_factor
        decode = _own(task, Task, "decode")
        augment = _own(task, Task, "augment")
        project = _own(task, Task, "project")
        transform_batch, epoch_end = self.hook("transform_batch"), self.hook("on_epoch_end")
        training_step = self.hook("training_step")
        inputs, targets, stream, groups = self.inputs, self.targets, self._stream, self._groups
        limit = task.card.budget.passes
        # The default sampler's batches are all full; asking each for its size is not free.
        batch_size = None if self.hook("sampler") else task.card.budget.batch_size
        began = time.perf_counter()
        for batch_number in range(begin, end):
            indices = next(stream)
            taken = inputs.index_select(0, indices)
            if decode is not None:
                taken = decode(taken)
            if augment is not None:
                taken = augment(taken, self._augment_generator)
            batch = Batch(taken, targets.index_select(0, indices), indices)
            step.batch = batch if transform_batch is None else transform_batch(batch, plan)
            factor = lr_factor(batch_number, plan)
            for group, lr in groups:
                group["lr"] = lr * factor
            if training_step is None:
                step.automatic()
            else:
                training_step(step)
            if project is not None:
                project(self.model)
            plan.batch = batch_number + 1
            spent.examples += batch_size or len(indices)
            if epoch_end is not None and plan.batch % plan.batches_per_epoch == 0:
                epoch_end(self.model, plan)
            self.stopped = limit is not None and spent.passes >= limit
            if plan.batch in self.evaluation or self.stopped:
                spent.seconds += time.perf_counter() - began
                spent.batches = plan.batch
                on_point(self._point())
                began = time.perf_counter()
            if self.stopped:
                break
        self._losses.settle(plan.batch)
        spent.seconds += time.perf_counter() - began
        spent.batches = plan.batch

    def _point(self) -> Point:
        self._losses.settle(self.plan.batch)
        training = self.model.training
        final: Any = self.method.finalize_model(self.model, self.calibration)
        final = _expect(final, nn.Module, "finalize_model")
        with torch.no_grad():
            # A copy: a file must not change with the training that goes on, nor share memory.
            state = {
                name: tensor.detach().to("cpu", copy=True).contiguous()
                for name, tensor in self.task.export(final).items()
            }
        self.model.train(training)
        for name, tensor in state.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise Diverged(f"{name} was not finite after batch {self.plan.batch}")
        return Point(
            batch=self.plan.batch,
            passes=self.spent.passes,
            seconds=self.spent.seconds,
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

    def checkpoint(self) -> dict[str, Any]:
        """All that `resume` needs to continue this run, as plain tensors and numbers."""
        return copy.deepcopy(
            {
                "batch": self.plan.batch,
                "spent": asdict(self.spent),
                "model": self.model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "method": self.method.state_dict(),
                "generator": self.plan.generator.get_state(),
                "augment": self._augment_generator.get_state(),
                "global": torch.get_rng_state(),
            }
        )

    def resume(self, saved: dict[str, Any]) -> None:
        """Continue from a checkpoint of another process; call on a fresh Session."""
        saved = copy.deepcopy(saved)
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        # load_state_dict made new groups; their lr is the scheduled one, ours the initial.
        groups = [group for o in self.optimizers for group in o.param_groups]
        self._groups = [(group, lr) for group, (_, lr) in zip(groups, self._groups, strict=True)]
        for _ in range(saved["batch"]):
            next(self._stream)
        self.method.load_state_dict(saved["method"])
        self.plan.batch = saved["batch"]
        for name, value in saved["spent"].items():
            setattr(self.spent, name, value)
        self.plan.generator.set_state(saved["generator"])
        self._augment_generator.set_state(saved["augment"])
        torch.set_rng_state(saved["global"])


def _seed_global(seed: int, device: torch.device) -> None:
    """Seed the global generators, from which layers such as dropout draw.

    torch.manual_seed would format a stack trace for every kind of device, which takes as long as
    ten small steps.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _own(instance: Any, base: type, name: str) -> Any:
    """The bound function where `instance`'s class overrides it, else None."""
    defined = getattr(type(instance), name) is not getattr(base, name)
    return getattr(instance, name) if defined else None


def _expect(value: Any, kind: type, hook: str) -> Any:
    if not isinstance(value, kind):
        raise PluginError(f"{hook} returned {type(value).__name__}, expected {kind.__name__}")
    return value


def _optimizers(returned: Any) -> list[Optimizer]:
    found = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    if not found:
        raise PluginError("configure_optimizer returned no optimizer")
    return [_expect(optimizer, Optimizer, "configure_optimizer") for optimizer in found]


def _plan(
    task: Task,
    method: Method,
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
