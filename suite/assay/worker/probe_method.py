"""Tries a method out on a family's toy, in a forked child of a worker, for `assay check`.

Each probe writes its findings to a file as it goes. Where a method hangs or kills its process, the
last check in that file, which has begun and has no finding, is the one that failed.
"""

from __future__ import annotations

import functools
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from assay.cards import FAMILIES, Access, Family, TaskCard
from assay.errors import AssayError
from assay.families.toys import toy_task
from assay.messages import (
    Done,
    Load,
    Loaded,
    ProbeMethod,
    ProbeTaskFit,
    Refusal,
    WorkerSeeds,
    clip,
)
from assay.method import Method, hyperparameters_for, method_space, overridden_hooks
from assay.plugins.loading import describe, load_method, load_task
from assay.space import ChoiceRange, Range, Value, space_of
from assay.task import Problem, Snapshot, Task
from assay.untrusted.weights import read_snapshot, write_tensors
from assay.worker.findings import ResultLog, first_difference
from assay.worker.hook_mistakes import hook_mistakes
from assay.worker.session import Diverged, Point, Session
from assay.worker.training import train

BLOCK, N_ROUNDS = 8, 4
"""Batches per timed block, and how often both methods are timed from the start."""
N_CORNER_BATCHES, MAX_CORNERS = 8, 24
N_LR_BATCHES, N_FIT_BATCHES = 3, 4
UNCOUNTED = 1.6
"""A step that costs more than this many times its counted passes does something uncounted."""


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
        )

    def trained(self, toy: Toy, prepare: Callable[[Session], None] = lambda _: None) -> Trained:
        """A whole run."""
        trained = Trained(self.session(toy))
        prepare(trained.session)
        train([trained.session], lambda _, point: trained.points.append(point))
        return trained


def load(request: Load) -> Loaded | Refusal:
    """Import a method: the hooks it overrides and what is wrong with its search spaces."""
    try:
        method = load_method(request.method, request.entry_point, request.packages)
    except AssayError as error:
        return Refusal(error=clip(str(error)))
    problems: dict[Family, str] = {}
    for family in request.families:
        try:
            method_space(method, family)
        except AssayError as error:
            problems[family] = clip(str(error))
    unknown = set(method.hyperparameters_by_family) - set(FAMILIES)
    return Loaded(
        hooks=overridden_hooks(method),
        space_problems=problems,
        runnable=[family for family in request.families if _has_defaults(method, family)],
        unknown_families=sorted(clip(family) for family in unknown),
        mistakes=[clip(mistake) for mistake in hook_mistakes(method, request.method)],
    )


def _has_defaults(method: type[Method], family: Family) -> bool:
    fields = hyperparameters_for(method, family).model_fields.values()
    return not any(field.is_required() for field in fields)


def _toy(folder: Path) -> Toy:
    task = toy_task(TaskCard.model_validate_json((folder / "card.json").read_bytes()))
    parts = {name: load_file(folder / name) for name in ("train", "start", "sealed")}
    return Toy(task, Problem(parts["train"], [parts["start"]], parts["sealed"]))


def _subject(request: ProbeMethod | ProbeTaskFit) -> ProbedMethod:
    method = load_method(request.method, request.entry_point, request.packages)
    values = hyperparameters_for(method, request.family)()
    return ProbedMethod(method, request.method, frozenset(request.access), values)


def probe_method(request: ProbeMethod) -> Done:
    """Every check of a method on one family's toy."""
    shared = request.shared / request.family
    findings = ResultLog(shared / "findings.jsonl", request.method)
    toy, reached = _toy(shared), False
    with findings.check("runs"):
        subject = _subject(request)
        first = subject.trained(toy)
        _check_runs(findings, toy, first)
        reached = True
    if not reached:
        return Done()
    with findings.check("repeatable"):
        _check_repeatable(findings, subject, toy, first)
    with findings.check("snapshot"):
        _check_snapshot(findings, toy, first, shared)
    with findings.check("finalize_model"):
        _check_finalize(findings, toy.task, first.session)
    with findings.check("learning rate"):
        _check_lr(findings, subject, toy)
    if request.corners:
        with findings.check("search space"):
            _check_corners(findings, subject, toy)
    with findings.check("cost"):
        _check_cost(findings, subject, toy)
    if not findings.failed("repeatable"):
        with findings.check("gradients in place"):
            _check_in_place(findings, subject, toy, first)
    return Done()


def probe_task_fit(request: ProbeTaskFit) -> Done:
    """A few batches of a real task: does the method train and export what the task expects?"""
    findings = ResultLog(request.shared / "findings.jsonl", request.method)
    with findings.check("tasks"):
        task = load_task(request.task)
        subject = _subject(request)
        toy = Toy(task, Problem(load_file(request.train), [load_file(request.starts[0])]))
        session = subject.session(toy, reference=request.reference)
        points: list[Point] = []
        session.train_batches(N_FIT_BATCHES, points.append)
        state = points[-1].state if points else session.take_point().state
        path = request.shared / "fit.safetensors"
        write_tensors(state, path)
        read_snapshot(path, task.layout(toy.problem))
    return Done()


def _check_runs(findings: ResultLog, toy: Toy, trained: Trained) -> None:
    plan, counter = trained.session.plan, trained.session.counter
    end, start = trained.points[-1].state, toy.problem.starts[0]
    if all(torch.equal(start[name], end[name]) for name in start if name in end):
        findings.add(
            "runs",
            "failed",
            f"no weight changed in {plan.batch} batches: the optimizer must hold the parameters "
            "of the model it is given, and training_step must call step.optimizer_step()",
        )
        return
    findings.add(
        "runs",
        "ok",
        f"{plan.batch} batches, {counter.passes} passes, {counter.example_passes} example-passes "
        f"of a budget of {plan.budget}",
    )


def _check_repeatable(findings: ResultLog, subject: ProbedMethod, toy: Toy, first: Trained) -> None:
    """Once more with the same seeds, after other draws from the global generators."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    difference = _difference(first.points, subject.trained(toy).points)
    if difference is None:
        findings.add("repeatable", "ok", "bit for bit")
        return
    advice = (
        "keep nothing in the module between runs; draw from self.plan.generator, or in hooks "
        "from the global generators, which are seeded for each run"
    )
    findings.add(
        "repeatable", "failed", f"two runs with the same seeds differ: {difference}; {advice}"
    )


def _check_lr(findings: ResultLog, subject: ProbedMethod, toy: Toy) -> None:
    """Whether something other than lr_factor changes a group's learning rate."""
    session = subject.session(toy)
    for _ in range(N_LR_BATCHES):
        session.train_batches(1, lambda point: None)
        changed = session.lr_changed_by_method()
        if changed is not None:
            findings.add(
                "learning rate",
                "failed",
                f"a step changed the lr of a parameter group from {changed[0]:.4g} to "
                f"{changed[1]:.4g}, which the next batch overrules: schedules belong in lr_factor",
            )
            return


def _check_snapshot(findings: ResultLog, toy: Toy, trained: Trained, folder: Path) -> None:
    """As the scorer reads and scores it."""
    layout = toy.task.layout(toy.problem)
    snapshots = []
    for point in trained.points:
        path = folder / f"{point.batch}.safetensors"
        write_tensors(point.state, path)
        state, _ = read_snapshot(path, layout)
        snapshots.append(
            Snapshot(
                batch=point.batch,
                passes=point.passes,
                example_passes=point.example_passes,
                state=state,
            )
        )
    scores = toy.task.score(toy.problem, [snapshots])
    name, chance = toy.task.card.metric.name, toy.task.card.metric.chance
    better = scores.test > chance
    findings.add(
        "snapshot",
        "ok" if better else "note",
        f"fits the task's model; toy {name} {scores.test:.3g} (chance {chance:g})",
    )


def _check_finalize(findings: ResultLog, task: Task, session: Session) -> None:
    if session.hook("finalize_model") is None:
        return
    before = _frozen(session.model)
    exports = []
    for _ in range(2):
        training = session.model.training
        final = session.method.finalize_model(session.model, session.calibration)
        with torch.no_grad():
            exports.append({name: t.clone() for name, t in task.export(final).items()})
        session.model.train(training)
    changed = first_difference(before, _frozen(session.model))
    if changed is not None:
        advice = "training goes on with it: work on copy.deepcopy(model)"
        findings.add(
            "finalize_model", "failed", f"changes the model it is given ({changed}); {advice}"
        )
    elif (differs := first_difference(*exports)) is not None:
        findings.add(
            "finalize_model", "failed", f"gives other weights when called again: {differs}"
        )
    else:
        findings.add("finalize_model", "ok", "leaves the training model as it was; repeatable")


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state[f"{name} (requires_grad)"] = torch.tensor(parameter.requires_grad)
    return state


def _check_in_place(findings: ResultLog, subject: ProbedMethod, toy: Toy, first: Trained) -> None:
    """Whether clearing gradients in place changes the result: a gradient is kept by reference."""

    def in_place(session: Session) -> None:
        for optimizer in session.optimizers:
            cleared = functools.partial(optimizer.zero_grad, set_to_none=False)
            vars(optimizer)["zero_grad"] = cleared

    difference = _difference(first.points, subject.trained(toy, in_place).points)
    if difference is not None:
        findings.add(
            "gradients in place",
            "note",
            f"other weights where zero_grad clears gradients in place ({difference}): the method "
            "may keep a gradient by reference; clone what is kept from one step to the next",
        )


def _check_corners(findings: ResultLog, subject: ProbedMethod, toy: Toy) -> None:
    """A few batches with each value at each end of its range, the others at their defaults."""
    family = toy.task.card.family
    model = hyperparameters_for(subject.method, family)
    corners = [
        {name: value} for name, found in space_of(model).ranges.items() for value in _ends(found)
    ]
    diverged, chosen = [], _thinned(corners, MAX_CORNERS)
    for corner in chosen:
        try:
            session = subject.session(toy, values=model(**corner))
            session.train_batches(N_CORNER_BATCHES, lambda point: None)
        except Diverged:
            diverged.append(corner)
        except Exception as error:
            shown = ", ".join(f"{key}={value!r}" for key, value in corner.items())
            findings.add("search space", "failed", f"{shown}: {describe(error, subject.source)}")
    if not findings.failed("search space") and chosen:
        shown = f", {len(diverged)} of them diverge" if diverged else ""
        findings.add("search space", "ok", f"{len(chosen)} ends of ranges run{shown}")


def _ends(found: Range) -> list[Value]:
    return list(found.options) if isinstance(found, ChoiceRange) else [found.low, found.high]


def _thinned(items: list[Any], n: int) -> list[Any]:
    return items[:: -(-len(items) // n)] if items else []


def _check_cost(findings: ResultLog, subject: ProbedMethod, toy: Toy) -> None:
    """CPU seconds per batch as a ratio to the bare task's, measured in alternation."""
    card = toy.task.card
    n_rounds, n_blocks = N_ROUNDS, card.budget.batches // BLOCK
    # So much budget that no evaluation falls into a timed block.
    budget = card.budget.model_copy(update={"batches": 100 * card.budget.batches})
    one_point = card.evaluation.model_copy(update={"points": 1})
    timed = toy_task(card.model_copy(update={"budget": budget, "evaluation": one_point}))
    ratios: list[float] = []
    bare_seconds: list[float] = []
    passes = 0.0
    for _ in range(n_rounds):
        pair = [subject.session(toy.changed(timed), bare=bare) for bare in (False, True)]
        for block in range(n_blocks):
            seconds = [_timed(session) for session in pair]
            # The first block warms up; and on some machines the clock of a process moves in jumps.
            if block and min(seconds) > 0:
                ratios.append(seconds[0] / seconds[1])
                bare_seconds.append(seconds[1] / BLOCK)
        counter = pair[0].counter
        passes = counter.example_passes / (pair[0].plan.batch * card.budget.batch_size)
    if len(ratios) < 2:
        findings.add("cost", "note", "not measured: the clock of CPU time stood still")
        return
    low, ratio, high = statistics.quantiles(ratios, n=4)
    microseconds = 1e6 * statistics.median(bare_seconds)
    measured = (
        f"{ratio:.2f} times the bare task's step of {microseconds:.0f} us (quartiles {low:.2f} to "
        f"{high:.2f}, n={len(ratios)} blocks of {BLOCK}); {passes:.3g} passes per batch are counted"
    )
    declared = pair[0].method.passes_per_batch
    if abs(passes - declared) > 0.1 * declared:
        measured += f", passes_per_batch says {declared:.3g}: declare what is counted"
        findings.add("cost", "note", measured)
    elif low > UNCOUNTED * max(passes, 1.0):
        advice = "count what autograd does not do (forward mode, forward passes without gradients)"
        findings.add("cost", "note", f"{measured}: {advice} with step.count_pass")
    else:
        findings.add("cost", "ok", measured)


def _timed(session: Session) -> float:
    """CPU seconds: other processes on the machine count for less than in wall time."""
    before = time.process_time()
    session.train_batches(BLOCK, lambda point: None)
    return time.process_time() - before


def _difference(one: Sequence[Point], other: Sequence[Point]) -> str | None:
    """Where two runs first differ, or None."""
    for a, b in zip(one, other, strict=False):
        if a.batch != b.batch or a.passes != b.passes:
            return f"{a.passes} passes after batch {a.batch}, {b.passes} after batch {b.batch}"
        difference = first_difference(a.state, b.state)
        if difference is not None:
            return f"after batch {a.batch}, {difference}"
    return None if len(one) == len(other) else f"{len(one)} and {len(other)} evaluation points"
