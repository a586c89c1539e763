"""Tries a method out on a family's toy, in a forked child of a worker, for `assay check`.

Each probe writes its findings to a file as it goes. Where a method hangs or kills its process, the
last check in that file, which has begun and has no finding, is the one that failed.
"""

from __future__ import annotations

import functools
import random
import statistics
import time
from collections.abc import Callable, Sequence
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
    MethodProbed,
    ProbeMethod,
    ProbeResume,
    Refusal,
    WorkerSeeds,
    clip,
)
from assay.method import Method, hyperparameters_for, method_space, overridden_hooks
from assay.plugins.loading import describe, load_method
from assay.space import ChoiceRange, Range, Value, space_of
from assay.task import Problem, Snapshot, Task, Tensors
from assay.untrusted.weights import read_snapshot, write_tensors
from assay.worker.findings import ResultLog, first_difference
from assay.worker.session import Diverged, Point, Session
from assay.worker.training import train

BLOCK, N_ROUNDS = 8, 4
"""Batches per timed block, and how often both methods are timed from the start."""
N_CORNER_BATCHES, MAX_CORNERS = 8, 24


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
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    checkpoint_problem: str = ""


@dataclass(frozen=True)
class ProbedMethod:
    """The method under test, as the engine would set it up."""

    method: type[Method]
    source: Path
    access: frozenset[Access]
    values: Any

    def session(self, toy: Toy, *, values: Any = None, bare: bool = False) -> Session:
        """A session of the method, or of the default method where `bare`, on a toy."""
        default = Method(Method.Hyperparameters())
        return Session(
            task=toy.task,
            method=default if bare else self.method(values or self.values),
            access=self.access,
            reference={},
            train=toy.problem.train,
            start=toy.problem.starts[0],
            seeds=WorkerSeeds(order=1, augment=2, method=3),
            device=torch.device("cpu"),
        )

    def trained(self, toy: Toy, prepare: Callable[[Session], None] = lambda _: None) -> Trained:
        """A whole run, with a checkpoint at each evaluation point."""
        trained = Trained(self.session(toy))
        prepare(trained.session)

        def on_point(point: Point) -> None:
            trained.points.append(point)
            try:
                trained.checkpoints.append(trained.session.checkpoint())
            except Exception as error:
                trained.checkpoint_problem = describe(error, self.source)

        train([trained.session], lambda _, point: on_point(point))
        return trained


def load(request: Load) -> Loaded | Refusal:
    """Import a method: the hooks it overrides and what is wrong with its search spaces."""
    try:
        method = load_method(request.method)
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
        keeps_state=method.state_dict is not Method.state_dict,
        restores_state=method.load_state_dict is not Method.load_state_dict,
    )


def _has_defaults(method: type[Method], family: Family) -> bool:
    fields = hyperparameters_for(method, family).model_fields.values()
    return not any(field.is_required() for field in fields)


def _toy(folder: Path) -> Toy:
    task = toy_task(TaskCard.model_validate_json((folder / "card.json").read_bytes()))
    parts = {name: load_file(folder / name) for name in ("train", "start", "sealed")}
    return Toy(task, Problem(parts["train"], [parts["start"]], parts["sealed"]))


def _subject(request: ProbeMethod | ProbeResume) -> ProbedMethod:
    method = load_method(request.method)
    values = hyperparameters_for(method, request.family)()
    return ProbedMethod(method, request.method, frozenset(request.access), values)


def probe_method(request: ProbeMethod) -> MethodProbed:
    """Every check of a method on one family's toy, except the resumed half of a run."""
    shared = request.shared / request.family
    findings = ResultLog(shared / "findings.jsonl", request.method)
    toy, reached = _toy(shared), False
    with findings.check("runs"):
        subject = _subject(request)
        first = subject.trained(toy)
        _check_runs(findings, first)
        reached = True
    if not reached:
        return MethodProbed()
    with findings.check("repeatable"):
        _check_repeatable(findings, subject, toy, first)
    with findings.check("snapshot"):
        _check_snapshot(findings, toy, first, shared)
    with findings.check("finalize_model"):
        _check_finalize(findings, toy.task, first.session)
    if request.corners:
        with findings.check("search space"):
            _check_corners(findings, subject, toy)
    with findings.check("cost"):
        _check_cost(findings, subject, toy)
    if findings.failed("repeatable"):
        findings.add("resume", "note", "cannot be told before the method is repeatable")
        return MethodProbed()
    with findings.check("gradients in place"):
        _check_in_place(findings, subject, toy, first)
    with findings.check("resume"):
        return MethodProbed(resume=_save_halfway(findings, first, shared))
    return MethodProbed()


def _check_runs(findings: ResultLog, trained: Trained) -> None:
    spent = trained.session.spent
    findings.add("runs", "ok", f"{spent.batches} batches, {spent.passes} passes")
    if not spent.passes:
        findings.add(
            "runs",
            "failed",
            "no forward-backward pass was counted: call step.backward(loss), or "
            "step.count_pass() where gradients come by other means",
        )


def _check_repeatable(findings: ResultLog, subject: ProbedMethod, toy: Toy, first: Trained) -> None:
    """Once more with other global random numbers, and if that differs, with the same."""
    other = _disturbed(subject, toy, 2)
    if _difference(first.points, other.points) is None:
        findings.add("repeatable", "ok", "bit for bit, whatever the global random state")
        return
    same = [_disturbed(subject, toy, 1) for _ in range(2)]
    difference = _difference(same[0].points, same[1].points)
    if difference is None:
        found = "the weights depend on the global random state of torch, numpy or Python"
        findings.add("repeatable", "failed", f"{found}; draw from plan.generator instead")
    else:
        found = f"two runs with the same seeds differ: {difference}"
        advice = "keep nothing in the module between runs; draw from plan.generator alone"
        findings.add("repeatable", "failed", f"{found}; {advice}")


def _disturbed(subject: ProbedMethod, toy: Toy, seed: int) -> Trained:
    """A run whose hooks meet other global random state, when set up and when trained."""

    class Disturbed(type(toy.task)):  # type: ignore[misc]
        def build_model(self, train: Tensors) -> nn.Module:
            model: nn.Module = super().build_model(train)
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            return model

    def reseed(session: Session) -> None:
        session.global_seed = seed

    return subject.trained(toy.changed(Disturbed(toy.task.card)), reseed)


def _check_snapshot(findings: ResultLog, toy: Toy, trained: Trained, folder: Path) -> None:
    """As the scorer reads and scores it."""
    layout = toy.task.layout(toy.problem)
    snapshots = []
    for point in trained.points:
        path = folder / f"{point.batch}.safetensors"
        write_tensors(point.state, path)
        state, _ = read_snapshot(path, layout)
        snapshots.append(Snapshot(batch=point.batch, passes=point.passes, state=state))
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
            session.train_batches(0, N_CORNER_BATCHES, lambda point: None)
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
    budget = card.budget.model_copy(update={"passes": None})
    one_point = card.evaluation.model_copy(update={"points": 1})
    timed = toy_task(card.model_copy(update={"budget": budget, "evaluation": one_point}))
    ratios: list[float] = []
    bare_seconds: list[float] = []
    passes = 0.0
    for _ in range(N_ROUNDS):
        pair = [subject.session(toy.changed(timed), bare=bare) for bare in (False, True)]
        # The last block would time an evaluation too.
        for begin in range(0, card.budget.batches - BLOCK, BLOCK):
            seconds = [_timed(session, begin, begin + BLOCK) for session in pair]
            # The first block warms up; and on some machines the clock of a process moves in jumps.
            if begin and min(seconds) > 0:
                ratios.append(seconds[0] / seconds[1])
                bare_seconds.append(seconds[1] / BLOCK)
        passes = pair[0].spent.passes / pair[0].spent.batches
    if len(ratios) < 2:
        findings.add("cost", "note", "not measured: the clock of CPU time stood still")
        return
    low, ratio, high = statistics.quantiles(ratios, n=4)
    microseconds = 1e6 * statistics.median(bare_seconds)
    findings.add(
        "cost",
        "ok",
        f"{ratio:.2f} times the bare task's step of {microseconds:.0f} us (quartiles {low:.2f} to "
        f"{high:.2f}, n={len(ratios)} blocks of {BLOCK}), {passes:.3g} passes per batch",
    )


def _timed(session: Session, begin: int, end: int) -> float:
    """CPU seconds: other processes on the machine count for less than in wall time."""
    before = time.process_time()
    session.train_batches(begin, end, lambda point: None)
    return time.process_time() - before


def _save_halfway(findings: ResultLog, first: Trained, folder: Path) -> list[int]:
    """Write a checkpoint and the weights after it, for `probe_resume` in a fresh process.

    Returns:
        The evaluation points after the checkpoint; none where a finding says why there is none.
    """
    if first.checkpoint_problem:
        problem = f"its state cannot be copied: {first.checkpoint_problem}"
        findings.add("resume", "failed", f"{problem}; keep plain tensors and numbers in state_dict")
        return []
    if len(first.points) < 2:
        findings.add("resume", "note", "not checked: the pass budget ended before a second point")
        return []
    middle = (len(first.points) - 1) // 2
    torch.save(first.checkpoints[middle], folder / "checkpoint")
    for point in first.points[middle + 1 :]:
        write_tensors(point.state, folder / f"after-{point.batch}")
    return [point.batch for point in first.points[middle + 1 :]]


def probe_resume(request: ProbeResume) -> Done:
    """Finish a run from its checkpoint, in a process that never saw the first half."""
    shared = request.shared / request.family
    findings = ResultLog(shared / "findings.jsonl", request.method)
    with findings.check("resume"):
        saved = _loaded(findings, shared / "checkpoint")
        if saved is None:
            return Done()
        session = _subject(request).session(_toy(shared))
        session.resume(saved)
        points: list[Point] = []
        train([session], lambda _, point: points.append(point))
        for point, batch in zip(points, request.batches, strict=True):
            expected = load_file(shared / f"after-{batch}")
            difference = first_difference(expected, point.state)
            if difference is not None:
                findings.add(
                    "resume",
                    "failed",
                    f"killed after batch {saved['batch']} and resumed, batch {batch} differs: "
                    f"{difference}; whatever is learnt outside the model and its optimizers "
                    "belongs into state_dict and load_state_dict",
                )
                return Done()
        findings.add("resume", "ok", f"from batch {saved['batch']} in a fresh process, bit for bit")
    return Done()


def _loaded(findings: ResultLog, path: Path) -> dict[str, Any] | None:
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split("\n")[:2])[:300]
        advice = "keep plain tensors, numbers, strings, lists and dictionaries in state_dict"
        findings.add("resume", "failed", f"its checkpoint is not plain data ({reason}); {advice}")
        return None
    return saved


def _difference(one: Sequence[Point], other: Sequence[Point]) -> str | None:
    """Where two runs first differ, or None."""
    for a, b in zip(one, other, strict=False):
        if a.batch != b.batch or a.passes != b.passes:
            return f"{a.passes} passes after batch {a.batch}, {b.passes} after batch {b.batch}"
        difference = first_difference(a.state, b.state)
        if difference is not None:
            return f"after batch {a.batch}, {difference}"
    return None if len(one) == len(other) else f"{len(one)} and {len(other)} evaluation points"
