"""Run specs, run records and study records: what one run or one tuning leaves behind.

Reading an older schema upgrades it in memory; a newer one is refused with the side that is old.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from assay.cards import Direction, Family, Slug
from assay.identity import ID_LENGTH, canonical_json, content_id, sha256
from assay.ruleset import Preset, Tier
from assay.space import Space, Value

SCHEMA_VERSION = 1
Level = Literal["L0", "L1", "L2", "L3", "L4"]
Status = Literal["completed", "diverged", "out_of_budget", "failed"]
Purpose = Literal["tuning", "repetition"]
Mechanism = Literal["bubblewrap", "landlock", "subprocess"]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, **_STRICT)


def _absent(value: object) -> bool:
    return value is None


@dataclass
class Common:
    """What the records of a bundle have in common: the context in which they are validated."""

    environments: Sequence[Environment]
    """Those that its runs name by index."""
    last: dict[str | None, tuple[Any, Any]] = field(default_factory=dict)
    """By field, what the last new value said and the part of a record that it became."""


def _held_once(value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """A part that nearly all records of a bundle share: validated once, and held once."""
    common: Common | None = info.context
    if common is None:
        return validate(value)
    last = common.last.get(info.field_name)
    if last is None or last[0] != value:
        last = common.last[info.field_name] = value, validate(value)
    return last[1]


_HELD_ONCE = WrapValidator(_held_once)


def _named(value: Any, info: ValidationInfo) -> Any:
    """The environment that a run of a bundle names by index."""
    common: Common | None = info.context
    if common is None:
        return value
    if type(value) is not int or value not in range(len(common.environments)):
        raise ValueError("expected the index of an environment")
    return common.environments[value]


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
    task: Annotated[TaskRef, _HELD_ONCE]
    method: Annotated[MethodRef, _HELD_ONCE]
    hyperparameters: dict[str, Value]
    """All values, defaults included; the reference optimizer's are prefixed `reference.`."""
    purpose: Purpose
    """Tuning runs and repetitions use disjoint seeds."""
    repetition: Annotated[int, Field(ge=0)]
    """Pairs runs across methods: the same split, weights, order and noise."""
    compute: Annotated[Compute, _HELD_ONCE] = Compute()
    epoch: Slug | None = Field(default=None, exclude_if=_absent)
    """Repetitions with the hidden seeds of this epoch (assay.epochs); None: the public ones.
    It is not written where it is None, so that ids from before there were epochs stay."""

    @model_validator(mode="after")
    def _tuned_in_public(self) -> RunSpec:
        if self.epoch is not None and self.purpose != "repetition":
            raise ValueError("only repetitions can have an epoch; tuning uses the public seeds")
        return self

    @property
    def id(self) -> str:
        """First 16 hexadecimal digits of the canonical JSON's SHA-256."""
        return sha256(self._canonical)[:ID_LENGTH]

    @property
    def _canonical(self) -> str:
        """Its canonical JSON: joined, because few of its parts differ between most specs."""
        epoch = "" if self.epoch is None else f'"epoch":{canonical_json(self.epoch)},'
        return (
            f'{{"compute":{_canonical_part(*vars(self.compute).items())},{epoch}'
            f'"hyperparameters":{canonical_json(self.hyperparameters)},'
            f'"method":{_canonical_part(*vars(self.method).items())},'
            f'"purpose":"{self.purpose}","repetition":{self.repetition},'
            f'"ruleset":{self.ruleset},"schema_version":{self.schema_version},'
            f'"task":{_canonical_part(*vars(self.task).items())}}}'
        )


@lru_cache(maxsize=1024)
def _canonical_part(*items: tuple[str, str | int]) -> str:
    return canonical_json(dict(items))


@pydantic_dataclass(config=_STRICT, frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One evaluation point: with slots, as it is most of what a record takes in memory."""

    batch: int
    passes: int
    seconds: float
    """Training time so far; the clock stops around evaluation."""
    train_loss: float | None
    """Mean training loss since the previous point, as the worker reports it (a claim)."""
    val: float
    test: float
    start: int
    """Which start, on tasks with several."""
    x: float | None = Field(default=None, exclude_if=_absent)
    """Where the weights lie, on functions of one or two unknowns (Functions.position). Not
    written where there is no such place, so that other records stay as they are."""
    y: float | None = Field(default=None, exclude_if=_absent)


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


class Checks(_Record):
    """Facts that no score needs and the detectors do (assay.detectors); one entry per start."""

    first_losses: list[float | None] = []
    """Loss of the first batch as the worker reports it (a claim); None where it noted none."""
    reference_first_losses: list[float | None] = []
    """The same as the scorer computes it from its own initial weights and the issued seeds; None
    where the batch cannot be made again (a GPU draws other augmentations)."""
    weight_distances: list[float | None] = []
    """|w_T - w_0| / |w_0| of the trainable tensors that were handed over in float; None where
    there is none or |w_0| = 0."""


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

    level: Level
    mechanism: Mechanism | None = None
    profile_hash: str | None = None
    """Of the sandbox's options, filter and limits (sandbox.mechanisms.profile_hash)."""
    probe_hash: str | None = None
    """Of what the run saw of its sandbox (sandbox.self_check.look)."""


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
    environment: Annotated[Environment, BeforeValidator(_named)]
    isolation: Annotated[Isolation, _HELD_ONCE]
    scorer_version: int
    weights_sha256: Hash | None = None
    """Of the last snapshot's tensors."""
    checks: Checks | None = None
    """None for runs that were not scored, or by an older Assay."""
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
    task: Annotated[TaskRef, _HELD_ONCE]
    method: Annotated[MethodRef, _HELD_ONCE]
    family: Family
    tier: Tier
    compute: Annotated[Compute, _HELD_ONCE]
    space: Space
    trials: list[Trial]
    """Trial 0 ran the defaults."""
    selected: int
    """Number of the winning trial."""
    selected_runs: list[Id]
    """Ids of the R paired repetitions of the winning point; one without a record is missing."""
    default_runs: list[Id]
    """Ids of the R repetitions of the defaults; empty under --quick."""
    epoch: Slug | None = Field(default=None, exclude_if=_absent)
    """Whose hidden seeds the repetitions have; the trials are those of the public tuning."""
    created_at: str


def study_id(
    task: TaskRef,
    method: MethodRef,
    compute: Compute,
    ruleset: int,
    points: Sequence[Mapping[str, Value]],
    r: int,
    epoch: str | None = None,
) -> str:
    """Id of the study of one (task, method) over `points`, followed by `r` repetitions."""
    return content_id(
        {
            "task": task.model_dump(mode="json"),
            "method": method.model_dump(mode="json"),
            "compute": compute.model_dump(mode="json"),
            "ruleset": ruleset,
            "points": [dict(point) for point in points],
            "r": r,
            **({} if epoch is None else {"epoch": epoch}),
        }
    )


def select(trials: Sequence[Trial], direction: Direction) -> int:
    """Number of the trial that is best on validation; the earliest among equals."""
    sign = 1.0 if direction == "maximize" else -1.0
    return max(trials, key=lambda trial: (sign * trial.val, -trial.number)).number


def reproduce_command(method: str, spec: RunSpec) -> str:
    """The command that repeats one run of `method` (a slug or a file) and compares the weights."""
    parts = ["assay", "run", method, "--task", spec.task.slug, "--purpose", spec.purpose]
    parts += ["--repetition", str(spec.repetition)]
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


AnyRecord = TypeVar("AnyRecord", RunRecord, StudyRecord)
