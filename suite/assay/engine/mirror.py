"""Copies the JSON records to MLflow and Optuna, for people who use those.

The records are what counts. Copying runs in a thread of its own and never ends a command: a record
that MLflow or Optuna refuses is named and left out, and where a server or file cannot be used the
next command copies what is lacking. engine.tracking and engine.studies do the copying. Which MLflow
run belongs to a record is kept in the results folder (Store.mlflow_runs).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from assay.cards import Direction
from assay.engine.databases import MAKING, Unavailable, database_url, one_line
from assay.engine.servers import nameless
from assay.engine.studies import STUDIES, Studies
from assay.engine.tracked_fields import cell_id
from assay.engine.tracking import DATABASE, Tracking
from assay.errors import FormerRecord, RecordError
from assay.identity import sha256
from assay.records.schema import RunRecord
from assay.records.selection import counts
from assay.records.store import MirrorState, Store

Draw = Callable[[RunRecord], Mapping[str, str]]
"""The pictures of a record's cell: SVG by file name."""
Target = TypeVar("Target", Studies, Tracking)
MAX_REFUSALS = 5
"""Most lines about refused records; the rest are counted."""


class Mirror:
    """A thread that copies records to an MLflow tracking server and an Optuna storage.

    Args:
        store: the records' folder; keeps which MLflow run a record became.
        mlflow_uri: a tracking server or PostgreSQL database instead of the SQLite file in that
            folder.
        optuna_storage: a PostgreSQL database, likewise.
        draw: what draws the pictures of a cell, if anything does.
    """

    def __init__(
        self,
        store: Store,
        *,
        mlflow_uri: str | None = None,
        optuna_storage: str | None = None,
        draw: Draw | None = None,
    ) -> None:
        self._uri, self._storage = mlflow_uri, optuna_storage
        self._store, self._draw = store, draw
        self._queue: queue.SimpleQueue[tuple[RunRecord, Direction] | None]
        self._queue = queue.SimpleQueue()
        self._problems: list[str] = []
        self._remarks: list[str] = []
        self._refused: dict[str, list[str]] = {}
        self._tracking: Tracking | None = None
        self._studies: Studies | None = None
        self._cells: dict[str, tuple[Direction, dict[str, RunRecord]]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    def put(self, record: RunRecord, direction: Direction) -> None:
        """Queue a record; returns at once."""
        self._queue.put((record, direction))

    def close(self, seconds: float | None = None) -> None:
        """Copy what is queued and what earlier commands left, then stop.

        Args:
            seconds: give up after them; the next command goes on.
        """
        self._queue.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._stopping = True
            for path in self._store.root.glob(f"{MAKING}*"):
                path.unlink(missing_ok=True)
            self._problems.append(f"not done after {seconds:.0f} s")

    def warnings(self) -> list[str]:
        """A line for each thing that was repaired, left out or put off."""
        lines = list(self._remarks)
        for reason, names in list(self._refused.items())[:MAX_REFUSALS]:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"left out of the mirror: {names[0]}{more}: {reason}")
        if len(self._refused) > MAX_REFUSALS:
            rest = sum(map(len, list(self._refused.values())[MAX_REFUSALS:]))
            lines.append(f"left out of the mirror: {rest} more for other reasons")
        if self._problems:
            lines.append(
                f"MLflow mirror incomplete ({'; '.join(self._problems)}); the JSON records are "
                "safe, and the next command catches up"
            )
        return lines

    def _work(self) -> None:
        try:
            self._copy_all()
        except Exception as error:  # ours; a mirror never ends a command
            self._problems.append(one_line(error))

    def _copy_all(self) -> None:
        root = self._store.root.resolve()
        self._tracking = self._opened(lambda: Tracking(self._uri, root, self._remarks.append))
        self._studies = self._opened(lambda: Studies(self._storage, root, self._remarks.append))
        state = self._state()
        while (item := self._queue.get()) is not None:
            if not self._stopping:
                self._note_direction(state, *item)
                self._copy(*item)
        self._catch_up(state)
        for direction, runs in self._cells.values():
            if not self._stopping:
                self._summarise(direction, list(runs.values()))
        self._keep_index(state)
        for target in (self._tracking, self._studies):
            if target is not None:
                target.close()

    def _opened(self, connect: Callable[[], Target]) -> Target | None:
        """MLflow or Optuna; None, and a problem noted, where it cannot be used now."""
        try:
            return connect()
        except Unavailable as error:
            self._problems.append(str(error))
        except Exception as error:
            self._problems.append(one_line(error))
        return None

    def _state(self) -> MirrorState:
        """What earlier commands left; the index is void where MLflow is another or new."""
        state = self._store.mirror_state()
        server, storage = (
            sha256(nameless(address)) if address is not None else ""
            for address in (self._uri, self._storage)
        )
        if state.server != server or (self._tracking is not None and self._tracking.is_new):
            self._store.forget_mlflow_runs()
        lack = state.studies_lack or self._studies is None or self._studies.is_new
        own = {"server": server, "storage": storage}
        return state.model_copy(update={**own, "studies_lack": lack or state.storage != storage})

    def _note_direction(self, state: MirrorState, record: RunRecord, direction: Direction) -> None:
        """Keep the direction of a task's metric at once: a kill must not lose it."""
        task = record.spec.task.slug
        if state.directions.get(task) != direction:
            state.directions[task] = direction
            self._store.keep_mirror_state(state)

    def _copy(self, record: RunRecord, direction: Direction) -> None:
        """Copy a record, to Optuna first: what MLflow has, Optuna has or has refused."""
        _, runs = self._cells.setdefault(cell_id(record), (direction, {}))
        if record.id in runs:
            return
        runs[record.id] = record.model_copy(update={"curve": []})
        spec = record.spec
        point = "own settings" if spec.point is None else f"point {spec.point}"
        name = f"{spec.method.slug} on {spec.task.slug}, repetition {spec.repetition}, {point}"
        self._ask_studies(name, lambda studies: studies.add(record, direction))
        self._ask_tracking(name, lambda tracking: tracking.add(record))

    def _summarise(self, direction: Direction, runs: list[RunRecord]) -> None:
        """Give MLflow the result of a cell."""
        counted = [run for run in runs if counts(run.spec)]
        if not counted:
            return
        repetitions: dict[int, list[RunRecord]] = {}
        for run in counted:
            repetitions.setdefault(run.spec.repetition, []).append(run)
        chosen = [best for own in repetitions.values() if (best := _best(own, direction))]
        spec = counted[0].spec
        self._ask_tracking(
            f"the result of {spec.method.slug} on {spec.task.slug}",
            lambda tracking: tracking.summarise(
                counted, chosen, _best(chosen, direction), self._draw
            ),
        )

    def _ask_studies(self, name: str, action: Callable[[Studies], None]) -> None:
        """Have Optuna do something; note what it refuses, and give up where it cannot be used."""
        if self._studies is not None:
            problem = self._asked(self._studies, name, action)
            if problem is not None:
                self._problems.append(problem)
                self._studies = None

    def _ask_tracking(self, name: str, action: Callable[[Tracking], None]) -> None:
        """Have MLflow do something; note what it refuses, and give up where it cannot be used."""
        if self._tracking is not None:
            problem = self._asked(self._tracking, name, action)
            if problem is not None:
                self._problems.append(problem)
                self._tracking = None

    def _asked(self, target: Target, name: str, action: Callable[[Target], None]) -> str | None:
        """Why the whole target cannot be used; None if it can, whether or not it refused this."""
        try:
            action(target)
        except Exception as error:
            try:
                problem = target.fault(error)
            except Exception as again:
                problem = str(again)
            if problem is not None:
                return problem
            self._refused.setdefault(one_line(error), []).append(name)
        return None

    def _catch_up(self, state: MirrorState) -> None:
        """Copy what earlier commands could not, of every task that they copied."""
        index = self._store.mlflow_runs()
        kept = self._in_studies(state) if state.studies_lack else None
        for task, method in self._store.folders():
            if task not in state.directions:
                continue
            recorded = self._store.run_ids(task, method) - set(state.former)
            lacking = recorded - index.keys() - self._seen() if self._tracking else set()
            lacking -= self._in_tracking(task).keys() if lacking else set()
            if not lacking and (kept is None or recorded <= kept):
                continue
            for record in self._readable(task, method, state):
                if self._stopping:
                    return
                self._copy(record, state.directions[task])

    def _seen(self) -> set[str]:
        """Ids of the records that this command has copied, or tried to."""
        return {run_id for _, runs in self._cells.values() for run_id in runs}

    def _in_tracking(self, task: str) -> Mapping[str, str]:
        """MLflow's run ids of a task by record id."""
        found: dict[str, str] = {}
        self._ask_tracking(f"the task {task}", lambda tracking: found.update(tracking.runs(task)))
        return found

    def _in_studies(self, state: MirrorState) -> set[str] | None:
        """Ids of all runs in Optuna's storage; None if that cannot be asked."""
        found: set[str] = set()
        self._ask_studies("the list of runs", lambda studies: found.update(studies.run_ids()))
        return found if self._studies is not None else None

    def _readable(self, task: str, method: str, state: MirrorState) -> Iterator[RunRecord]:
        """The records of a method on a task; files that cannot be read are passed over."""
        for run_id in sorted(self._store.run_ids(task, method) - set(state.former)):
            try:
                record = self._store.run(task, method, run_id)
            except FormerRecord:
                state.former.append(run_id)
            except RecordError:
                pass  # the board names it
            else:
                if record is not None:
                    yield record

    def _keep_index(self, state: MirrorState) -> None:
        """Which MLflow run each record became, and what is left to do."""
        if self._tracking is not None:
            self._store.keep_mlflow_runs(self._tracking.index())
        lack = self._studies is None or self._stopping
        self._store.keep_mirror_state(state.model_copy(update={"studies_lack": lack}))


def _best(runs: list[RunRecord], direction: Direction) -> RunRecord | None:
    """The best on validation of the runs that completed, the earliest point among equals."""
    sign = 1.0 if direction == "maximize" else -1.0
    scored = [(sign * run.result.val, -(run.spec.point or 0), run) for run in runs if run.result]
    return max(scored, key=lambda item: item[:2])[2] if scored else None


def default_uris(root: Path) -> tuple[str, str]:
    """URLs of MLflow's and Optuna's SQLite files in the results folder.

    Raises:
        Unavailable: the path cannot be written as a URL.
    """
    return database_url(root.resolve() / DATABASE), database_url(root.resolve() / STUDIES)
