"""Checks a task's code, in a forked child of a worker, for `assay check`."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Generator, Tensor

from assay.errors import DataError
from assay.messages.worker import ProbeTask, TaskProbed
from assay.plugins.loading import load_task
from assay.ruleset import RULESET
from assay.space import space_of
from assay.task import Problem, Seeds, Task, untrained_runs, untrained_states
from assay.untrusted.weights import read_snapshot, snapshot_bytes
from assay.worker.findings import ResultLog, first_difference

N_NULLS = 3
"""Repetitions over which the score of untrained weights is averaged."""
MAX_LEAK = 0.01
"""Share of examples that two splits may have in common: published data have duplicates."""
SEALED_NAMES = ("val_", "test_", "clean", "sealed")


def probe_task(request: ProbeTask) -> TaskProbed:
    """Every check of a task that needs no training, and the mean score of untrained weights."""
    shared = request.shared
    findings = ResultLog(shared / "findings.jsonl", request.task / "task.py")
    task: Task | None = None
    with findings.check("loads"):
        task = load_task(request.task)
        space = space_of(task.Reference)
        tunable = ", ".join(space.ranges) or "nothing"
        findings.add("loads", "ok", f"of its reference optimizer, {tunable} can be tuned")
    if task is None:
        return TaskProbed()
    problem: Problem | None = None
    with findings.check("prepare"):
        try:
            problem = task.prepare(_seeds(task, 0))
        except DataError as error:
            findings.add("prepare", "note", f"nothing more was checked: {error}")
            return TaskProbed()
        _check_prepare(findings, task, problem)
    if problem is None:
        return TaskProbed()
    with findings.check("sealed"):
        _check_sealed(findings, problem)
    with findings.check("layout"):
        _check_layout(findings, task, problem)
    with findings.check("loss"):
        _check_loss(findings, task, problem)
    with findings.check("null"):
        return TaskProbed(null=_null_score(task, problem))
    return TaskProbed()


def _seeds(task: Task, repetition: int) -> Seeds:
    return Seeds(RULESET.seed_root, task.card.slug, repetition)


def _flat(problem: Problem) -> dict[str, Tensor]:
    parts = {"train": problem.train, "sealed": problem.sealed}
    parts |= {f"starts[{number}]": start for number, start in enumerate(problem.starts)}
    return {f"{part}.{name}": t for part, tensors in parts.items() for name, t in tensors.items()}


def _check_prepare(findings: ResultLog, task: Task, problem: Problem) -> None:
    problems = []
    again = first_difference(_flat(problem), _flat(task.prepare(_seeds(task, 0))))
    if again is not None:
        problems.append(f"the same seeds give other tensors ({again}): draw from Seeds alone")
    other = task.prepare(_seeds(task, 1))
    differs = first_difference(_flat(problem), _flat(other)) is not None
    if differs and task.card.deterministic:
        problems.append("repetition 1 differs, but the card says deterministic")
    if not differs and not task.card.deterministic:
        problems.append("repetition 1 is the same as repetition 0: use its seeds")
    problems += _shape_problems(task, problem)
    for text in problems:
        findings.add("prepare", "failed", text)
    if not problems:
        n = len(problem.train["targets"])
        findings.add("prepare", "ok", f"repeatable; n={n} examples, n={len(problem.starts)} starts")


def _shape_problems(task: Task, problem: Problem) -> list[str]:
    train, size = problem.train, task.card.budget.batch_size
    missing = sorted({"inputs", "targets"} - set(train))
    if missing:
        return [f"train lacks {', '.join(missing)}"]
    problems = []
    n = len(train["targets"])
    if len(train["inputs"]) != n:
        problems.append(f"{len(train['inputs'])} inputs and {n} targets")
    if n < size:
        problems.append(f"{n} training examples do not fill a batch of {size}")
    if not problem.starts:
        problems.append("there is no start")
    loose = [name for name, tensor in _flat(problem).items() if not tensor.is_contiguous()]
    if loose:
        problems.append(f"not contiguous, cannot be written: {', '.join(loose)}")
    return problems


def _check_sealed(findings: ResultLog, problem: Problem) -> None:
    """Whether sealed data reach the worker, by name or by content."""
    named = [name for name in problem.train if name.startswith(SEALED_NAMES)]
    if named:
        findings.add("sealed", "failed", f"train holds {', '.join(named)}: move it to sealed")
    for name, tensor in problem.sealed.items():
        copies = [key for key, given in problem.train.items() if _same(given, tensor)]
        if copies:
            findings.add("sealed", "failed", f"{name} is handed to the worker as train.{copies[0]}")
    shares = []
    for (one, rows), (other, others) in combinations(_parts(problem).items(), 2):
        share = len(rows & others) / min(len(rows), len(others))
        shares.append(f"{one} and {other} {share:.1%}")
        if share > MAX_LEAK:
            findings.add("sealed", "failed", f"{one} and {other} share {share:.1%} of the smaller")
    if not findings.failed("sealed"):
        found = f"share of equal examples: {', '.join(shares)}" if shares else "nothing is in train"
        findings.add("sealed", "ok", found)


def _parts(problem: Problem) -> dict[str, set[bytes]]:
    """The set of inputs of train and of each sealed part with inputs of the same shape.

    Nothing where no sealed part has such inputs.
    """
    inputs = problem.train["inputs"]
    parts = {"train": inputs}
    for name, tensor in problem.sealed.items():
        if name.endswith("_inputs") and tensor.shape[1:] == inputs.shape[1:]:
            parts[name.removesuffix("_inputs")] = tensor
    return {name: _rows(tensor) for name, tensor in parts.items()} if len(parts) > 1 else {}


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.numel() > 1 and torch.equal(one, other)


def _rows(inputs: Tensor) -> set[bytes]:
    return {row.tobytes() for row in inputs.contiguous().flatten(1).numpy()}


def _check_layout(findings: ResultLog, task: Task, problem: Problem) -> None:
    layout = task.layout(problem)
    for state in untrained_states(task, problem):
        read_snapshot(snapshot_bytes(state), layout)
    findings.add("layout", "ok", f"{len(layout)} tensors as the scorer expects them")


def _check_loss(findings: ResultLog, task: Task, problem: Problem) -> None:
    """Loss and augmentation: shapes, finite gradients, the same twice."""
    size = task.card.budget.batch_size
    inputs, targets = problem.train["inputs"][:size], problem.train["targets"][:size]
    model = task.model_for(problem, 0)
    model.load_state_dict(dict(problem.starts[0]))
    one, two = (task.augment(task.decode(inputs), Generator().manual_seed(1)) for _ in range(2))
    if not torch.equal(one, two):
        findings.add("loss", "failed", "augment gives other inputs for the same generator")
    outputs = model(one)
    loss, each = task.loss(outputs, targets), task.loss(outputs, targets, reduction="none")
    if loss.dim() or tuple(each.shape) != (len(targets),):
        shapes = f"{tuple(loss.shape)} and, with reduction='none', {tuple(each.shape)}"
        findings.add("loss", "failed", f"has shape {shapes}; expected () and ({len(targets)},)")
    loss.backward()  # type: ignore[no-untyped-call]
    bad = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not bool(torch.isfinite(parameter.grad).all())
    ]
    if bad:
        findings.add("loss", "failed", f"no finite gradient reaches {', '.join(bad[:5])}")
    if not findings.failed("loss"):
        findings.add("loss", "ok", f"{float(loss):.3g} at the start, gradients reach every weight")


def _null_score(task: Task, problem: Problem) -> float:
    """Mean score of untrained weights over some repetitions."""
    problems = [problem]
    if not task.card.deterministic:
        problems += [task.prepare(_seeds(task, number)) for number in range(1, N_NULLS)]
    return sum(_score(task, one) for one in problems) / len(problems)


def _score(task: Task, problem: Problem) -> float:
    return task.score(problem, untrained_runs(task, problem)).test
