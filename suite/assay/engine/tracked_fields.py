"""A record in MLflow's terms: name, tags, parameters, metrics and times of its run and parent."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence

from assay.engine.metric_names import legal_names
from assay.identity import content_id
from assay.records.schema import RunRecord

NOTE_TAG = "mlflow.note.content"
MAX_TAG, MAX_PARAMETER = 5000, 6000


def cell_id(record: RunRecord) -> str:
    """Equal for the runs of one cell."""
    own = {"repetition", "point", "hyperparameters"}
    return content_id(record.spec.model_dump(mode="json", exclude=own))


def run_name(record: RunRecord) -> str:
    """Different for all runs of a cell."""
    spec = record.spec
    point = f"settings {record.id[:6]}" if spec.point is None else f"point {spec.point}"
    return f"{spec.method.slug} repetition {spec.repetition} {point}"


def parameters(record: RunRecord) -> dict[str, str]:
    """A run's hyperparameters, under names that MLflow takes."""
    values = record.spec.hyperparameters
    names = legal_names(values)
    return {names[key]: str(value)[:MAX_PARAMETER] for key, value in values.items()}


def result_parameters(record: RunRecord, best: RunRecord | None) -> dict[str, str]:
    """Parameters of a parent; `best` is the run whose hyperparameters it shows."""
    own = {"method": record.spec.method.slug, "task": record.spec.task.slug}
    return {**(parameters(best) if best else {}), **own}


def result_metrics(selected: Sequence[RunRecord]) -> dict[str, float]:
    """Means over the selected runs, under the names that single runs use, and their spread."""
    results = [run.result for run in selected if run.result]
    if not results:
        return {}
    tests = [result.test for result in results]
    names = set.intersection(*(set(_scores(run)) for run in selected if run.result))
    scores = [_scores(run) for run in selected if run.result]
    values = {name: statistics.fmean(found[name] for found in scores) for name in names}
    values |= {"test.n": float(len(tests)), "test.mean": statistics.mean(tests)}
    if len(tests) > 1:
        values["test.sd"] = statistics.stdev(tests)
    return values


def _scores(record: RunRecord) -> dict[str, float]:
    """A run's scores; a secondary metric that is called like one of ours gets a prefix."""
    if record.result is None:
        return {}
    own = record.result.model_dump(exclude={"secondary", "selected"})
    further = record.result.secondary
    return {**own, **{f"secondary.{k}" if k in own else k: v for k, v in further.items()}}


def run_metrics(record: RunRecord) -> dict[str, float]:
    """A run's scores and what it used, by name."""
    usage = {f"usage.{key}": float(value) for key, value in record.usage.model_dump().items()}
    return {**_scores(record), **usage}


def run_tags(record: RunRecord) -> dict[str, str]:
    """What else is known of a run, and how to repeat it."""
    environment, spec = record.environment, record.spec
    found = {
        "assay.record_id": record.id,
        "assay.status": record.status,
        "assay.message": record.message[:500],
        "assay.point": str(spec.point),
        "assay.repetition": str(spec.repetition),
        "assay.task": spec.task.slug,
        "assay.task_hash": spec.task.code_hash,
        "assay.run_method": spec.method.slug,
        "assay.run_method_hash": spec.method.code_hash,
        "assay.ruleset": str(spec.ruleset),
        "assay.isolation": record.isolation.level,
        "assay.weights_sha256": record.weights_sha256 or "",
        "assay.commit": environment.commit or "",
        "assay.dirty": str(environment.dirty),
        "assay.torch": environment.torch,
        "assay.cpu": environment.cpu,
        "assay.reproduce": record.reproduce,
        NOTE_TAG: f"{run_name(record)} on {spec.task.slug}: {record.status}"
        f"{': ' * bool(record.message)}{record.message[:500]}\n\n    {record.reproduce}",
        **_source(record),
    }
    return {key: value[:MAX_TAG] for key, value in found.items()}


def parent_tags(record: RunRecord) -> dict[str, str]:
    """The cell that a parent run stands for, and what its numbers are."""
    spec = record.spec
    return {
        "assay.cell": cell_id(record),
        "assay.method": spec.method.slug,
        "assay.method_hash": spec.method.code_hash,
        "assay.task": spec.task.slug,
        "assay.family": record.family,
        "assay.tier": record.tier,
        NOTE_TAG: f"`{spec.method.slug}` on `{spec.task.slug}`. Metrics are means over repetitions "
        "of the run selected on validation; parameters are those of the best of these runs. The "
        "single runs are nested in this one.",
        **_source(record),
    }


def _source(record: RunRecord) -> dict[str, str]:
    """What MLflow shows as the source of a run."""
    found = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"assay run {record.spec.method.slug}",
    }
    commit = record.environment.commit
    return {**found, "mlflow.source.git.commit": commit} if commit else found


def ended_at(record: RunRecord) -> int:
    """When a run ended, since 1970."""
    return round(datetime.datetime.fromisoformat(record.created_at).timestamp() * 1000)


def began_at(record: RunRecord) -> int:
    """When a run began, in milliseconds since 1970."""
    return ended_at(record) - round(1000 * record.usage.wall_seconds)
