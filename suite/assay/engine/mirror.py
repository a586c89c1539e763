"""Copies the JSON records to MLflow and Optuna, for people who use those.

The records are what counts. Mirroring runs in a thread of its own, adds what an interrupted command
left out, and only warns when it fails.

In MLflow: one experiment per task; one parent run per cell, which gets the repetitions' mean score
and the pictures of the cell when the command ends; one nested run per record, with its
hyperparameters, curves (one batched call), scores and provenance tags (`assay.*`): among them
repetition, point, and whether it is the selected run of its repetition. Which MLflow run belongs to
a record is kept in the results folder (Store.mlflow_runs).
"""

from __future__ import annotations

import datetime
import logging
import os
import queue
import statistics
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.cards import Direction
from assay.engine.studies import Studies
from assay.identity import content_id
from assay.records.schema import RunRecord
from assay.records.selection import counts
from assay.records.store import Store

Draw = Callable[[RunRecord], Mapping[str, str]]
"""The pictures of a record's cell: SVG by file name."""
PARENT_TAG, SELECTED_TAG = "mlflow.parentRunId", "assay.selected"
_IMPORTING = threading.Lock()  # MLflow's modules import each other: one thread at a time


class Mirror:
    """A thread that copies records to an MLflow tracking server and an Optuna storage.

    Args:
        store: the records' folder; keeps which MLflow run a record became.
        mlflow_uri: another tracking server than the SQLite file in that folder.
        draw: what draws the pictures of a cell, if anything does.
    """

    def __init__(
        self, store: Store, *, mlflow_uri: str | None = None, draw: Draw | None = None
    ) -> None:
        own_uri, self._optuna_url = default_uris(store.root)
        self._uri, self._store, self._draw = mlflow_uri or own_uri, store, draw
        self._queue: queue.SimpleQueue[tuple[RunRecord, Direction] | None]
        self._queue = queue.SimpleQueue()
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._known: dict[str, dict[str, str]] = {}
        self._unfinished: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._experiments: dict[str, str] = {}
        self._marked: set[str] = set()
        self._cells: dict[str, tuple[Direction, dict[int, list[RunRecord]]]] = {}
        self._thread.start()

    def put(self, record: RunRecord, direction: Direction) -> None:
        """Queue a record; returns at once."""
        self._queue.put((record, direction))

    def close(self, seconds: float | None = None) -> None:
        """Mirror what is queued, then stop; give up after `seconds`."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        self._try(self._connect)
        while (item := self._queue.get()) is not None:
            if self.problem is not None:
                continue  # the records are safe; the next command catches up
            self._try(self._mirror, *item)
        if self.problem is None:
            self._try(self._summarise)
        self._try(self._keep_index)

    def _try(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:
            self.problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

    def _connect(self) -> None:
        # Set before the import: MLflow reads them once. Records never travel as pickles.
        os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        warnings.filterwarnings("ignore", module="mlflow")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with _IMPORTING:
            import mlflow

            for name in ("mlflow", "alembic", "mlflow.store.db.utils"):  # reset by the import
                logging.getLogger(name).setLevel(logging.CRITICAL)
            self._client = mlflow.MlflowClient(tracking_uri=self._uri)
            self._studies = Studies(self._optuna_url)

    def _mirror(self, record: RunRecord, direction: Direction) -> None:
        task = record.spec.task.slug
        _, repetitions = self._cells.setdefault(_cell_id(record), (direction, {}))
        slim = record.model_copy(update={"curve": []})
        repetitions.setdefault(record.spec.repetition, []).append(slim)
        known = self._runs_of(task)
        if record.id not in known:
            known[record.id] = self._log(record, self._experiments[task])
        self._studies.add(record, direction)

    def _runs_of(self, task: str) -> dict[str, str]:
        """Record id -> MLflow run id for all mirrored runs of a task; asked once."""
        if task not in self._known:
            name = f"assay/{task}"
            found = self._client.get_experiment_by_name(name)
            self._experiments[task] = (
                found.experiment_id if found else self._create_experiment(name)
            )
            self._known[task] = {}
            token: str | None = None
            while True:
                page = self._client.search_runs(
                    [self._experiments[task]], max_results=1000, page_token=token
                )
                for run in page:
                    self._remember(task, run)
                token = page.token
                if not token:
                    break
        return self._known[task]

    def _create_experiment(self, name: str) -> str:
        """Create an experiment whose files go to the results folder.

        With an SQLite file MLflow would write them to the current folder.
        """
        folder = self._store.root.resolve() / "mlflow-artifacts" / name
        own = self._uri.startswith("sqlite:")
        created: str = self._client.create_experiment(
            name, artifact_location=folder.as_uri() if own else None
        )
        return created

    def _remember(self, task: str, run: Any) -> None:
        tags = run.data.tags
        if "assay.record_id" in tags:
            finished = run.info.end_time is not None  # else a killed command was writing it
            found = self._known[task] if finished else self._unfinished
            found[tags["assay.record_id"]] = run.info.run_id
            if tags.get(SELECTED_TAG) == "true":
                self._marked.add(tags["assay.record_id"])
        elif "assay.cell" in tags:
            self._parents[tags["assay.cell"]] = run.info.run_id

    def _parent(self, record: RunRecord, experiment: str) -> str:
        method = record.spec.method
        key = _cell_id(record)
        if key not in self._parents:
            tags = {
                "assay.cell": key,
                "assay.method": method.slug,
                "assay.method_hash": method.code_hash,
                "assay.task": record.spec.task.slug,
                "assay.family": record.family,
                "assay.tier": record.tier,
            }
            run = self._client.create_run(
                experiment, start_time=_milliseconds(record), tags=tags, run_name=method.slug
            )
            self._client.set_terminated(run.info.run_id, end_time=_milliseconds(record))
            self._parents[key] = run.info.run_id
        return self._parents[key]

    def _summarise(self) -> None:
        """Mark the selected runs, and describe each cell on its parent."""
        for key, (direction, repetitions) in self._cells.items():
            counted = [[run for run in runs if counts(run.spec)] for runs in repetitions.values()]
            best = [chosen for runs in counted if (chosen := _selected(runs, direction))]
            for runs in counted:
                self._mark(runs, {run.id for run in best})
            if best:
                self._describe(self._parents[key], best)

    def _mark(self, runs: Sequence[RunRecord], best: set[str]) -> None:
        """Set the tag of the selected run, and unset it where another was selected before."""
        for run in runs:
            if (run.id in best) != (run.id in self._marked):
                value = "true" if run.id in best else "false"
                self._client.set_tag(self._known[run.spec.task.slug][run.id], SELECTED_TAG, value)

    def _describe(self, parent: str, best: Sequence[RunRecord]) -> None:
        """The selected runs' mean test score, and the pictures of their cell."""
        from mlflow.entities import Metric

        tests = [run.result.test for run in best if run.result]
        now = max(map(_milliseconds, best))
        values = {"test.n": float(len(tests)), "test.mean": statistics.mean(tests)}
        if len(tests) > 1:
            values["test.sd"] = statistics.stdev(tests)
        # Of two values at one time and step MLflow shows the larger, not the later one.
        metrics = [Metric(name, value, now, len(tests)) for name, value in values.items()]
        self._client.log_batch(parent, metrics, [])
        for name, text in (self._draw(best[0]) if self._draw else {}).items():
            self._client.log_text(parent, text, f"pictures/{name}")

    def _keep_index(self) -> None:
        """Which MLflow run each record became."""
        self._store.keep_mlflow_runs(
            {record: run for known in self._known.values() for record, run in known.items()}
        )

    def _log(self, record: RunRecord, experiment: str) -> str:
        from mlflow.entities import Metric, Param

        spec, end = record.spec, _milliseconds(record)
        begin = end - round(1000 * record.usage.wall_seconds)
        name = f"{spec.method.slug} repetition {spec.repetition} point {spec.point}"
        tags = {PARENT_TAG: self._parent(record, experiment), **_tags(record)}
        run_id = self._unfinished.pop(record.id, "")
        if not run_id:
            run = self._client.create_run(experiment, start_time=begin, tags=tags, run_name=name)
            run_id = run.info.run_id
        params = [Param(key, str(value)) for key, value in spec.hyperparameters.items()]
        metrics = [Metric(key, value, end, 0) for key, value in _scalars(record).items()]
        for point in record.curve:
            prefix = f"start{point.start}." if point.start else ""
            for split in ("val", "test", "train_loss"):
                value = getattr(point, split)
                if value is not None:
                    metrics.append(Metric(f"curve.{prefix}{split}", value, end, point.batch))
        for i in range(0, max(1, len(metrics)), 1000):
            self._client.log_batch(run_id, metrics[i : i + 1000], params if i == 0 else [])
        status = "FINISHED" if record.status == "completed" else "FAILED"
        self._client.set_terminated(run_id, status=status, end_time=end)
        return run_id


def _cell_id(record: RunRecord) -> str:
    """Equal for the runs of one cell."""
    own = {"repetition", "point", "hyperparameters"}
    return content_id(record.spec.model_dump(mode="json", exclude=own))


def _selected(runs: Sequence[RunRecord], direction: Direction) -> RunRecord | None:
    """The best on validation of the runs that completed, the earliest among equals."""
    sign = 1.0 if direction == "maximize" else -1.0
    scored = [(sign * run.result.val, -(run.spec.point or 0), run) for run in runs if run.result]
    return max(scored, key=lambda item: item[:2])[2] if scored else None


def _scalars(record: RunRecord) -> dict[str, float]:
    usage = {f"usage.{key}": float(value) for key, value in record.usage.model_dump().items()}
    if record.result is None:
        return usage
    result = record.result.model_dump(exclude={"secondary", "selected"})
    return {**result, **record.result.secondary, **usage}


def _tags(record: RunRecord) -> dict[str, str]:
    environment = record.environment
    return {
        "assay.record_id": record.id,
        "assay.status": record.status,
        "assay.message": record.message[:500],
        "assay.point": str(record.spec.point),
        "assay.repetition": str(record.spec.repetition),
        "assay.task": record.spec.task.slug,
        "assay.task_hash": record.spec.task.code_hash,
        "assay.run_method": record.spec.method.slug,
        "assay.run_method_hash": record.spec.method.code_hash,
        "assay.ruleset": str(record.spec.ruleset),
        "assay.isolation": record.isolation.level,
        "assay.weights_sha256": record.weights_sha256 or "",
        "assay.commit": environment.commit or "",
        "assay.dirty": str(environment.dirty),
        "assay.torch": environment.torch,
        "assay.cpu": environment.cpu,
        "assay.reproduce": record.reproduce,
    }


def _milliseconds(record: RunRecord) -> int:
    return round(datetime.datetime.fromisoformat(record.created_at).timestamp() * 1000)


def default_uris(root: Path) -> tuple[str, str]:
    """MLflow's and Optuna's SQLite files in the results folder."""
    return f"sqlite:///{root.resolve()}/mlflow.db", f"sqlite:///{root.resolve()}/optuna.db"
