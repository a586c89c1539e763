"""The results folder: write-once files that hold the records.

    <results>/runs/<task>/<method>/<run id>.json
    <results>/mlflow-runs.json    which MLflow run mirrors which record
    <results>/mirror.json         what the mirror of MLflow and Optuna has left to do

A record is written once, whole, under the id of its spec, and never edited. Records of ruleset 1
may lie among them; they are passed over here (assay.records.former reads them).
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from assay import atomic
from assay.cards import Direction
from assay.errors import FormerRecord, NewerRecord, RecordError, StorageError
from assay.records.parsing import parse_record
from assay.records.schema import RunRecord
from assay.untrusted.files import open_regular

MAX_RECORD_BYTES = 4_000_000
MLFLOW_RUNS, MIRROR_STATE = "mlflow-runs.json", "mirror.json"


class MirrorState(BaseModel):
    """What the mirror of MLflow and Optuna keeps between commands."""

    server: str = ""
    """Hash of the address of the server that MLFLOW_RUNS is about; "" for the results folder."""
    storage: str = ""
    """Hash of the address of Optuna's storage; "" for the results folder."""
    directions: dict[str, Direction] = {}
    """Of the metrics of the tasks that were mirrored."""
    studies_lack: bool = False
    """Whether records may be missing in Optuna's storage."""
    former: list[str] = []
    """Ids of records of an earlier ruleset, which are passed over."""


_REMOVE = "remove the file, and `assay run` does this run again"


class Store:
    """The results folder: write-once JSON files, one a run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run_path(self, task: str, method: str, run_id: str) -> Path:
        """The path of a run's record."""
        return self.root / "runs" / task / method / f"{run_id}.json"

    def path_of(self, record: RunRecord) -> Path:
        """The path where `record` belongs."""
        return self.run_path(record.spec.task.slug, record.spec.method.slug, record.id)

    def write(self, record: RunRecord) -> bool:
        """Write `record`; False if there is one with its id, which stays as it is.

        Raises:
            StorageError: the folder cannot be written; nothing is left behind.
        """
        path = self.path_of(record)
        text = json.dumps(record.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
        try:
            return atomic.write_new(path, text.encode())
        except OSError as error:
            raise self.storage_error(error) from error

    def check_writable(self) -> None:
        """Fail now, rather than after hours of work.

        Raises:
            StorageError: a file cannot be created in the folder.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=atomic.TEMPORARY) as probe:
                probe.write(b"assay")
                probe.flush()
        except OSError as error:
            raise self.storage_error(error) from error

    def storage_error(self, error: OSError) -> StorageError:
        """The error to show a user when this folder cannot be written."""
        said = atomic.storage_error(
            f"the results folder {self.root}",
            error,
            "choose another with --results or ASSAY_RESULTS",
        )
        return StorageError(f"{said}; finished runs are kept")

    def sweep(self) -> None:
        """Remove unfinished files of killed commands; call it while no other command writes."""
        for pattern in (f"{atomic.TEMPORARY}*", f"*/*/*/{atomic.TEMPORARY}*"):
            for path in self.root.glob(pattern):
                if not path.is_dir():
                    path.unlink(missing_ok=True)

    def run_ids(self, task: str, method: str) -> set[str]:
        """Ids of the recorded runs of a method on a task, from the names of their files.

        Raises:
            StorageError: a file has the name of one of the folders.
        """
        try:
            names = os.listdir(self.root / "runs" / task / method)
        except FileNotFoundError:
            return set()
        except NotADirectoryError as error:
            raise self.storage_error(error) from error
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def run(self, task: str, method: str, run_id: str) -> RunRecord | None:
        """The record of a run, or None.

        Raises:
            RecordError: its file cannot be read.
        """
        try:
            return self._own(task, method, run_id)
        except FileNotFoundError:
            return None

    def find_run(self, run_id: str) -> RunRecord | None:
        """The record of a run of any task and method, or None.

        Raises:
            RecordError: its file cannot be read.
        """
        for task, method in self.folders():
            if (found := self.run(task, method, run_id)) is not None:
                return found
        return None

    def runs(
        self, problems: list[str] | None = None, task: str = "*", method: str = "*"
    ) -> Iterator[RunRecord]:
        """Every run record (of one task, of one method), in the order of paths.

        Args:
            problems: files that cannot be read are named here.
            task: the task's slug; default: every task.
            method: the method's slug; default: every method.

        Raises:
            RecordError: a file cannot be read, and there is no list of `problems`.
        """
        for folder in self._folders(task, method):
            for run_id in sorted(self.run_ids(*folder)):
                try:
                    yield self._own(*folder, run_id)
                except FormerRecord:
                    continue
                except (RecordError, FileNotFoundError) as error:
                    if problems is None:
                        raise
                    problems.append(str(error))

    def tasks(self) -> list[str]:
        """Names of the folders that hold the runs of a task."""
        return sorted(path.name for path in (self.root / "runs").glob("*/"))

    def folders(self) -> list[tuple[str, str]]:
        """Task and method of each folder of records."""
        return self._folders("*", "*")

    def _folders(self, task: str, method: str) -> list[tuple[str, str]]:
        """The same for one task or method; "*" for every one."""
        found = sorted((self.root / "runs").glob(f"{task}/{method}"))
        return [(path.parent.name, path.name) for path in found if path.is_dir()]

    def _own(self, task: str, method: str, run_id: str) -> RunRecord:
        """A record. One that belongs elsewhere is refused: a copy would count twice."""
        # Not pathlib's: of a million records it would take seconds.
        path = os.path.join(self.root, "runs", task, method, f"{run_id}.json")
        try:
            record = _read(path, run_id)
        except (FormerRecord, NewerRecord):
            raise
        except RecordError as error:
            raise RecordError(f"{error}; {_REMOVE}") from error
        except FileNotFoundError as error:
            if os.path.islink(path):  # its name is taken: a new record could not be written
                raise RecordError(f"{path}: is a link to nothing; {_REMOVE}") from error
            raise
        if (record.spec.task.slug, record.spec.method.slug) != (task, method):
            raise RecordError(f"{path}: belongs in {self.path_of(record).parent}; {_REMOVE}")
        return record

    def mlflow_runs(self) -> dict[str, str]:
        """MLflow's run ids by record id; empty if the file is missing or damaged, for the mirror
        writes it again.
        """
        try:
            with open_regular(self.root / MLFLOW_RUNS) as file:
                found = json.load(file)
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {record: run for record, run in found.items() if isinstance(run, str)}

    def keep_mlflow_runs(self, runs: Mapping[str, str]) -> None:
        """Add MLflow's run ids, by record id, to those kept before.

        Raises:
            OSError: the file cannot be written.
        """
        together = json.dumps({**self.mlflow_runs(), **runs}, indent=0, sort_keys=True)
        atomic.write(self.root / MLFLOW_RUNS, together.encode() + b"\n")

    def forget_mlflow_runs(self) -> None:
        """Drop the kept MLflow run ids: they are of another server or a lost database."""
        (self.root / MLFLOW_RUNS).unlink(missing_ok=True)

    def mirror_state(self) -> MirrorState:
        """What the mirror kept; that of a first command if the file is missing or damaged."""
        try:
            with open_regular(self.root / MIRROR_STATE) as file:
                return MirrorState.model_validate_json(file.read())
        except (OSError, ValueError, RecursionError):
            return MirrorState()

    def keep_mirror_state(self, state: MirrorState) -> None:
        """Keep what the mirror has left to do.

        Raises:
            OSError: the file cannot be written.
        """
        atomic.write(self.root / MIRROR_STATE, state.model_dump_json().encode() + b"\n")


def read_record(path: Path) -> RunRecord:
    """Read one record file.

    Raises:
        RecordError: see parse_record; also a file that is too large or not UTF-8.
        FileNotFoundError: there is no such file.
    """
    return _read(str(path), path.stem)


def _read(path: str, run_id: str) -> RunRecord:
    record = parse_record(read_text(path), path)
    if record.id != run_id:
        raise RecordError(f"{path}: holds the record {record.id}, expected {run_id}")
    return record


def read_text(path: str | Path) -> str:
    """The text of a record's file.

    Raises:
        RecordError: it is no regular file, too large or not UTF-8.
        FileNotFoundError: there is no such file.
    """
    try:
        # A pipe is an error, not waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise RecordError(f"{path}: is not a regular file")
            size = found.st_size
            if size > MAX_RECORD_BYTES:
                raise RecordError(f"{path}: {size:,} bytes, expected at most {MAX_RECORD_BYTES:,}")
            data = b""
            while more := os.read(handle, size + 1 - len(data)):
                data += more
            return data.decode()
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error
