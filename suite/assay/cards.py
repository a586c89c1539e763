"""Cards: what a task or a submission declares about itself in card.toml."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from assay import validation
from assay.errors import CardError
from assay.ruleset import Tier
from assay.space import Value
from assay.syntax import MAX_TOML_BYTES, NotParsed, parse_toml
from assay.untrusted.files import read_regular

Family = Literal["classification", "functions", "noisy_labels", "class_imbalance", "quantization"]
FAMILIES: tuple[Family, ...] = (
    "classification",
    "functions",
    "noisy_labels",
    "class_imbalance",
    "quantization",
)
Direction = Literal["maximize", "minimize"]
Access = Literal["sample_indices", "class_counts", "noise_rate"]
"""Extra information, beside inputs and given labels, that a task may grant to methods."""

HOOKS: tuple[str, ...] = (
    "transform_model",
    "configure_optimizer",
    "lr_factor",
    "sampler",
    "transform_batch",
    "compute_loss",
    "transform_gradients",
    "training_step",
    "on_epoch_end",
    "finalize_model",
)
"""Hooks of a Method in the order of calls."""

_LOSS = frozenset({"compute_loss", "transform_batch", "on_epoch_end"})
TRACKS: dict[str, frozenset[str]] = {
    "optimizer": frozenset(
        {"configure_optimizer", "transform_gradients", "training_step", "finalize_model"}
    ),
    "schedule": frozenset({"lr_factor", "configure_optimizer", "training_step"}),
    "gradient_transform": frozenset({"transform_gradients", "training_step"}),
    "averaging": frozenset({"lr_factor", "training_step", "on_epoch_end", "finalize_model"}),
    "batch_size": frozenset({"sampler", "configure_optimizer", "lr_factor", "training_step"}),
    "loss": _LOSS,
    "regularizer": _LOSS | {"transform_gradients", "training_step", "transform_model"},
    "sampling": frozenset({"sampler", "transform_batch", "compute_loss", "on_epoch_end"}),
    "quantizer": _LOSS | {"transform_model", "finalize_model", "configure_optimizer"},
    "open": frozenset(HOOKS),
}
"""The hooks that each track allows: methods of one track change the same part of training."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,48}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
MAX_DATA_FILES, MAX_PACKAGES = 16, 20
MAX_SETTINGS, MAX_REMARKS = 40, 20


def _data_name(name: str) -> str:
    """Refuse names that are not those of a data file in the card's own folder."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise ValueError("expected the plain name of a file in this folder")
    if name.endswith(".py") or name == "card.toml":
        raise ValueError("Python files and the card need not be listed")
    return name


def _distribution(text: str) -> str:
    """Refuse what is not the name of a distribution with bounds on its version."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        needed = Requirement(text)
    except InvalidRequirement:
        needed = None
    if needed is None or needed.url or needed.marker or needed.extras:
        raise ValueError('expected a name and versions, as "pytorch_optimizer>=4"')
    return text


DataName = Annotated[str, AfterValidator(_data_name)]
Distribution = Annotated[str, Field(max_length=200), AfterValidator(_distribution)]
LibraryName = Annotated[
    str, Field(max_length=120, pattern=r"^(torch\.optim|pytorch_optimizer)\.[A-Za-z]\w*$")
]


class _CardPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Dataset(_CardPart):
    """The data set of a task."""

    name: Slug
    """Its name in assay.data; "none" for synthetic functions."""
    source: Text
    """Publisher and address or citation."""
    licence: Text
    sha256: dict[str, str] = {}
    """SHA-256 of published files, by name."""


class Model(_CardPart):
    """The network: a name and parameters for assay.models."""

    name: Slug
    parameters: dict[str, Value] = {}


class Metric(_CardPart):
    """The metric of a task."""

    name: Slug
    direction: Direction
    chance: float
    """Score of a method that learns nothing; a diverged tuning point counts as this."""
    margin: Annotated[float, Field(gt=0)]
    """Differences within +-margin are negligible in practice (two one-sided tests)."""
    unit: str = "share"
    """Unit of the score: "share" for 0..1."""


class Budget(_CardPart):
    """What one run may spend."""

    batches: Annotated[int, Field(ge=1)]
    """Batches that a method of one pass a batch trains."""
    batch_size: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(gt=0)]
    """CPU seconds of a thread after which a run is stopped and recorded as out_of_budget."""

    @property
    def example_passes(self) -> int:
        """Forward-backward passes times examples in them: what ends the training."""
        return self.batches * self.batch_size


class Evaluation(_CardPart):
    """When snapshots are taken for scoring; always after the last batch."""

    points: Annotated[int, Field(ge=1, le=200)] = 1
    spacing: Literal["linear", "log"] = "linear"

    def thresholds(self, budget: Budget) -> list[int]:
        """Example-passes spent at which a snapshot is due, increasing; the last is the budget."""
        return [batch * budget.batch_size for batch in self.batches(budget.batches)]

    def batches(self, total: int) -> list[int]:
        """Batch counts (1..total), increasing, after which a method of one pass is scored."""
        n = self.points
        if self.spacing == "linear":
            chosen = {max(1, round(total * i / n)) for i in range(1, n + 1)}
        else:
            chosen = {max(1, round(total ** (i / n))) for i in range(1, n + 1)}
        return sorted(chosen | {total})


class Target(_CardPart):
    """A score for the time-to-target comparison; it never changes."""

    name: Literal["easy", "reference", "stretch"]
    value: float


class Anchor(_CardPart):
    """1 on the normalised scale, where chance is 0: the tuned reference's mean test score when this
    version of the task was frozen. A number, so that no later run moves anybody's score.
    """

    value: float
    n: Annotated[int, Field(ge=2)]
    """Repetitions."""
    standard_error: Annotated[float, Field(ge=0)]


class Citation(_CardPart):
    """A paper."""

    title: Text
    year: Annotated[int, Field(ge=1950, le=2100)]
    identifier: Text
    """arXiv number, DOI or proceedings."""


DROP_AT, DROP_FACTOR = 0.8, 0.1
"""Where the schedule "drop" falls, and to what."""
REPLAY_MARGINS = 2.0
"""Margins of the task's metric by which one run's test score may differ on another machine.

Tried with AVX2 against AVX-512 on one CPU, Adam and SGD at their defaults, 12 repetitions each: on
six tasks without quantization 72 of 144 pairs were the same bit for bit, the others differed by at
most 1.15 margins; at all points of a search space 4 % of 362 pairs differed by more than 2 margins
(publication/drift.py). With weights of two bits a difference of rounding grows to 17 margins
(median 3), and 7 of 24 pairs ended with another status. What differs by more than this is held
against the run's own sensitivity to rounding (publication/replay.py).
"""


class TaskCard(_CardPart):
    """Data sheet of a task."""

    schema_version: Literal[1] = 1
    slug: Slug
    version: Annotated[int, Field(ge=1)]
    title: Text
    summary: Text
    family: Family
    tier: Tier
    dataset: Dataset
    n_classes: Annotated[int, Field(ge=0)] = 0
    """Classes of a labelled task; 0 for functions."""
    split: dict[str, int | float] = {}
    """Number of examples of each split (train, val, test); the family defines the keys."""
    model: Model
    recipe: dict[str, Value] = {}
    """Settings of the family: noise, imbalance, bits, function; the family defines the keys."""
    metric: Metric
    secondary: list[Slug] = []
    """Further metrics recorded beside the score."""
    targets: list[Target] = []
    anchor: Anchor | None = None
    """None: not frozen yet, so the task counts in no summary over tasks."""
    budget: Budget
    evaluation: Evaluation = Evaluation()
    schedule: Literal["linear", "constant", "drop"] = "linear"
    """Learning rate over the budget: to zero, constant, or divided by ten at 80 %."""
    deterministic: bool = False
    """Repetitions would all be equal, so only one is run."""
    reference: Slug
    """The submission that scores are compared with."""
    access: list[Access] = []
    """Extra access that the task grants."""
    citation: list[Citation] = []
    superseded_by: Slug | None = None

    def lr_factor(self, elapsed: float) -> float:
        """Factor on the learning rate when the share `elapsed` of the budget is spent."""
        if self.schedule == "linear":
            return 1.0 - elapsed
        return DROP_FACTOR if self.schedule == "drop" and elapsed >= DROP_AT else 1.0

    @property
    def replay_tolerance(self) -> float:
        """The largest difference of scores between kinds of machines, in the metric's unit."""
        return REPLAY_MARGINS * self.metric.margin


MAX_OVERRUN, MAX_OVERRUN_BATCHES = 0.1, 32
"""How far the batch that spends the budget may go beyond it, as a share of it or in batches' worth
of passes, whichever is more: line searches and sums over many batches end a little late. Of all
published runs that completed the latest end 24 batches (L-BFGS on addition_transformer) and 6 %
(L-BFGS on digits_cnn) beyond."""


def spending_problem(spent: Sequence[int], card: TaskCard) -> str | None:
    """What is wrong with the example-passes at which the snapshots of one start were taken.

    Each snapshot is the first at or after a threshold of the card's evaluation, and the last one
    is taken when the budget is spent: after the batch in which it is, so a little later. A method
    whose last batch goes on for long would be trained longer than others. (Of a function an oracle
    answers little beyond the budget.)
    """
    thresholds = card.evaluation.thresholds(card.budget)
    if not spent:
        return "it has no snapshots"
    if spent[-1] < card.budget.example_passes:
        return f"it ends at {spent[-1]} of {card.budget.example_passes} example-passes"
    budget = card.budget
    beyond = max(MAX_OVERRUN * budget.example_passes, MAX_OVERRUN_BATCHES * budget.batch_size)
    if card.family != "functions" and spent[-1] > budget.example_passes + beyond:
        return (
            f"it ends at {spent[-1]} example-passes, more than {beyond:.0f} beyond the budget of "
            f"{budget.example_passes}: one call of training_step or finalize_model may not spend "
            "so much"
        )
    before = 0
    for now in spent:
        if not any(before < threshold <= now for threshold in thresholds):
            return f"a snapshot at {now} example-passes passes no evaluation point"
        before = now
    return None


class Claim(_CardPart):
    """One testable statement of a paper."""

    text: Text
    source: Text
    """Place in the paper, and how it is known (read, from the abstract, unchecked memory)."""
    paper_value: str | float | None = None
    checked: bool = False
    """Whether the quotation was read in the paper or its official repository."""
    control: bool = False
    """Whether it is no statement of the paper but a comparison of ours that says what a claim of it
    is due to; there is no quotation to check."""
    written: datetime.date | None = None
    """The day on which the claim was written or last changed on this card."""
    metric: Slug
    better_than: Slug
    """A submission's slug, or "reference"."""
    tasks: list[Annotated[str, Field(max_length=100)]] = Field(min_length=1)
    """Task slugs or glob patterns."""
    margin: float = 0.0
    tuned: bool = True
    """True: the claim is about the tuned method; False: about its defaults."""


class Parity(_CardPart):
    """What a method's optimizer is compared with, beside the equations in its folder."""

    library: LibraryName | None = None
    """The same optimizer in a library, as "pytorch_optimizer.Lion"."""
    settings: dict[str, Value | list[Value]] = Field(default={}, max_length=MAX_SETTINGS)
    """Arguments of that optimizer; a text that is the name of a hyperparameter stands for its
    value. Those called as a hyperparameter need no mention, nor do betas."""
    values: dict[str, Value] = Field(default={}, max_length=MAX_SETTINGS)
    """Hyperparameters of the second comparison that are not the middle of their ranges: such as a
    period that a few steps see the end of."""
    tolerance: Annotated[float, Field(gt=0, le=0.1)] = 1e-6
    """Differences that count as none, as a share of the distance that the weights go; a larger one
    than this default, as for arithmetic in 16 bits, needs a note."""
    base: Slug | None = None
    """The submission that this method varies, whose distance from it is told."""
    bugs: list[Text] = Field(default=[], max_length=MAX_REMARKS)
    """Mistakes in published code of the method, each with where it is."""
    notes: list[Text] = Field(default=[], max_length=MAX_REMARKS)
    """Why the method differs from its equations' paper or from the library, where it does."""


class SubmissionCard(_CardPart):
    """Data sheet of a method."""

    schema_version: Literal[1] = 1
    slug: Slug
    version: Annotated[int, Field(ge=1)] = 1
    title: Text
    summary: str = ""
    track: Literal[
        "optimizer",
        "schedule",
        "gradient_transform",
        "averaging",
        "batch_size",
        "loss",
        "regularizer",
        "sampling",
        "quantizer",
        "open",
    ] = "open"
    families: list[Family] = Field(default=list(FAMILIES), min_length=1)
    access: list[Access] = []
    """Extra access that the method needs."""
    binary_only: bool = False
    """The method is defined for two classes only."""
    requires: dict[Literal["weight_bits", "activation_bits"], list[Value]] = {}
    """Number formats for which the method is defined, as weight_bits = [1]. No other part of a
    task's recipe can be named, or an author could choose the tasks of a family."""
    packages: list[Distribution] = Field(default=[], max_length=MAX_PACKAGES)
    """Distributions to install that Assay does not bring itself, as "pytorch_optimizer>=4"."""
    data: list[DataName] = Field(default=[], max_length=MAX_DATA_FILES)
    """Data files beside method.py that it reads, by name (plugins.files bounds their size)."""
    authors: list[Text] = []
    paper: Citation | None = None
    licence: Text = "Apache-2.0"
    is_baseline: bool = False
    claims: list[Claim] = []
    parity: Parity = Parity()
    supersedes: Slug | None = None
    derived_from: list[Slug] = []
    """Submissions whose code this one started from; likeness to them is shown as derived."""


MAX_PROBLEMS = 20
"""Problems of one card that are listed."""
Card = TypeVar("Card", TaskCard, SubmissionCard)


def read_card(path: Path, model: type[Card]) -> Card:
    """Read one card.toml; its slug must be its folder's name.

    Raises:
        CardError: with every problem, each as `file:line: key: what is wrong`.
    """
    try:
        content = read_regular(path.resolve(), MAX_TOML_BYTES)
        data = parse_toml(content)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        reason = getattr(error, "strerror", None) or error
        raise CardError([f"{path}: cannot be read: {reason}"]) from error
    except NotParsed as error:
        raise CardError([f"{path}: {error}"]) from error
    text = content.decode()
    try:
        card = model(**data)
    except ValidationError as invalid:
        found = list(validation.problems(invalid))
        problems = [_problem(path, text, problem) for problem in found[:MAX_PROBLEMS]]
        if len(found) > MAX_PROBLEMS:
            problems.append(f"{path}: and {len(found) - MAX_PROBLEMS:,} more problems")
        raise CardError(problems) from invalid
    if card.slug != path.parent.name:
        raise CardError(
            [f"{path}:{_line(text, ('slug',))}: slug: is {card.slug!r}, expected the folder's "
             f"name {path.parent.name!r}"]
        )  # fmt: skip
    return card


def _problem(path: Path, text: str, problem: validation.Problem) -> str:
    shown = "" if problem.given is None else f" (got {str(problem.given)[:80]!r})"
    message = problem.text.replace("is not known here", "is not a key of this card")
    name = ".".join(str(part) for part in problem.place)
    return f"{path}:{_line(text, problem.place)}: {name}: {message}{shown}"


def _line(text: str, loc: tuple[int | str, ...]) -> int:
    """Line of the key at `loc`; if it is missing, of its nearest table; else 1."""
    names = [part for part in loc if isinstance(part, str)]
    wanted = next((part for part in loc if isinstance(part, int)), 0)
    best, depth, seen, inside = 1, 0, -1, not names[:-1]
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*+\[{1,2}+([^\[\]]++)\]", line)
        if header:
            table = [part.strip() for part in header[1].split(".")]
            inside = table == names[: len(table)]
            if inside and line.lstrip().startswith("[["):
                seen += 1
                inside = seen == wanted
            if inside and len(table) > depth:
                best, depth = number, len(table)
            continue
        key = re.match(r"\s*+([\w\-]++)\s*+=", line)
        if key and inside and key[1] in names[-2:] and depth < len(names):
            if key[1] == names[-1]:
                return number
            best = number
    return best
