"""What MLflow holds of the records: one experiment a task, one parent run a cell, a run a record.

A parent run has the cell's result: method, task and the best run's hyperparameters as parameters,
means over the repetitions' selected runs as metrics, and the pictures of the cell. A nested run has
the hyperparameters, curves, scores and provenance (tags `assay.*`) of one record.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assay.engine.databases import Unavailable, damage, follow_artifacts, open_database
from assay.engine.metric_names import legal_names
from assay.engine.servers import is_down, is_postgresql, open_server, said
from assay.engine.tracked_fields import (
    NOTE_TAG,
    began_at,
    cell_id,
    ended_at,
    parameters,
    parent_tags,
    result_metrics,
    result_parameters,
    run_metrics,
    run_name,
    run_tags,
)
from assay.records.schema import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT_TAG, SELECTED_TAG = "mlflow.parentRunId", "assay.selected"
KIND_TAG, TRAINING = "mlflow.experimentKind", "custom_model_development"
"""Experiments of this kind open on their runs and charts, not on traces of language models."""
RUNS_METRIC = "runs.n"
"""How many runs of its cell a parent's result is made of."""
DATABASE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"
_IMPORTING = threading.Lock()  # MLflow's modules import each other: one thread at a time


@dataclass
class _Parent:
    """A parent run as MLflow has it."""

    run_id: str
    name: str
    params: dict[str, str] = field(default_factory=dict)
    n_runs: float = 0.0
    """The runs that its result is made of."""
    children: list[str] = field(default_factory=list)


@dataclass
class _Experiment:
    """An experiment as MLflow has it; asked once a command."""

    id: str
    runs: dict[str, str] = field(default_factory=dict)
    """MLflow's run ids by record id."""
    unfinished: dict[str, str] = field(default_factory=dict)
    """The same of runs that a killed command was writing."""
    selected: set[str] = field(default_factory=set)
    """Ids of the records whose runs are marked as selected."""
    parents: dict[str, _Parent] = field(default_factory=dict)
    """By cell."""
    children: dict[str, list[str]] = field(default_factory=dict)
    """MLflow's run ids by that of their parent."""


class Tracking:
    """Copies records to an MLflow tracking server, or to an SQLite file in the results folder."""

    def __init__(self, uri: str | None, root: Path, tell: Callable[[str], None]) -> None:
        """Connect.

        Args:
            uri: a tracking server or a PostgreSQL database; None: the SQLite file `mlflow.db` in
                `root`.
            root: the results folder.
            tell: gets a line about what was repaired.

        Raises:
            Unavailable: the server does not answer, or the file cannot be used now.
        """
        self._uri, self._path, self._tell = uri, root.resolve() / DATABASE, tell
        self._artifacts = (root.resolve() / ARTIFACTS).as_uri()
        self._experiments: dict[str, _Experiment | Exception] = {}
        self.is_new = False
        _prepare_import()
        with _IMPORTING:
            import mlflow  # noqa: F401

            for name in ("mlflow", "alembic", "mlflow.store.db.utils"):  # reset by the import
                logging.getLogger(name).setLevel(logging.CRITICAL)
            self._connect()

    def _connect(self) -> None:
        if self._uri is None:
            if self._path.exists() and damage(self._path) is None:
                self._follow()
            self._client, self.is_new = open_database(self._path, _open, _close, self._tell)
            return
        try:
            if is_postgresql(self._uri):
                self._client = open_server(self._uri, _open)
            else:
                self._client = _open(self._uri)
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(self._no_answer(error)) from error

    def _follow(self) -> None:
        """Correct the places of pictures if the results folder has moved since."""
        with contextlib.suppress(sqlite3.Error):  # without tables: opening it says more
            follow_artifacts(self._path, self._artifacts)

    def _no_answer(self, error: Exception) -> str:
        """One line about a server, without the password in its address."""
        parts = urlsplit(self._uri or "")
        text = said(error, self._uri or "")
        if "@" in parts.netloc:
            text = text.replace(parts.netloc, parts.netloc.rpartition("@")[2])
        if "Max retries" in text or "timed out" in text:
            return f"the server at {parts.hostname or self._uri} does not answer"
        return text

    def fault(self, error: Exception) -> str | None:
        """Why MLflow cannot be used any more; None if only what was asked is at fault.

        Args:
            error: what MLflow answered.

        Raises:
            Unavailable: somebody has locked the file.
        """
        if self._uri is None:
            return damage(self._path)
        if is_down(error) or getattr(error, "error_code", None) == "TEMPORARILY_UNAVAILABLE":
            return self._no_answer(error)
        try:
            self._client.search_experiments(max_results=1)
        except Exception as again:
            return self._no_answer(again)
        return None

    def close(self) -> None:
        """Close the file: the folder may be moved."""
        if self._uri is None:
            _close(self._client)

    def runs(self, task: str) -> Mapping[str, str]:
        """MLflow's run ids of a task by record id."""
        return self._experiment(task).runs

    def index(self) -> dict[str, str]:
        """The same of all tasks of this command."""
        found = [one for one in self._experiments.values() if isinstance(one, _Experiment)]
        return {record: run for one in found for record, run in one.runs.items()}

    def add(self, record: RunRecord) -> None:
        """Copy a record that is not there yet."""
        found = self._experiment(record.spec.task.slug)
        if record.id not in found.runs:
            found.runs[record.id] = self._log(record, found)

    def summarise(
        self,
        runs: Sequence[RunRecord],
        selected: Sequence[RunRecord],
        best: RunRecord | None,
        draw: Callable[[RunRecord], Mapping[str, str]] | None,
    ) -> None:
        """Mark the selected runs of a cell, and give their result to its parent.

        Args:
            runs: all runs of the cell that count.
            selected: the best on validation of each repetition.
            best: the best of those; None if no run completed.
            draw: what draws the pictures of a cell, SVG by file name.
        """
        found = self._experiment(runs[0].spec.task.slug)
        runs = [run for run in runs if run.id in found.runs]
        parent = found.parents.get(cell_id(runs[0])) if runs else None
        if parent is None or parent.n_runs > len(runs):
            return  # none of them could be copied, or there are more than were asked for now
        chosen = {run.id for run in selected}
        for run in runs:
            if (run.id in chosen) != (run.id in found.selected):
                value = "true" if run.id in chosen else "false"
                self._client.set_tag(found.runs[run.id], SELECTED_TAG, value)
        if parent.n_runs < len(runs):
            self._describe(found, parent, runs, selected, best, draw)

    def _describe(
        self,
        found: _Experiment,
        parent: _Parent,
        runs: Sequence[RunRecord],
        selected: Sequence[RunRecord],
        best: RunRecord | None,
        draw: Callable[[RunRecord], Mapping[str, str]] | None,
    ) -> None:
        """Give a cell's result to its parent run."""
        from mlflow.entities import Metric, Param

        params = result_parameters(best or runs[0], best)
        if any(parent.params.get(name, value) != value for name, value in params.items()):
            parent = self._replaced(found, parent, runs)
        if best is not None:
            for name, text in (draw(best) if draw else {}).items():
                self._client.log_text(parent.run_id, text, f"pictures/{name}")
        end = max(map(ended_at, runs))
        values = {**result_metrics(selected), RUNS_METRIC: float(len(runs))}
        names = legal_names(values)
        # Of two values at one time and step MLflow shows the larger, not the later one.
        metrics = [Metric(names[key], value, end, len(runs)) for key, value in values.items()]
        lacking = [Param(*item) for item in params.items() if item[0] not in parent.params]
        self._client.log_batch(parent.run_id, metrics, lacking)
        status = "FINISHED" if best is not None else "FAILED"
        self._client.set_terminated(parent.run_id, status=status, end_time=end)
        parent.n_runs, parent.params = len(runs), params

    def _replaced(self, found: _Experiment, parent: _Parent, runs: Sequence[RunRecord]) -> _Parent:
        """A parent run in place of one whose best run is no longer the best.

        A parameter of MLflow never changes, so that the run as a whole must.
        """
        first = min(runs, key=began_at)
        fresh = self._new_parent(found, first, parent.name)
        fresh.children = parent.children
        for child in fresh.children:
            self._client.set_tag(child, PARENT_TAG, fresh.run_id)
        self._client.delete_run(parent.run_id)
        return fresh

    def _experiment(self, task: str) -> _Experiment:
        """A task's experiment; asked once.

        Raises:
            MlflowException: MLflow refuses it.
        """
        if task not in self._experiments:
            try:
                self._experiments[task] = self._opened(task)
            except Exception as error:
                self._experiments[task] = error
        found = self._experiments[task]
        if isinstance(found, Exception):
            raise found
        return found

    def _opened(self, task: str) -> _Experiment:
        """Find or create a task's experiment, and read which runs it has."""
        name = f"assay/{task}"
        known = self._client.get_experiment_by_name(name)
        if known is None:
            try:
                return _Experiment(self._create_experiment(name, task))
            except Exception:  # unless another command has just made it
                known = self._client.get_experiment_by_name(name)
                if known is None:
                    raise
        found = _Experiment(known.experiment_id)
        if known.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.id)
            self._tell(f"the experiment {name} had been deleted in MLflow; it is there again")
        if KIND_TAG not in known.tags:
            self._client.set_experiment_tag(found.id, KIND_TAG, TRAINING)
        token: str | None = None
        while True:
            page = self._client.search_runs([found.id], max_results=1000, page_token=token)
            for run in page:
                _remember(found, run)
            token = page.token
            if not token:
                break
        for parent in found.parents.values():
            parent.children = found.children.get(parent.run_id, [])
        return found

    def _create_experiment(self, name: str, task: str) -> str:
        """Create an experiment whose files go to the results folder, or where a server keeps them.

        With a database MLflow would write them to the current folder.
        """
        database = self._uri is None or is_postgresql(self._uri)
        created: str = self._client.create_experiment(
            name,
            artifact_location=f"{self._artifacts}/{name}" if database else None,
            tags={
                KIND_TAG: TRAINING,
                NOTE_TAG: f"Runs of `assay run` on the task `{task}`: a parent run for each method "
                "with its result, and the single runs nested in it.",
            },
        )
        return created

    def _parent(self, record: RunRecord, found: _Experiment) -> _Parent:
        """The parent run of a record; its end is set with its result."""
        key, slug = cell_id(record), record.spec.method.slug
        if key not in found.parents:
            taken = any(parent.name == slug for parent in found.parents.values())
            self._new_parent(found, record, f"{slug} {key[:8]}" if taken else slug)
        return found.parents[key]

    def _new_parent(self, found: _Experiment, record: RunRecord, name: str) -> _Parent:
        run = self._client.create_run(
            found.id, start_time=began_at(record), tags=parent_tags(record), run_name=name
        )
        parent = found.parents[cell_id(record)] = _Parent(run.info.run_id, name)
        return parent

    def _log(self, record: RunRecord, found: _Experiment) -> str:
        from mlflow.entities import Metric, Param

        end, parent = ended_at(record), self._parent(record, found)
        run_id = found.unfinished.pop(record.id, "")
        if not run_id:
            run = self._client.create_run(
                found.id,
                start_time=began_at(record),
                tags={PARENT_TAG: parent.run_id, **run_tags(record)},
                run_name=run_name(record),
            )
            run_id = run.info.run_id
            parent.children.append(run_id)
        scalars = run_metrics(record)
        names = legal_names(scalars)
        metrics = [Metric(names[key], value, end, 0) for key, value in scalars.items()]
        for point in record.curve:
            prefix = f"start{point.start}." if point.start else ""
            for split in ("val", "test", "train_loss"):
                value = getattr(point, split)
                if value is not None:
                    metrics.append(Metric(f"curve.{prefix}{split}", value, end, point.batch))
        params = [Param(*item) for item in parameters(record).items()]
        self._client.log_batch(run_id, metrics, params)
        status = "FINISHED" if record.status == "completed" else "FAILED"
        self._client.set_terminated(run_id, status=status, end_time=end)
        return run_id


def _prepare_import() -> None:
    """Set what MLflow reads once, at its import. Records never travel as pickles."""
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    warnings.filterwarnings("ignore", module="mlflow")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _open(uri: str) -> MlflowClient:
    import mlflow
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception:
        engine = SqlAlchemyStore._engine_map.pop(uri, None)  # it has the unusable file open
        if engine is not None:
            engine.dispose()
        raise
    return client


def _close(client: MlflowClient) -> None:
    client._tracking_client.store.engine.dispose()  # MLflow keeps it for the next client


def _remember(found: _Experiment, run: Any) -> None:
    """Note what a run of MLflow is a copy of."""
    tags, run_id = run.data.tags, run.info.run_id
    if "assay.record_id" in tags:
        finished = run.info.end_time is not None  # else a killed command was writing it
        kept = found.runs if finished else found.unfinished
        kept[tags["assay.record_id"]] = run_id
        found.children.setdefault(tags.get(PARENT_TAG, ""), []).append(run_id)
        if tags.get(SELECTED_TAG) == "true":
            found.selected.add(tags["assay.record_id"])
    elif "assay.cell" in tags:
        n_runs = run.data.metrics.get(RUNS_METRIC, 0.0)
        found.parents[tags["assay.cell"]] = _Parent(
            run_id, run.info.run_name or "", dict(run.data.params), n_runs
        )
