"""What the supervisor, its workers and its scorer say to each other: one JSON object a line.

Whoever receives a message validates it. What a worker's child leaves is written by whatever ran
there (`parse_claim`). Its sizes and numbers are bounded and its texts plain, but it may be false,
and no score is taken from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from assay.cards import Access, Family, Parity
from assay.records.diagnosis import MAX_SNAPSHOTS, MeasuredPoint
from assay.records.schema import (
    MAX_COUNT,
    MAX_NUMBER,
    MAX_POINTS,
    MAX_SECONDS,
    MAX_STARTS,
    Count,
    Hash,
    Libraries,
    Mechanism,
    Number,
    Result,
    Seconds,
    TrainingUsage,
)
from assay.space import REFERENCE, Space, Value
from assay.untrusted import strict_json
from assay.untrusted.text import plain_lines, plain_text

MAX_TEXT, MAX_WORDS, MAX_NAME = 5_000, 300, 100
"""Characters of a text, of a line about the machine or a mistake in JSON, and of a name."""
MAX_LISTED = 200
"""Texts in one list."""
ORACLE = 4
"""Descriptor of a run's connection to its oracle, in the worker's child; see Run.oracle."""

Limit = Literal[
    "wall time", "CPU time", "memory", "disk", "files", "processes", "output", "file size"
]
"""What a run can be stopped at (sandbox.limits)."""
CheckStatus = Literal["ok", "failed", "note"]
"""Of a finding of `assay check`: passed, must be changed, or something to know."""
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(plain_lines)]
"""Lines without control characters; a worker clips what it says."""
Words = Annotated[str, Field(max_length=MAX_WORDS), AfterValidator(plain_text)]
Name = Annotated[str, Field(max_length=MAX_NAME, pattern=r"^[A-Za-z0-9_]+$")]
Texts = Annotated[list[Text], Field(max_length=MAX_LISTED)]
Batch = Annotated[int, Field(ge=1, le=MAX_COUNT)]


def _clamped(value: float) -> float:
    return min(max(value, -MAX_NUMBER), MAX_NUMBER)


Measured = Annotated[float, AfterValidator(_clamped)]
"""A number that an honest run may let grow without bound."""


def clip(text: str) -> str:
    """The first MAX_TEXT characters of `text`, with "?" for what UTF-8 cannot encode."""
    return text[:MAX_TEXT].encode(errors="replace").decode()


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Claim = TypeVar("Claim", bound=BaseModel)


class Malformed(ValueError):
    """An answer that is not of the form it should have; the message says where, in plain text."""


def parse_claim(data: bytes, kind: type[Claim]) -> Claim:
    """What a worker's child left, as a `kind`.

    Raises:
        Malformed: it is not strict JSON (see untrusted.strict_json), or not a `kind`.
    """
    try:
        return kind.model_validate(strict_json.parse(data))
    except strict_json.NotStrict as error:
        raise Malformed(plain_text(str(error))[:MAX_WORDS]) from error
    except ValidationError as error:
        raise Malformed(first_problem(error)) from error


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong and where, in plain text of bounded length."""
    first = error.errors(include_url=False, include_input=False)[0]
    where, said = ".".join(map(str, first["loc"])) or "it", first["msg"]
    said = said.removeprefix("Value error, ")
    return plain_text(f"{where[:MAX_NAME]}: {said[:MAX_WORDS]}")


# A worker, from its start on.


class WorkerStart(_Message):
    """The first line that a worker reads: its sandbox, and the folders in it."""

    mechanism: Mechanism
    inbox: Path
    """Where the supervisor puts the files of one run."""
    out: Path
    """What a run can write to."""
    results: int
    """Descriptor of the folder for what a run left."""
    user: int | None = None
    """Whom a run becomes, where root started the worker and no bubblewrap does that."""
    expected: dict[str, bool | int | list[int] | list[str]]
    """What a child must find when it looks around (sandbox.self_check.deviations)."""
    readable: list[Path]
    masked: list[Path]
    """Folders below `readable` that nothing may be read from."""


class Machine(_Message):
    """A worker's first answer: the machine, without host name, user or path."""

    python: Words
    torch: Words
    platform: Words
    cpu: Words
    cpu_flags_hash: Hash
    gpus: Annotated[int, Field(ge=0, le=1000)]
    libraries: Libraries
    """Versions of RUN_LIBRARIES."""


class Ended(_Message):
    """A worker's answer to every request: how its child ended, measured from outside."""

    limit: Limit | None
    """The limit that the child was stopped at."""
    exit: Annotated[int, Field(ge=-128, le=255)]
    """Exit code; -n for signal n."""
    killed_from_outside: bool = False
    """Whether something ended the first process of its namespaces, which nothing inside can do."""
    wall_seconds: Seconds
    cpu_seconds: Annotated[float, Field(le=MAX_SECONDS)]
    peak_bytes: Count
    probe_hash: Hash | None
    """Of what the child saw of its sandbox; None if it ended before it had looked."""
    deviations: Texts
    """What was not as it should be in the sandbox; if anything, no plugin was loaded."""


# Requests to a worker. Each is done in a child, whose answer lies in `outcome.json`.


class _WorkerRequest(_Message):
    seconds: Annotated[float, Field(gt=0)]
    """Wall time after which the child is stopped; time in which its worker was stopped itself does
    not count."""
    visible_gpu: Words | None = None
    """The one GPU that the child may use, as CUDA_VISIBLE_DEVICES names it."""


class WorkerSeeds(_Message):
    """The seeds a worker may know: nothing that is scored depends on them."""

    order: int
    augment: int
    method: int


class _MethodRequest(_WorkerRequest):
    method: Path
    """The file that defines it."""
    entry_point: str = ""
    """Value of the entry point through which an installed package names it; else empty."""
    packages: Path | None = None
    """Folder with the modules that it needs of that package; the worker's client fills it."""


class Run(_MethodRequest):
    """Train a method on a task. Answer: `Outcome`."""

    command: Literal["run"] = "run"
    task: Path
    access: list[Access]
    cpu_seconds: Annotated[float, Field(gt=0)]
    """CPU seconds of all its processes together after which it is stopped."""
    hyperparameters: dict[str, Value]
    """The method's own."""
    reference: dict[str, Value]
    """Those of the task's reference optimizer."""
    train: Path
    starts: list[Path]
    seeds: list[WorkerSeeds]
    """One for each start."""
    oracle: Path | None = None
    """A listening AF_UNIX stream socket that the child is connected to, as descriptor ORACLE."""
    thresholds: list[int] | None = None
    """Example-passes spent at which a snapshot is due; None: the card's."""


class Describe(_MethodRequest):
    """List a method's hooks and search spaces. Answer: `Description` or `Refusal`."""

    command: Literal["describe"] = "describe"
    families: list[Family]


class Load(_MethodRequest):
    """Import a method for `assay check`. Answer: `Loaded` or `Refusal`."""

    command: Literal["load"] = "load"
    families: list[Family]


class _ProbeMethod(_MethodRequest):
    family: Family
    access: list[Access]
    shared: Path
    """Folder that findings are added to, and of the toys."""


class ProbeMethod(_ProbeMethod):
    """Try a method out on a family's toy. Answer: `Done`."""

    command: Literal["probe_method"] = "probe_method"
    corners: bool
    """Whether to try the ends of its search space too."""


class ProbeTaskFit(_ProbeMethod):
    """Train a few batches of a real task. Answer: `Done`."""

    command: Literal["probe_task_fit"] = "probe_task_fit"
    task: Path
    reference: dict[str, Value]
    """Hyperparameters of the task's reference optimizer."""
    train: Path
    starts: list[Path]


class ProbeParity(_MethodRequest):
    """Hold a method against its equations and others. Answer: `ParityFound` or `Refusal`."""

    command: Literal["probe_parity"] = "probe_parity"
    family: Family
    """That its hyperparameters are for."""
    parity: Parity
    """What its card says of it."""
    equations: Path | None = None
    """The file with its equations."""
    base: Path | None = None
    """The file that defines the method it varies."""


class ProbeTask(_WorkerRequest):
    """Check a task without training. Answer: `TaskProbed`."""

    command: Literal["probe_task"] = "probe_task"
    task: Path
    shared: Path
    """Folder that findings are written to."""


WorkerRequest = Annotated[
    Run | Describe | Load | ProbeMethod | ProbeTaskFit | ProbeParity | ProbeTask,
    Field(discriminator="command"),
]
WORKER_REQUEST: TypeAdapter[WorkerRequest] = TypeAdapter(WorkerRequest)


# Answers of a worker's child: claims of whatever ran there.


class SnapshotEntry(_Message):
    """One snapshot that a run wrote."""

    file: Annotated[str, Field(pattern=r"^start[0-9]{1,4}-[0-9]{1,9}\.safetensors$")]
    start: Annotated[int, Field(ge=0, le=MAX_STARTS)]
    batch: Batch
    passes: Count
    example_passes: Count
    seconds: Seconds
    """Training time so far."""
    train_loss: Measured | None


class Outcome(_Message):
    """How a run went, beside its snapshots."""

    status: Literal["completed", "diverged", "failed"]
    message: Text = ""
    snapshots: Annotated[list[SnapshotEntry], Field(max_length=MAX_POINTS)] = []
    """One start after the other."""
    usage: TrainingUsage = TrainingUsage()
    first_losses: Annotated[list[Measured | None], Field(max_length=MAX_STARTS)] = []
    """Loss of the first batch, per start; None where none was noted."""

    @model_validator(mode="after")
    def _in_order(self) -> Outcome:
        starts = [entry.start for entry in self.snapshots]
        if starts != sorted(starts):
            raise ValueError("the snapshots are not listed one start after the other")
        return self


class Refusal(_Message):
    """The plugin cannot be loaded, or what it declares is malformed."""

    error: Text


class Description(_Message):
    """A method as data."""

    hooks: Annotated[list[Name], Field(max_length=MAX_LISTED)]
    spaces: dict[Family, Space]

    @model_validator(mode="after")
    def _own_names(self) -> Description:
        names = {name for space in self.spaces.values() for name in space.defaults}
        if any(name.startswith(REFERENCE) for name in names):
            raise ValueError("a hyperparameter has a name of the reference optimizer's")
        return self


class Loaded(_Message):
    """What `assay check` has to know of a method before it tries it out."""

    hooks: Annotated[list[Name], Field(max_length=MAX_LISTED)]
    space_problems: dict[Family, Text]
    """What is wrong with its search space, by family."""
    runnable: Annotated[list[Family], Field(max_length=MAX_LISTED)]
    """Families in which every hyperparameter has a default."""
    unknown_families: Texts
    """Families it names hyperparameters for and that do not exist."""
    mistakes: Texts
    """Names that do not do what their author expects, each with what to use."""


class TaskProbed(_Message):
    """The probe came to its end; its findings are in the shared folder."""

    null: Number | None = None
    """Mean test score of untrained weights; None where it could not be computed."""


ParityName = Literal[
    "equations", "library", "set_to_none", "loss_scale", "one_element", "zero_gradient",
    "no_gradient", "diagonal", "base",
]  # fmt: skip
"""What a method was held against, or how it was treated."""


class ParityRow(_Message):
    """One comparison of a method."""

    name: ParityName
    status: CheckStatus
    detail: Text
    numbers: Annotated[dict[Name, Measured], Field(max_length=20)] = {}
    """What was measured, by name."""


class ParityFound(_Message):
    """Everything that a method was held against; empty for what is no optimizer."""

    rows: Annotated[list[ParityRow], Field(max_length=MAX_LISTED)]
    versions: Annotated[dict[Name, Words], Field(max_length=20)]
    """Of the libraries that numbers depend on."""


class Done(_Message):
    """Nothing more to say."""


METHOD_CHECKS = (
    "runs", "repeatable", "snapshot", "finalize_model", "learning rate", "search space", "cost",
    "gradients in place",
)  # fmt: skip
"""The checks of `ProbeMethod`, in the order in which they begin."""
FIT_CHECKS = ("tasks",)
"""Those of `ProbeTaskFit`."""
TASK_CHECKS = ("loads", "prepare", "sealed", "layout", "loss", "null")
"""Those of `ProbeTask`."""


class CheckBegun(_Message):
    """A line of findings: a check begins. If its child died, the last such check is to blame."""

    begun: Words


class CheckFinding(_Message):
    """A line of findings: what a check found."""

    check: Words
    status: CheckStatus
    detail: Text


# The scorer: trusted, it alone holds labels.


class _Repetition(_Message):
    task: Path
    repetition: Annotated[int, Field(ge=0)]
    seed_root: str


class Prepare(_Repetition):
    """Make a repetition's problem. Answer: `Prepared`."""

    command: Literal["prepare"] = "prepare"


class OpenOracle(_Repetition):
    """Start the oracle of one run on a function. Answer: `OracleOpened`."""

    command: Literal["open_oracle"] = "open_oracle"


class CloseOracle(_Message):
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


class MakeToys(_Message):
    """Draw the toys of `assay check`. Answer: `Done`."""

    command: Literal["make_toys"] = "make_toys"
    folder: Path
    families: list[Family]
    binary: bool
    requires: dict[str, tuple[Value, ...]]


class DescribeTask(_Message):
    """Describe a task's reference optimizer. Answer: `TaskDescription`."""

    command: Literal["describe_task"] = "describe_task"
    task: Path


ScorerRequest = Annotated[
    Prepare | OpenOracle | CloseOracle | Score | Diagnose | MakeToys | DescribeTask,
    Field(discriminator="command"),
]
SCORER_REQUEST: TypeAdapter[ScorerRequest] = TypeAdapter(ScorerRequest)


class Prepared(_Message):
    """Files for the worker: training tensors and initial weights, nothing else."""

    train: Path
    starts: list[Path]


class OracleOpened(_Message):
    """Where an oracle waits for its run."""

    oracle: Path
    """The socket."""


class OracleClosed(_Message):
    """What the run spent in all, as its oracle counted; None where it left no account."""

    cpu_seconds: Seconds = 0.0
    """That the oracle itself took."""
    passes: Count | None = None
    example_passes: Count | None = None


class ScoredPoint(_Message):
    """Scores of one snapshot; see records.schema.CurvePoint."""

    val: Number
    test: Number
    passes: Count
    example_passes: Count
    x: Measured | None = None
    y: Measured | None = None


class Scored(_Message):
    """Scores of a run, and what the scorer found for the detectors (records.schema.Checks)."""

    result: Result
    curve: list[ScoredPoint]
    weights_sha256: Hash
    reference_first_losses: Annotated[list[Measured | None], Field(max_length=MAX_STARTS)]
    weight_distances: Annotated[list[Measured | None], Field(max_length=MAX_STARTS)]


class Diagnosed(_Message):
    """What a run's networks were like; see records.diagnosis."""

    points: Annotated[list[MeasuredPoint], Field(max_length=MAX_SNAPSHOTS)]
    weights_sha256: Hash
    batch_norm: bool
    """Whether the network has any."""


class TaskDescription(_Message):
    """A task as data."""

    reference: Space


class ScorerError(_Message):
    """Why the scorer did not do what it was asked for."""

    error: Text
    kind: Literal["data", "task", "weights", "machine", "scorer"]
    """What is at fault: missing data, the task, a run's weights, a machine without memory or the
    like, or the scorer itself."""
