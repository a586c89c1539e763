"""Run specs, run records and study records, and the write-once files that hold them.

    <results>/runs/<task>/<method>/<run id>.json
    <results>/studies/<task>/<method>/<study id>.json

A file is written once, whole, under the id of its spec, and never edited. Reading an older schema
upgrades it in memory; a newer one is refused with the side that is old.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from suite.cards import Family, Slug
from suite.errors import RecordError, StorageError
from suite.identity import content_id
from suite.ruleset import Preset, Tier
from suite.space import Space, Value

SCHEMA_VERSION = 1
MAX_RECORD_BYTES = 4_000_000
TEMPORARY = ".writing-"
Status = Literal["completed", "diverged", "out_of_budget", "failed"]
Purpose = Literal["tuning", "repetition"]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskRef(_Record):
    """Which task, exactly."""

    slug: Slug
    version: int
    code_hash: Hash
    """Of the card, task.py and the family's code (identity.code_hash)."""


class MethodRef(_Record):
    """Which method, exactly."""

    slug: Slug
    version: int
    code_hash: Hash
    """Of card.toml and method.py."""


class Compute(_Record):
    """What the numbers depend on beside the code: part of the spec, pinned by the worker."""

    accelerator: Literal["cpu", "gpu"] = "cpu"
    threads: Annotated[int, Field(ge=1)] = 1
    isa: str = "avx2"
    """Cap on the instruction set ("avx2", "native"); results differ bitwise between caps."""


class RunSpec(_Record):
    """Everything a run is a function of."""

    schema_version: Literal[1] = 1
    ruleset: int
    task: TaskRef
    method: MethodRef
    hyperparameters: dict[str, Value]
    """All values, defaults included; the reference optimizer's are prefixed `reference.`."""
    purpose: Purpose
    """Tuning runs and repetitions use disjoint seeds."""
    repetition: Annotated[int, Field(ge=0)]
    """Pairs runs across methods: the same split, weights, order and noise."""
    compute: Compute = Compute()

    @property
    def id(self) -> str:
        """First 16 hexadecimal digits of the canonical JSON's SHA-256."""
        return content_id(self.model_dump(mode="json"))


class CurvePoint(_Record):
    """One evaluation point."""

    batch: int
    passes: int
    seconds: float
    """Training time so far; the clock stops around evaluation."""
    train_loss: float | None = None
    """Mean training loss since the previous point, as the worker reports it (a claim)."""
    val: float
    test: float
    start: int = 0
    """Which start, on tasks with several."""


class Usage(_Record):
    """What a run spent; counted in the worker unless said otherwise."""

    batches: int = 0
    passes: int = 0
    """Forward-backward passes."""
    examples: int = 0
    train_seconds: float = 0.0
    """In training, evaluation excluded."""
    wall_seconds: float = 0.0
    """Whole run, measured outside the worker's fork."""
    cpu_seconds: float = 0.0
    """User and system time of the run's process, measured outside it."""
    peak_bytes: int = 0
    """Largest resident set of the run's process, measured outside it."""
    optimizer_state_bytes: int = 0


class SnapshotEntry(_Record):
    """One snapshot a worker wrote."""

    file: str
    start: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=1)]
    passes: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    train_loss: float | None


class Outcome(_Record):
    """What a worker hands over beside its snapshots: a claim, never trusted for a score."""

    status: Literal["completed", "diverged", "failed"]
    message: str = ""
    snapshots: list[SnapshotEntry] = []
    usage: Usage = Usage()


class Result(_Record):
    """Scores of a run in the task's metric; see task.Scores."""

    val: float
    test: float
    test_last: float
    test_oracle: float
    selected: int
    secondary: dict[str, float] = {}


class Environment(_Record):
    """Where a run happened; no host name, user or path."""

    python: str
    torch: str
    platform: str
    cpu: str
    cpu_flags_hash: str
    assay: str
    commit: str | None = None
    dirty: bool | None = None
    lock_hash: str | None = None
    device: str = "cpu"


class Isolation(_Record):
    """How the method was kept from what it is scored on (L0 in process .. L4 micro-VM)."""

    level: Literal["L0", "L1", "L2", "L3", "L4"]
    profile_hash: str | None = None


class RunRecord(_Record):
    """One run, as it stays."""

    kind: Literal["run"] = "run"
    schema_version: Literal[1] = 1
    id: Id
    spec: RunSpec
    family: Family
    tier: Tier
    status: Status
    message: str = ""
    """Why, for a run that did not complete."""
    result: Result | None = None
    """Present exactly when the status is "completed"."""
    curve: list[CurvePoint] = []
    usage: Usage = Usage()
    environment: Environment
    isolation: Isolation
    scorer_version: int
    weights_sha256: Hash | None = None
    """Of the last snapshot's tensors."""
    reproduce: str
    """The exact command that repeats this run."""
    created_at: str
    """UTC, ISO 8601."""


class Trial(_Record):
    """One hyperparameter point of a study."""

    number: int
    hyperparameters: dict[str, Value]
    run_id: Id
    status: Status
    val: float
    """What selection saw: the validation score, or the chance level of a run without one."""


class StudyRecord(_Record):
    """One tuning: the points, what validation said, which point won, which runs must follow."""

    kind: Literal["study"] = "study"
    schema_version: Literal[1] = 1
    id: Id
    ruleset: int
    preset: Preset
    task: TaskRef
    method: MethodRef
    family: Family
    tier: Tier
    compute: Compute
    space: Space
    trials: list[Trial]
    """Trial 0 ran the defaults."""
    selected: int
    """Number of the winning trial."""
    selected_runs: list[Id]
    """Ids of the R paired repetitions of the winning point; one without a record is missing."""
    default_runs: list[Id]
    """Ids of the R repetitions of the defaults; empty under --quick."""
    created_at: str


def study_id(
    task: TaskRef, method: MethodRef, compute: Compute, ruleset: int, k: int, r: int
) -> str:
    """Id of the study of one (task, method) at tuning budget `k` and `r` repetitions."""
    return content_id(
        {
            "task": task.model_dump(mode="json"),
            "method": method.model_dump(mode="json"),
            "compute": compute.model_dump(mode="json"),
            "ruleset": ruleset,
            "k": k,
            "r": r,
        }
    )


AnyRecord = TypeVar("AnyRecord", RunRecord, StudyRecord)

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From schema N to N + 1; schema 1 is the first, so there is none yet."""


def parse_record(text: str, model: type[AnyRecord], origin: str) -> AnyRecord:
    """A record from its JSON text.

    Raises:
        RecordError: corrupt, of another kind, from a newer Assay, or its id is not its spec's.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise RecordError(f"{origin}: not valid JSON ({error}); the file is damaged") from error
    if not isinstance(data, dict):
        raise RecordError(f"{origin}: expected a JSON object, got {type(data).__name__}")
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise RecordError(f"{origin}: expected a whole number in schema_version, got {version!r}")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{origin}: written by a newer Assay (record schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade with: pip install --upgrade assay-bench"
        )
    while version < SCHEMA_VERSION:
        if version not in UPGRADES:
            raise RecordError(f"{origin}: record schema {version} is unknown to this Assay")
        data = UPGRADES[version](data)
        version = data["schema_version"]
    try:
        record = model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{origin}: {where}: {first['msg']}") from error
    if isinstance(record, RunRecord):
        _check_run(record, origin)
    else:
        _check_study(record, origin)
    return record


def _check_run(record: RunRecord, origin: str) -> None:
    if record.id != record.spec.id:
        raise RecordError(f"{origin}: id {record.id} is not its spec's id {record.spec.id}")
    if (record.result is None) == (record.status == "completed"):
        raise RecordError(f"{origin}: status {record.status!r} and result do not fit together")


def _check_study(record: StudyRecord, origin: str) -> None:
    k, r = len(record.trials), len(record.selected_runs)
    own = study_id(record.task, record.method, record.compute, record.ruleset, k, r)
    if record.id != own:
        raise RecordError(f"{origin}: id {record.id} is not its content's id {own}")
    if [trial.number for trial in record.trials] != list(range(k)) or record.selected not in range(
        k
    ):
        raise RecordError(f"{origin}: trials and the selected one do not fit together")


class Store:
    """The results folder: write-once JSON files, one per run and per study."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run_path(self, task: str, method: str, run_id: str) -> Path:
        """Where the record of a run lies."""
        return self.root / "runs" / task / method / f"{run_id}.json"

    def study_path(self, task: str, method: str, record_id: str) -> Path:
        """Where the record of a study lies."""
        return self.root / "studies" / task / method / f"{record_id}.json"

    def path_of(self, record: RunRecord | StudyRecord) -> Path:
        """Where `record` belongs."""
        if isinstance(record, RunRecord):
            return self.run_path(record.spec.task.slug, record.spec.method.slug, record.id)
        return self.study_path(record.task.slug, record.method.slug, record.id)

    def write(self, record: RunRecord | StudyRecord) -> bool:
        """Publish `record`; False if one with its id is already there (the first one stays).

        Raises:
            StorageError: the folder cannot be written; nothing is left behind.
        """
        path = self.path_of(record)
        text = json.dumps(record.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _write_once(path, text.encode())
        except OSError as error:
            raise StorageError(storage_problem(self.root, error)) from error

    def check_writable(self) -> None:
        """Fail before any work is done rather than after.

        Raises:
            StorageError: a file cannot be created in the folder.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=".probe-") as probe:
                probe.write(b"assay")
                probe.flush()
        except OSError as error:
            raise StorageError(storage_problem(self.root, error)) from error

    def sweep(self) -> None:
        """Remove what a killed command was writing; only while no other command writes here."""
        for folder in ("runs", "studies"):
            for path in (self.root / folder).glob(f"*/*/{TEMPORARY}*"):
                path.unlink(missing_ok=True)

    def run(self, task: str, method: str, run_id: str) -> RunRecord | None:
        """The record of a run, or None."""
        return self._read(self.run_path(task, method, run_id), RunRecord)

    def study(self, task: str, method: str, record_id: str) -> StudyRecord | None:
        """The record of a study, or None."""
        return self._read(self.study_path(task, method, record_id), StudyRecord)

    def _read(self, path: Path, model: type[AnyRecord]) -> AnyRecord | None:
        try:
            return self._own(path, model)
        except FileNotFoundError:
            return None

    def _own(self, path: Path, model: type[AnyRecord]) -> AnyRecord:
        """The record at `path`, which must be its place: a copy elsewhere would count twice."""
        record = read_record(path, model)
        if self.path_of(record) != path:
            raise RecordError(f"{path}: belongs in {self.path_of(record).parent}")
        return record

    def runs(self, problems: list[str] | None = None) -> Iterator[RunRecord]:
        """Every run record, in the order of paths; unreadable ones are named in `problems`."""
        return self._all("runs", RunRecord, problems)

    def studies(self, problems: list[str] | None = None) -> Iterator[StudyRecord]:
        """Every study record, in the order of paths; unreadable ones are named in `problems`."""
        return self._all("studies", StudyRecord, problems)

    def _all(
        self, folder: str, model: type[AnyRecord], problems: list[str] | None
    ) -> Iterator[AnyRecord]:
        for path in sorted((self.root / folder).glob("*/*/*.json")):
            try:
                yield self._own(path, model)
            except (RecordError, FileNotFoundError) as error:
                if problems is None:
                    raise
                problems.append(str(error))


def read_record(path: Path, model: type[AnyRecord]) -> AnyRecord:
    """Read one record file.

    Raises:
        RecordError: see parse_record; also a file that is too large or not UTF-8.
        FileNotFoundError: there is no such file.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise RecordError(f"{path}: is not a regular file")
        size = found.st_size
        if size > MAX_RECORD_BYTES:
            raise RecordError(f"{path}: {size:,} bytes, expected at most {MAX_RECORD_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error
    record = parse_record(text, model, str(path))
    if record.id != path.stem:
        raise RecordError(f"{path}: holds the record {record.id}, expected {path.stem}")
    return record


def _write_once(path: Path, data: bytes) -> bool:
    """Write a temporary file, then link it to its name: whole or not at all, never twice."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True
    finally:
        os.unlink(temporary)


def storage_problem(root: Path, error: OSError) -> str:
    """What to tell the user about a results folder that cannot be written."""
    if error.errno == errno.ENOSPC:
        advice = "the disk is full: free some space"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        advice = "it is read-only for you: choose another with --results or ASSAY_RESULTS"
    else:
        advice = error.strerror or str(error)
    return f"cannot write to the results folder {root}: {advice}; finished runs are kept"
