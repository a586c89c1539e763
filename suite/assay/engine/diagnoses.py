"""Diagnoses of recorded runs: which runs, and how they are done again and measured."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

from assay.engine.descriptions import describe_method
from assay.engine.pool import Pool
from assay.engine.runs import REFERENCE_PREFIX, Job
from assay.errors import AssayError, RecordError
from assay.messages.scorer import Diagnosed
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.diagnosis import Diagnosis, MeasuredPoint, diagnosis_id
from assay.records.schema import RunRecord, RunSpec
from assay.records.selection import results
from assay.records.staleness import stale


def best_runs(
    task: TaskEntry, method: MethodEntry, records: Iterable[RunRecord]
) -> dict[int, RunRecord]:
    """The best run of each repetition on validation, by repetition, where it completed.

    Runs with hidden seeds are left out, as predictions on their test set are not for everybody;
    so are runs of code that has changed.

    Args:
        task: what they are on.
        method: whose they are.
        records: of this task and method.
    """
    refs = task_ref(task), method_ref(method)
    current = (r for r in records if r.spec.epoch is None and not stale(r.spec, *refs))
    found: dict[int, RunRecord] = {}
    for run in results(current, task.card.metric):
        if run.status == "completed":
            found.setdefault(run.spec.repetition, run)
    return found


def common(runs: Mapping[str, Mapping[int, RunRecord]], n: int) -> list[RunRecord]:
    """The runs in the first `n` repetitions that every method has, repetition by repetition.

    Args:
        runs: by method and repetition.
        n: how many repetitions.

    Raises:
        AssayError: no repetition is there for all of them.
    """
    shared = set.intersection(*(set(own) for own in runs.values()))
    if not shared:
        raise AssayError(
            f"{', '.join(runs)} have no repetition in common whose best run completed; make more "
            "with assay run, or leave one out"
        )
    return [own[repetition] for repetition in sorted(shared)[:n] for own in runs.values()]


def diagnosis(pool: Pool, task: TaskEntry, method: MethodEntry, record: RunRecord) -> Diagnosis:
    """Do a recorded run again and measure its networks.

    Raises:
        AssayError: it cannot be done, or ends otherwise than its record says.
    """
    found = pool.diagnose(Job(record.spec, task, method, record.space))
    if not found.points:
        raise RecordError(f"run {record.id}: its training loss was never finite; nothing to tell")
    lr = None
    if not found.batch_norm:
        lr = base_lr(record.spec, describe_method(pool, method).hooks)
    return Diagnosis(
        id=diagnosis_id(record.spec),
        spec=record.spec,
        same_weights=found.weights_sha256 == record.weights_sha256,
        points=with_lr(found, lr, task),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def base_lr(spec: RunSpec, hooks: Sequence[str]) -> float | None:
    """The learning rate that the task's schedule is applied to, as far as the spec tells."""
    if "lr_factor" in hooks:
        return None
    values = spec.hyperparameters
    found = values.get("lr", values.get(f"{REFERENCE_PREFIX}lr"))
    return found if isinstance(found, float) else None


def with_lr(found: Diagnosed, lr: float | None, task: TaskEntry) -> list[MeasuredPoint]:
    """The points, with the learning rate of the batch that follows on each."""
    budget = task.card.budget.example_passes
    return [
        point
        if lr is None
        else point.model_copy(
            update={"lr": lr * task.card.lr_factor(min(point.example_passes / budget, 1.0))}
        )
        for point in found.points
    ]
