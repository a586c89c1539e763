"""Between the supervisor and its scorer: problems, oracles, and scores of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    TypeAdapter,
)

from assay.cards import Family
from assay.messages.form import Measured, Message, Text
from assay.messages.worker import SnapshotEntry, WorkerSeeds
from assay.records.diagnosis import MAX_SNAPSHOTS, MeasuredPoint
from assay.records.schema import (
    MAX_STARTS,
    Count,
    Hash,
    Number,
    Result,
    Seconds,
)
from assay.space import Space, Value


class _Repetition(Message):
    task: Path
    repetition: Annotated[int, Field(ge=0)]
    seed_root: str


class Prepare(_Repetition):
    """Make a repetition's problem. Answer: `Prepared`."""

    command: Literal["prepare"] = "prepare"


class OpenOracle(_Repetition):
    """Start the oracle of one run on a function. Answer: `OracleOpened`."""

    command: Literal["open_oracle"] = "open_oracle"


class CloseOracle(Message):
    """End a run's oracle. Answer: `OracleClosed`."""

    command: Literal["close_oracle"] = "close_oracle"
    oracle: Path
    """The socket."""


class _Weights(_Repetition):
    folder: Path
    """Where the snapshots lie."""
    snapshots: list[SnapshotEntry]


class Diagnose(_Weights):
    """Measure a run's snapshots beyond their scores. Answer: `Diagnosed`."""

    command: Literal["diagnose"] = "diagnose"


class Score(_Weights):
    """Score a run's snapshots. Answer: `Scored`."""

    command: Literal["score"] = "score"
    seeds: list[WorkerSeeds]
    accelerator: Literal["cpu", "gpu"]
    oracle: Path | None = None
    """Of the oracle that the run had: what was spent counts as it says."""


class MakeToys(Message):
    """Draw the toys of `assay check`. Answer: `Done`."""

    command: Literal["make_toys"] = "make_toys"
    folder: Path
    families: list[Family]
    binary: bool
    requires: dict[str, tuple[Value, ...]]


class DescribeTask(Message):
    """Describe a task's reference optimizer. Answer: `TaskDescription`."""

    command: Literal["describe_task"] = "describe_task"
    task: Path


ScorerRequest = Annotated[
    Prepare | OpenOracle | CloseOracle | Score | Diagnose | MakeToys | DescribeTask,
    Field(discriminator="command"),
]
SCORER_REQUEST: TypeAdapter[ScorerRequest] = TypeAdapter(ScorerRequest)


class Prepared(Message):
    """Files for the worker: training tensors and initial weights, nothing else."""

    train: Path
    starts: list[Path]


class OracleOpened(Message):
    """Where an oracle waits for its run."""

    oracle: Path
    """The socket."""


class OracleClosed(Message):
    """What the run spent in all, as its oracle counted; None where it left no account."""

    cpu_seconds: Seconds = 0.0
    """That the oracle itself took."""
    passes: Count | None = None
    example_passes: Count | None = None


class ScoredPoint(Message):
    """Scores of one snapshot; see records.schema.CurvePoint."""

    val: Number
    test: Number
    passes: Count
    example_passes: Count
    x: Measured | None = None
    y: Measured | None = None


class Scored(Message):
    """Scores of a run, and what the scorer found for the detectors (records.schema.Checks)."""

    result: Result
    curve: list[ScoredPoint]
    weights_sha256: Hash
    reference_first_losses: Annotated[list[Measured | None], Field(max_length=MAX_STARTS)]
    weight_distances: Annotated[list[Measured | None], Field(max_length=MAX_STARTS)]


class Diagnosed(Message):
    """What a run's networks were like; see records.diagnosis."""

    points: Annotated[list[MeasuredPoint], Field(max_length=MAX_SNAPSHOTS)]
    weights_sha256: Hash
    batch_norm: bool
    """Whether the network has any."""


class TaskDescription(Message):
    """A task as data."""

    reference: Space


class ScorerError(Message):
    """Why the scorer did not do what it was asked for."""

    error: Text
    kind: Literal["data", "task", "weights", "machine", "scorer"]
    """What is at fault: missing data, the task, a run's weights, a machine without memory or the
    like, or the scorer itself."""
