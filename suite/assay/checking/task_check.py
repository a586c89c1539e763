"""The checks of a task: its card, its code on a scorer's data, and a run of its reference."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from assay.cards import TaskCard, read_card
from assay.checking.report import CheckResult, failed, fine, note, read_findings
from assay.engine.pool import Pool
from assay.errors import AssayError, CardError, PluginError, UnknownName, WorkerError
from assay.messages.worker import TASK_CHECKS, ProbeTask
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    find_method,
    illegal,
    task_entries,
    unrecordable,
)
from assay.records.schema import RunRecord

TASK_SECONDS = 300.0
SLOW_LITE_SECONDS = 2.0
"""CPU time of a run above which a task is too slow for the lite tier."""
NULL_SHARE = 0.25
"""Untrained weights may score this share of the way from chance to the reference."""


def check_task(pool: Pool, folder: Path) -> Iterator[CheckResult]:
    """All checks of one task folder."""
    try:
        card = read_card(folder / "card.toml", TaskCard)
    except CardError as error:
        yield from (failed("card", problem) for problem in error.problems)
        return
    entry = TaskEntry(card, folder)
    yield fine("card", f"{card.family}, {card.tier}, {card.metric.name} ({card.metric.direction})")
    yield from _check_targets(card)
    if card.superseded_by and card.superseded_by not in task_entries():
        yield failed(
            "card", f"superseded_by: {UnknownName('task', card.superseded_by, task_entries())}"
        )
    problem, null = None, None
    with tempfile.TemporaryDirectory(prefix="assay-check-") as name:
        shared, left = Path(name) / "shared", Path(name) / "left"
        shared.mkdir()
        left.mkdir()
        request = ProbeTask(task=folder, shared=shared, seconds=TASK_SECONDS)
        try:
            null = pool.audit(request, left).null
        except (PluginError, WorkerError) as error:
            problem = str(error)
        found = left / "findings.jsonl"
        yield from read_findings(found, problem, None, TASK_CHECKS, all_of_them=False)
    yield from _check_reference(pool, entry, null)


def _check_targets(card: TaskCard) -> Iterator[CheckResult]:
    """Targets get harder from easy to reference to stretch, and all are better than chance."""
    sign = 1 if card.metric.direction == "maximize" else -1
    order = {"easy": 0, "reference": 1, "stretch": 2}
    targets = sorted(card.targets, key=lambda target: order[target.name])
    values = [sign * card.metric.chance, *(sign * target.value for target in targets)]
    if len({target.name for target in targets}) < len(targets):
        yield failed("card", "targets: each of easy, reference and stretch at most once")
    elif any(a >= b for a, b in pairwise(values)):
        shown = ", ".join(f"{target.name} {target.value:g}" for target in targets)
        yield failed(
            "card",
            f"targets: expected chance {card.metric.chance:g}, {shown} to get harder in turn",
        )


def _check_reference(pool: Pool, task: TaskEntry, null: float | None) -> Iterator[CheckResult]:
    """The reference submission exists, may enter the task, and beats untrained weights."""
    card = task.card
    try:
        reference = find_method(card.reference)
    except UnknownName as error:
        yield failed("reference", str(error))
        return
    except CardError as error:
        yield note("reference", f"not run: {len(error.problems)} problems in cards of methods")
        return
    if (reason := illegal(reference.card, card)) is not None:
        yield failed("reference", reason)
        return
    if card.tier != "lite" or null is None:
        why = "its tier is beyond lite" if card.tier != "lite" else "the task failed before"
        yield note("reference", f"{card.reference} was not run: {why}")
        return
    try:
        record = _reference_run(pool, task, reference)
    except AssayError as error:
        yield failed("reference", str(error))
        return
    yield from _judge_reference(card, record, null)


def _reference_run(pool: Pool, task: TaskEntry, reference: MethodEntry) -> RunRecord:
    from assay.engine.cells import make_cells

    if problem := unrecordable(task):
        raise PluginError(problem)
    (cell,) = make_cells([(task, reference)], pool)
    spec = next(iter(cell.specs.values()))
    return pool.run(cell.job(spec), cell.reproduce(spec))


def _judge_reference(card: TaskCard, record: RunRecord, null: float) -> Iterator[CheckResult]:
    if record.result is None:
        yield failed("reference", f"{card.reference}: {record.status}: {record.message}")
        return
    metric, usage = card.metric, record.usage
    sign = 1 if metric.direction == "maximize" else -1
    gain = sign * (record.result.test - metric.chance)
    scored = f"{metric.name} {record.result.test:.4g} with {card.reference}'s defaults"
    if gain <= 0:
        yield failed("reference", f"{scored} is no better than chance ({metric.chance:g})")
        return
    yield fine("reference", scored)
    off = sign * (null - metric.chance) / gain
    untrained = f"untrained weights score {null:.3g}, chance is {metric.chance:g}"
    if card.family == "quantization":
        yield note("null", f"{untrained}; the start is trained in float")
    elif abs(off) > NULL_SHARE:
        yield failed(
            "null", f"{untrained}: correct metric.chance, or the task measures no learning"
        )
    else:
        yield fine("null", untrained)
    spent = (
        f"{usage.wall_seconds:.2f} s a run ({usage.cpu_seconds:.2f} s of CPU), "
        f"{usage.peak_bytes / 2**20:.0f} MiB; the limit is {card.budget.seconds:g} s"
    )
    slow = card.tier == "lite" and usage.cpu_seconds > SLOW_LITE_SECONDS
    yield note("cost", f"{spent}: slow for the lite tier") if slow else fine("cost", spent)
