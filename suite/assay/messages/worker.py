"""Between the supervisor and its workers: what a child is to do, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    TypeAdapter,
    model_validator,
)

from assay.cards import Access, Family, Parity
from assay.messages.form import (
    MAX_LISTED,
    Batch,
    CheckStatus,
    Limit,
    Measured,
    Message,
    Name,
    Text,
    Texts,
    Words,
)
from assay.records.schema import (
    MAX_POINTS,
    MAX_SECONDS,
    MAX_STARTS,
    Count,
    Hash,
    Libraries,
    Mechanism,
    Number,
    Seconds,
    TrainingUsage,
)
from assay.space import REFERENCE, Space, Value


class WorkerStart(Message):
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


class Machine(Message):
    """A worker's first answer: the machine, without host name, user or path."""

    python: Words
    torch: Words
    platform: Words
    cpu: Words
    cpu_flags_hash: Hash
    gpus: Annotated[int, Field(ge=0, le=1000)]
    libraries: Libraries
    """Versions of RUN_LIBRARIES."""


class Ended(Message):
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


class _WorkerRequest(Message):
    seconds: Annotated[float, Field(gt=0)]
    """Wall time after which the child is stopped; time in which its worker was stopped itself does
    not count."""
    visible_gpu: Words | None = None
    """The one GPU that the child may use, as CUDA_VISIBLE_DEVICES names it."""


class WorkerSeeds(Message):
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
    nudge: Count = 0
    """Seed of moves of every weight by one unit in the last place after a batch; 0: no moves."""


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


class SnapshotEntry(Message):
    """One snapshot in a run's file of them (form.SNAPSHOTS), behind those listed before it."""

    n_bytes: Count
    start: Annotated[int, Field(ge=0, le=MAX_STARTS)]
    batch: Batch
    passes: Count
    example_passes: Count
    seconds: Seconds
    """Training time so far."""
    train_loss: Measured | None


class Outcome(Message):
    """How a run went, beside its snapshots."""

    status: Literal["completed", "diverged", "failed"]
    message: Text = ""
    snapshots: list[SnapshotEntry] = Field(default=[], max_length=MAX_POINTS)
    """One start after the other."""
    usage: TrainingUsage = TrainingUsage()
    first_losses: list[Measured | None] = Field(default=[], max_length=MAX_STARTS)
    """Loss of the first batch, per start; None where none was noted."""

    @model_validator(mode="after")
    def _in_order(self) -> Outcome:
        starts = [entry.start for entry in self.snapshots]
        if starts != sorted(starts):
            raise ValueError("the snapshots are not listed one start after the other")
        return self


class Refusal(Message):
    """The plugin cannot be loaded, or what it declares is malformed."""

    error: Text


class Description(Message):
    """A method as data."""

    hooks: Annotated[list[Name], Field(max_length=MAX_LISTED)]
    spaces: dict[Family, Space]

    @model_validator(mode="after")
    def _own_names(self) -> Description:
        names = {name for space in self.spaces.values() for name in space.defaults}
        if any(name.startswith(REFERENCE) for name in names):
            raise ValueError("a hyperparameter has a name of the reference optimizer's")
        return self


class Loaded(Message):
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


class TaskProbed(Message):
    """The probe came to its end; its findings are in the shared folder."""

    null: Number | None = None
    """Mean test score of untrained weights; None where it could not be computed."""


ParityName = Literal[
    "equations", "library", "set_to_none", "loss_scale", "one_element", "zero_gradient",
    "no_gradient", "diagonal", "base",
]  # fmt: skip
"""What a method was held against, or how it was treated."""


class ParityRow(Message):
    """One comparison of a method."""

    name: ParityName
    status: CheckStatus
    detail: Text
    numbers: dict[Name, Measured] = Field(default={}, max_length=20)
    """What was measured, by name."""


class ParityFound(Message):
    """Everything that a method was held against; empty for what is no optimizer."""

    rows: Annotated[list[ParityRow], Field(max_length=MAX_LISTED)]
    versions: Annotated[dict[Name, Words], Field(max_length=20)]
    """Of the libraries that numbers depend on."""


class Done(Message):
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


class CheckBegun(Message):
    """A line of findings: a check begins. If its child died, the last such check is to blame."""

    begun: Words


class CheckFinding(Message):
    """A line of findings: what a check found."""

    check: Words
    status: CheckStatus
    detail: Text


# The scorer: trusted, it alone holds labels.
