"""Run specs and run records: what one run leaves behind.

Records of ruleset 1 had another schema; assay.records.former reads them.
"""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from assay.cards import Family, Slug
from assay.identity import content_id
from assay.ruleset import Tier
from assay.space import Setting, Space
from assay.untrusted import text


def _plain(value: str) -> str:
    if problem := text.unsafe(value):
        raise ValueError(f"the text {problem}")
    return value


SCHEMA_VERSION = 2
Level = Literal["L0", "L1", "L2", "L3", "L4"]
SEALED_LEVELS: tuple[Level, ...] = ("L2", "L3", "L4")
"""Levels at which a method cannot reach sealed data; below, results are unsealed."""
Status = Literal["completed", "diverged", "out_of_budget", "failed"]
Mechanism = Literal["bubblewrap", "landlock", "subprocess"]
MACHINE_FIELDS = ("python", "torch", "platform", "cpu", "cpu_flags_hash", "device")
"""Of an Environment: what makes two runs of one spec differ in bits or in seconds, beside the
versions of its libraries."""
RUN_LIBRARIES = ("numpy", "pytorch-lightning", "scikit-learn", "scipy")
"""Distributions that every run depends on, beside torch: their versions are the environment's, and
no part of a task's or a method's reference."""
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
MAX_COUNT, MAX_SECONDS, MAX_NUMBER = 2**53, 1e9, 1e100
"""Bounds of what is recorded: sums and squares of such numbers are still numbers."""
MAX_THREADS = 10_000
MAX_LIBRARIES = 500
MAX_STARTS = 1000
MAX_POINTS = 20_000
"""Of all starts together."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
"""A score, a loss or a coordinate."""
Line = Annotated[str, Field(max_length=10_000), AfterValidator(_plain)]
"""A text on one line, without characters that could steer a terminal or a page."""
Version = Annotated[int, Field(ge=0, le=MAX_COUNT)]
LibraryText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
Libraries = Annotated[dict[LibraryText, LibraryText], Field(max_length=MAX_LIBRARIES)]
"""Versions by the name of their distribution."""
Losses = Annotated[list[Number | None], Field(max_length=MAX_STARTS)]
"""One for each start."""


_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, **_STRICT)


def _absent(value: object) -> bool:
    return value is None


def _zero(value: object) -> bool:
    return value == 0


def _empty(value: object) -> bool:
    return not value


class _PluginRef(_Record):
    slug: Slug
    version: Version
    code_hash: Hash
    libraries: Libraries = Field(default={}, exclude_if=_empty)
    """What its code imports beyond Python, Assay, torch and RUN_LIBRARIES, as plugins.libraries
    found it: "4.1.0", "4.1.0 #3f2a9c01d2e4" with a hash of its files, or the hash alone. Not
    written where there is nothing, so that other records stay as they are."""

    def __hash__(self) -> int:
        return hash((self.slug, self.code_hash))


class TaskRef(_PluginRef):
    """Which task, exactly.

    `code_hash` is of the card, task.py and the family's code (identity.code_hash).
    """


class MethodRef(_PluginRef):
    """Which method, exactly.

    `code_hash` is of card.toml, method.py and the other files that it consists of.
    """

    @property
    def code(self) -> MethodRef:
        """The same without libraries: which files it consists of."""
        return self.model_copy(update={"libraries": {}}) if self.libraries else self


class Compute(_Record):
    """The hardware settings that numbers depend on: part of the spec, enforced by the worker."""

    accelerator: Literal["cpu", "gpu"] = "cpu"
    threads: Annotated[int, Field(ge=1, le=MAX_THREADS)] = 1
    isa: Line = "avx2"
    """Largest instruction set in use ("avx2", "native"); results differ bitwise between them."""


class RunSpec(_Record):
    """Everything that determines the result of a run."""

    schema_version: Literal[2] = 2
    ruleset: Version
    task: TaskRef
    method: MethodRef
    repetition: Count
    """Which experiment: its number seeds the split, weights, order, noise and points."""
    point: Count | None
    """Which of the repetition's hyperparameter points; 0 is the method's defaults. None: chosen by
    hand (`--set`), so that the run is on no board."""
    hyperparameters: dict[Line, Setting]
    """All values, defaults included; the reference optimizer's are prefixed `reference.`."""
    compute: Compute = Compute()
    epoch: Slug | None = Field(default=None, exclude_if=_absent)
    """Whose hidden seeds the repetition has (assay.epochs); None: the public seeds."""

    @property
    def id(self) -> str:
        """First 16 hexadecimal digits of the canonical JSON's SHA-256."""
        return content_id(self.model_dump(mode="json"))


@pydantic_dataclass(config=_STRICT, frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One evaluation point. Has slots because points take most of a record's memory."""

    batch: Count
    passes: Count
    example_passes: Count = Field(default=0, exclude_if=_zero)
    """Passes times the examples in each."""
    seconds: Seconds
    """Training time so far; the clock stops around evaluation."""
    train_loss: Number | None
    """Mean training loss since the previous point, as the worker reports it (a claim)."""
    val: Number
    test: Number
    start: Annotated[int, Field(ge=0, le=MAX_STARTS)]
    """Which start, on tasks with several."""
    x: Number | None = Field(default=None, exclude_if=_absent)
    """Where the weights lie, on functions of one or two unknowns (Functions.position). Not
    written where there is no such place, so that other records stay as they are."""
    y: Number | None = Field(default=None, exclude_if=_absent)


class TrainingUsage(_Record):
    """What a run's training spent, as counted in the worker (a claim)."""

    batches: Count = 0
    passes: Count = 0
    """Forward-backward passes."""
    examples: Count = 0
    """Examples drawn, repeats included."""
    example_passes: Count = 0
    """Passes times the examples in each: what the budget counts."""
    train_seconds: Seconds = 0.0
    """In training, evaluation excluded."""
    optimizer_state_bytes: Count = 0


class Usage(TrainingUsage):
    """What a run spent."""

    wall_seconds: Seconds = 0.0
    """Whole run, measured outside the worker's fork."""
    cpu_seconds: Annotated[float, Field(le=MAX_SECONDS)] = 0.0
    """User and system time of the run's process, measured outside it."""
    peak_bytes: Count = 0
    """Largest resident set of the run's process, measured outside it."""


class Checks(_Record):
    """Facts for assay.detectors, which no score depends on; one entry per start."""

    first_losses: Losses = []
    """Loss of the first batch as the worker reports it (a claim); None where it reports none."""
    reference_first_losses: Losses = []
    """The same, computed by the scorer from its own initial weights and seeds; None where the batch
    cannot be made again (a GPU draws other augmentations)."""
    weight_distances: Losses = []
    """|w_T - w_0| / |w_0| over the trainable tensors exported in float; None where there are none
    or |w_0| = 0."""


class Result(_Record):
    """Scores of a run in the task's metric; see task.Scores."""

    val: Number
    test: Number
    test_last: Number
    test_oracle: Number
    selected: Count
    secondary: dict[Line, Number] = {}


class Environment(_Record):
    """Where a run happened; no host name, user or path."""

    python: Line
    torch: Line
    platform: Line
    cpu: Line
    cpu_flags_hash: Line
    assay: Line
    commit: Line | None = None
    dirty: bool | None = None
    lock_hash: Line | None = None
    device: Line = "cpu"
    libraries: Libraries = Field(default={}, exclude_if=_empty)
    """Versions of RUN_LIBRARIES."""

    def __hash__(self) -> int:
        return hash((self.torch, self.cpu, self.cpu_flags_hash, self.commit))

    @property
    def machine_key(self) -> tuple[tuple[str, str], ...]:
        """Equal for two runs on the same kind of machine: MACHINE_FIELDS and libraries by name."""
        own = ((name, getattr(self, name)) for name in MACHINE_FIELDS)
        return (*own, *sorted(self.libraries.items()))


class Isolation(_Record):
    """How the method was kept away from sealed data (L0 same process .. L4 micro-VM)."""

    level: Level
    mechanism: Mechanism | None = None
    profile_hash: Line | None = None
    """SHA-256 of the sandbox's options, filter and limits (sandbox.mechanisms.profile_hash)."""
    probe_hash: Line | None = None
    """SHA-256 of what the run could see of its surroundings (sandbox.self_check)."""

    @property
    def sealed(self) -> bool:
        """Whether the level says that the method could not reach sealed data."""
        return self.level in SEALED_LEVELS


class RunRecord(_Record):
    """The record of one run; never edited."""

    kind: Literal["run"] = "run"
    schema_version: Literal[2] = 2
    id: Id
    spec: RunSpec
    space: Space
    """The search space that the repetition's points were drawn from."""
    family: Family
    tier: Tier
    status: Status
    message: Line = ""
    """Why the run did not complete."""
    result: Result | None = None
    """Present exactly when the status is "completed"."""
    curve: Annotated[list[CurvePoint], Field(max_length=MAX_POINTS)] = []
    usage: Usage = Usage()
    environment: Environment
    isolation: Isolation
    scorer_version: Version
    weights_sha256: Hash | None = None
    """SHA-256 of the last snapshot's file, or of the digests of all starts' last snapshots."""
    checks: Checks | None = None
    """None if the run was not scored, or by an Assay that made no checks."""
    reproduce: Line
    """The exact command that repeats this run."""
    created_at: Line
    """UTC, ISO 8601."""

    @property
    def sealed(self) -> bool:
        """Whether the method ran in a sandbox that keeps sealed data from it.

        False at L0 and L1, and for every run on a GPU, which no sandbox has. Runs that are not
        sealed never rank on the published board.
        """
        on_cpu = self.spec.compute.accelerator == "cpu" and self.environment.device == "cpu"
        return self.isolation.sealed and on_cpu


def reproduce_command(method: str, spec: RunSpec, task: str | None = None) -> str:
    """The command that repeats one run and compares the weights.

    Args:
        method: its slug or path.
        spec: the run.
        task: its slug or path; default: the slug.
    """
    parts = ["assay", "run", method, "--task", task or spec.task.slug]
    parts += ["--repetition", str(spec.repetition)]
    if spec.point is not None:
        parts += ["--point", str(spec.point)]
    else:
        for key, value in spec.hyperparameters.items():
            parts += ["--set", f"{key}={json.dumps(value)}"]
    usual = Compute().model_dump()
    for key, value in spec.compute.model_dump().items():
        if value != usual[key]:
            parts += [f"--{key}", str(value)]
    if spec.epoch is not None:
        parts += ["--epoch", spec.epoch]
    if spec.compute.accelerator == "gpu":  # no sandbox has one
        parts.append("--allow-weaker")
    return shlex.join([*parts, "--again"])
