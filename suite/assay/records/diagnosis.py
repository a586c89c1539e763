"""Diagnoses: what the networks of a recorded run were like, beyond their scores.

    <results>/diagnostics/<task>/<method>/<id>.json

A diagnosis is a kind of record of its own, written once: it says what was measured when the run
was done again, and changes nothing of the run's record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay import atomic
from assay.cards import Budget, Family, TaskCard
from assay.errors import RecordError
from assay.identity import canonical_json, content_id
from assay.records.schema import Count, Id, Line, Number, RunSpec
from assay.records.store import read_text
from assay.untrusted import strict_json
from assay.validation import problems as problems_of

VERSION: Literal[1] = 1
"""Of what is measured and how; diagnoses of another version are made anew."""
FOLDER = "diagnostics"
_REFUSED: Mapping[Family, str] = {
    "functions": "a function has no training examples and no test set",
    "quantization": "its snapshots are whole numbers, and a loss of these has no gradient",
}
POINTS = 14
"""Evaluation points of a diagnosed run, from 1 % of its budget to all of it."""
MAX_SNAPSHOTS = 2 * POINTS + 1
CLIP = 1.0
"""Length of a gradient above which a batch counts as clipped: the usual threshold."""
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MeasuredPoint(_Part):
    """The measures of one snapshot (engine.diagnostics); None where one has no value.

    Losses and scores are of the first training and test examples in eval mode; gradients and the
    Hessian are those of the mean training loss.
    """

    batch: Count
    example_passes: Count
    train_loss: Number
    test_loss: Number | None
    train_score: Number
    """In the task's metric, on the given labels."""
    test_score: Number
    norm_growth: Number | None
    """|w| / |w_0| over the trainable weights."""
    top_eigenvalue: Number | None
    """Of the Hessian."""
    lr: Number | None = None
    """Learning rate of the next batch: the hyperparameter of that name times the task's schedule.
    None where there is none, where the method has a schedule of its own, and with batch norm, whose
    running statistics make this Hessian another than that of training."""
    update_sharpness: Number | None
    """u^T H u / |u|^2, where u is what the weights change by in the next batch."""
    noise_scale: Number | None
    """Gradient noise scale, in examples."""
    coherence: Number | None
    """m-coherence of the gradients of single examples."""
    clipped_share: Share
    """Of batches whose gradient is longer than CLIP."""
    effective_rank: Share | None
    """Of the weight matrices, over the largest possible."""
    int8_drop: Number
    """How much worse the test score is with weights rounded to 8 bits."""
    int4_drop: Number
    predictions: Annotated[list[Annotated[int, Field(ge=-1, le=100_000)]], Field(max_length=10_000)]
    """Predicted classes of the first test examples; -1 where the network gave no number."""

    @property
    def stability(self) -> float | None:
        """Top eigenvalue times lr / 2: plain gradient descent leaves a quadratic above 1."""
        if self.top_eigenvalue is None or self.lr is None:
            return None
        return self.top_eigenvalue * self.lr / 2


class Diagnosis(_Part):
    """The diagnosis of one run."""

    kind: Literal["diagnosis"] = "diagnosis"
    schema_version: Literal[1] = 1
    version: Literal[1] = VERSION
    id: Id
    spec: RunSpec
    """Of the run."""
    same_weights: bool
    """Whether the run ended with the weights of its record, bit for bit. It seldom does on another
    kind of machine, or where taking a snapshot rounds the weights (schedule-free methods), as more
    snapshots are taken."""
    points: Annotated[list[MeasuredPoint], Field(min_length=1, max_length=MAX_SNAPSHOTS)]
    created_at: Line
    """UTC, ISO 8601."""


def refusal(card: TaskCard) -> str | None:
    """Why networks of a task cannot be diagnosed; None if they can."""
    if card.tier == "paper":
        return "its network is so large that one point would take hours"
    return _REFUSED.get(card.family)


def thresholds(budget: Budget) -> list[int]:
    """Example-passes spent at which a diagnosed run hands over its weights; the last is the budget.

    POINTS of them are equally spaced on a log scale. After each the weights of the next batch are
    handed over too. Batches are multiples of 4, at which methods of 1, 2 and 4 passes meet.
    """
    shares = (100 ** (number / (POINTS - 1) - 1) for number in range(POINTS))
    batches = {max(4, round(share * budget.batches / 4) * 4) for share in shares}
    spent = (batch * budget.batch_size for batch in batches if batch < budget.batches)
    return sorted({*(s + more for s in spent for more in (0, 1)), budget.example_passes})


def diagnosis_id(spec: RunSpec) -> str:
    """The id of a run's diagnosis by this version."""
    return content_id({"diagnosis": VERSION, "run": spec.id})


def path_of(root: Path, spec: RunSpec) -> Path:
    """Where the diagnosis of a run belongs in a folder of results."""
    return root / FOLDER / spec.task.slug / spec.method.slug / f"{diagnosis_id(spec)}.json"


def write(root: Path, made: Diagnosis) -> None:
    """Write a diagnosis; one that is there already stays as it is.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    text = canonical_json(made.model_dump(mode="json")) + "\n"
    atomic.write_new(path_of(root, made.spec), text.encode())


def read(path: Path) -> Diagnosis:
    """A diagnosis from its file.

    Raises:
        RecordError: it cannot be read, or is none of this version.
        FileNotFoundError: there is no such file.
    """
    try:
        made = Diagnosis.model_validate(strict_json.parse(read_text(path).encode()))
    except strict_json.NotStrict as error:
        raise RecordError(f"{path}: {error}; remove the file to make it anew") from error
    except ValidationError as error:
        first = next(iter(problems_of(error)))
        where = ".".join(map(str, first.place))
        raise RecordError(
            f"{path}: {where}: {first.text}; remove the file to make it anew"
        ) from error
    if not made.id == diagnosis_id(made.spec) == path.stem:
        raise RecordError(f"{path}: holds the diagnosis {made.id}, expected {path.stem}")
    return made


def of_task(root: Path, task: str, problems: list[str]) -> Iterator[Diagnosis]:
    """Every diagnosis of runs on a task in a folder of results, in the order of paths.

    Args:
        root: the folder.
        task: the task's slug.
        problems: files that cannot be read are named here.
    """
    for path in sorted((root / FOLDER / task).glob("*/*.json")):
        try:
            yield read(path)
        except (RecordError, FileNotFoundError) as error:
            problems.append(str(error))
