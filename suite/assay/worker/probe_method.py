"""Tries a method out on a family's toy, in a forked child of a worker, for `assay check`.

Each probe writes its findings to a file as it goes. Where a method hangs or kills its process, the
last check in that file, which has begun and has no finding, is the one that failed.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from assay.cards import FAMILIES, Family, TaskCard
from assay.errors import AssayError
from assay.families.functions import Functions
from assay.families.toys import toy_task
from assay.messages.form import clip
from assay.messages.worker import Done, Load, Loaded, ProbeMethod, ProbeTaskFit, Refusal
from assay.method import Method, hyperparameters_for, method_space, overridden_hooks
from assay.plugins.loading import load_method, load_task
from assay.space import ChoiceRange, Range, Value, space_of
from assay.task import Problem, Seeds, Snapshot, Task
from assay.untrusted.weights import read_snapshot, snapshot_bytes
from assay.worker.findings import ResultLog, explained, first_difference
from assay.worker.hook_mistakes import hook_mistakes
from assay.worker.probe_cost import check_cost
from assay.worker.probe_subject import ProbedMethod, Toy, Trained
from assay.worker.session import Diverged, Point, Session

N_CORNER_BATCHES, MAX_CORNERS, MAX_CORNER_SECONDS = 8, 24, 2.0
"""Batches for each end of a range, how many ends, and CPU time for all of them."""
N_LR_BATCHES, N_FIT_BATCHES = 3, 4


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
    mistakes = list(hook_mistakes(method, request.method))
    fatal = any(mistake.fatal for mistake in mistakes)
    return Loaded(
        hooks=overridden_hooks(method),
        space_problems=problems,
        runnable=[f for f in request.families if not fatal and _has_defaults(method, f)],
        unknown_families=sorted(clip(family) for family in unknown),
        mistakes=[clip(mistake.text) for mistake in mistakes],
    )


def _has_defaults(method: type[Method], family: Family) -> bool:
    try:
        fields = hyperparameters_for(method, family).model_fields.values()
    except AssayError:
        return False
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
    findings = ResultLog(request.shared / "findings.jsonl", request.method)
    toy, reached = _toy(shared), False
    with findings.check("runs"):
        subject = _subject(request)
        given = {name: tensor.clone() for name, tensor in toy.problem.train.items()}
        first = subject.trained(toy)
        _check_runs(findings, toy, first)
        changed = first_difference(given, toy.problem.train)
        if changed is not None:
            text = f"the training set was changed in place ({changed})"
            findings.add("runs", "failed", f"{text}: work on a clone of what sampler is given")
        reached = changed is None
    if not reached:
        return Done()
    with findings.check("repeatable"):
        _check_repeatable(findings, subject, toy, first)
    with findings.check("snapshot"):
        _check_snapshot(findings, toy, first)
    with findings.check("finalize_model"):
        _check_finalize(findings, toy.task, first.session)
    with findings.check("learning rate"):
        _check_lr(findings, subject, toy)
    if request.corners:
        with findings.check("search space"):
            _check_corners(findings, subject, toy)
    with findings.check("cost"):
        check_cost(findings, subject, toy)
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
        if isinstance(task, Functions):  # an instance of its own, as that of no run may be here
            problem = task.prepare(Seeds("check", task.card.slug, 0))
        else:
            problem = Problem(load_file(request.train), [load_file(request.starts[0])])
        toy = Toy(task, problem)
        session = subject.session(toy, reference=request.reference)
        points: list[Point] = []
        try:
            session.train_batches(N_FIT_BATCHES, points.append)
        except Diverged as error:  # a score like any other, and tuning may find better values
            findings.add("tasks", "note", f"diverges with its defaults: {error}")
            return Done()
        state = points[-1].state if points else session.take_point().state
        read_snapshot(snapshot_bytes(state), task.layout(toy.problem))
    return Done()


def _check_runs(findings: ResultLog, toy: Toy, trained: Trained) -> None:
    plan, counter = trained.session.plan, trained.session.counter
    end, start = trained.points[-1].state, toy.problem.starts[0]
    common = start.keys() & end.keys()
    if common and all(torch.equal(start[name], end[name]) for name in common):
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
    advice = (
        "the engine sets the lr for each batch: put the schedule into lr_factor, which gets the "
        "share of the budget that is spent"
    )
    # A scheduler leaves this key in each group, even before it changes the learning rate.
    if any("initial_lr" in group for o in session.optimizers for group in o.param_groups):
        text = "the optimizer has a scheduler of torch.optim.lr_scheduler"
        findings.add("learning rate", "failed", f"{text}; {advice}")
        return
    before = [_lrs(optimizer) for optimizer in session.optimizers]
    inner = [
        (f"{type(optimizer).__name__}.{name}", held, _lrs(held))
        for optimizer in session.optimizers
        for name, held in vars(optimizer).items()
        if isinstance(held, Optimizer)
    ]
    for _ in range(N_LR_BATCHES):
        session.train_batches(1, lambda point: None)
        changed = session.lr_changed_by_method()
        if changed is not None:
            text = f"the method changed a group's lr from {changed[0]:.4g} to {changed[1]:.4g}"
            findings.add("learning rate", "failed", f"{text}; {advice}")
            return
    if before != [_lrs(optimizer) for optimizer in session.optimizers]:
        for name, held, lrs in inner:
            if lrs and lrs == _lrs(held):
                text = f"lr_factor does not reach {name}, which has groups of its own"
                advice = "make it from the self.param_groups of the optimizer around it"
                findings.add("learning rate", "note", f"{text}: {advice}")


def _lrs(optimizer: Optimizer) -> list[float]:
    lrs = (group.get("lr") for group in optimizer.param_groups)
    return [float(lr) for lr in lrs if lr is not None]


def _check_snapshot(findings: ResultLog, toy: Toy, trained: Trained) -> None:
    """As the scorer reads and scores it."""
    layout = toy.task.layout(toy.problem)
    snapshots = []
    for point in trained.points:
        state, _ = read_snapshot(snapshot_bytes(point.state), layout)
        snapshots.append(
            Snapshot(
                batch=point.batch,
                passes=point.passes,
                example_passes=point.example_passes,
                state=state,
            )
        )
    scores = toy.task.score(toy.problem, [snapshots])
    chance = toy.task.card.metric.chance
    better = scores.test > chance
    findings.add(
        "snapshot",
        "ok" if better else "note",
        f"fits the task's model; scores {scores.test:.3g} on the toy (chance {chance:g})",
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
    model = hyperparameters_for(subject.method, toy.task.card.family)
    corners = [
        {name: value} for name, found in space_of(model).ranges.items() for value in _ends(found)
    ]
    n_tried, n_diverged, deadline = 0, 0, time.process_time() + MAX_CORNER_SECONDS
    wrong: dict[str, list[str]] = {}
    for corner in _thinned(corners, MAX_CORNERS):
        if time.process_time() > deadline:
            break
        n_tried += 1
        try:
            session = subject.session(toy, values=model(**corner))
            session.train_batches(N_CORNER_BATCHES, lambda point: None)
        except Diverged:
            n_diverged += 1
        except Exception as error:
            shown = ", ".join(f"{key}={value!r}" for key, value in corner.items())
            wrong.setdefault(explained(error, subject.source), []).append(shown)
    for text, where in wrong.items():
        more = f" and {len(where) - 3} more" if len(where) > 3 else ""
        findings.add("search space", "failed", f"{', '.join(where[:3])}{more}: {text}")
    if n_tried and not wrong:
        shown = f", {n_diverged} of them diverge" if n_diverged else ""
        findings.add("search space", "ok", f"{n_tried} ends of ranges run{shown}")


def _ends(found: Range) -> list[Value]:
    return list(found.options) if isinstance(found, ChoiceRange) else [found.low, found.high]


def _thinned(items: list[Any], n: int) -> list[Any]:
    return items[:: -(-len(items) // n)] if items else []


def _difference(one: Sequence[Point], other: Sequence[Point]) -> str | None:
    """Where two runs first differ, or None."""
    for a, b in zip(one, other, strict=False):
        if a.batch != b.batch or a.passes != b.passes:
            return f"{a.passes} passes after batch {a.batch}, {b.passes} after batch {b.batch}"
        difference = first_difference(a.state, b.state)
        if difference is not None:
            return f"after batch {a.batch}, {difference}"
    return None if len(one) == len(other) else f"{len(one)} and {len(other)} evaluation points"
