"""Synthetic functions with known minima and random starts, scored by how low and how soon they get.

A run trains its method from several starts in turn, each on a function of its own. The function is
never where the method is: its model asks an oracle (families.oracle), which is paid for each call
and holds what was drawn. Let gap(t) be the
noiseless function's value minus its global minimum, at the point that the method would export after
t evaluations, in example-passes. Then

    progress(t) = clip(ln(gap(0) / gap(t)) / ln(gap(0) / gap_floor), 0, 1)

is the share of targets met, where targets are spread evenly in ln(gap) from the start's own gap
down to `gap_floor`. The score `anytime` is the mean over starts of the mean of progress(t) over the
pass budget: the area under the empirical distribution of COCO's (start, target) pairs (Hansen,
Auger, Brockhoff, Tusar and Tusar 2016, arXiv 1605.03560), for infinitely many targets. It departs
from COCO in two points. Time is linear up to the budget, because methods are compared at a training
budget, not over orders of magnitude of runtime. And the present point counts, not the best one so
far: a method that passes through the global basin and ends elsewhere has not found it, and with
noise it could not know. A method that does know may export that point (finalize_model). Standing
still scores 0, and so does getting worse.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from assay.cards import TaskCard
from assay.errors import CardError
from assay.families.oracle import FunctionOracle
from assay.space import Hyperparameters, LogUniform
from assay.task import Problem, Scores, Seeds, Snapshot, Task, Tensors

GAP_CEILING = 1e30
"""Larger and non-finite gaps count as this, so that every score is finite."""
START_DRAWS = 1000
"""Attempts to draw a start outside the global basin."""

Positive = Annotated[float, Field(gt=0)]


class Recipe(BaseModel):
    """The recipe in the card of a function: the constants of its score."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_starts: Annotated[int, Field(ge=1)]
    """Starts per run."""
    minimum: float
    """Value of the noiseless function at its global minimum."""
    gap_floor: Positive
    """The last target: a smaller gap earns nothing more."""
    basin_gap: Positive
    """Below this gap a point lies in the global basin: the gap of the second-best minimum or of
    the lowest saddle (a sublevel set under it holds the global minimum alone). For functions with
    neither, the gap that counts as solved. At least `gap_floor`: starts lie above it, so that
    every start has a target left."""

    @model_validator(mode="after")
    def _floor_in_basin(self) -> Self:
        if self.gap_floor > self.basin_gap:
            raise ValueError(
                f"`gap_floor <= basin_gap` must hold, but got (gap_floor={self.gap_floor:g}, "
                f"basin_gap={self.basin_gap:g})"
            )
        return self


class PointRecipe(Recipe):
    """The recipe of a function of one vector; z = rotation (x - shift) are its own coordinates."""

    dimension: Annotated[int, Field(ge=1)]
    start_low: float
    """Starts are uniform in [start_low, start_high]^dimension, in the function's coordinates."""
    start_high: float
    shift: Annotated[float, Field(ge=0)] = 0.0
    """Each coordinate of the shift is uniform in [-shift, shift]."""
    rotate: bool = False
    """Whether a random rotation couples the coordinates."""
    plot_x_low: float | None = None
    """Bounds of a contour picture, for functions of one or two unknowns."""
    plot_x_high: float | None = None
    plot_y_low: float | None = None
    plot_y_high: float | None = None


class Objective(nn.Module):
    """A function of its parameters, the unknowns; what was drawn are non-persistent buffers."""

    @abstractmethod
    def value(self) -> Tensor:
        """The noiseless function at the unknowns: a scalar."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The scalar that a method sees; `inputs` (n, 1) are numbers of noise rows."""
        return self.value()


class PointObjective(Objective):
    """f(rotation (x - shift)) + <noise, x - shift> of one vector `x` (dimension,)."""

    def __init__(self, formula: Callable[[Tensor], Tensor], instance: Tensors) -> None:
        super().__init__()
        self.formula = formula
        self.x = nn.Parameter(torch.zeros_like(instance["shift"]))
        self.shift: Tensor
        self.rotation: Tensor | None
        self.noise: Tensor
        self.register_buffer("shift", instance["shift"], persistent=False)
        self.register_buffer("rotation", instance.get("rotation"), persistent=False)
        self.register_buffer("noise", instance["noise"], persistent=False)

    def value(self) -> Tensor:
        """The noiseless function at `x`: a scalar."""
        return self._value_at(self.x - self.shift)

    def forward(self, inputs: Tensor) -> Tensor:
        """The function with the mean of the noise rows (dimension or 0,) `inputs` added."""
        moved = self.x - self.shift
        value = self._value_at(moved)
        if not self.noise.shape[1]:
            return value
        return value + self.noise.index_select(0, inputs[:, 0].long()).mean(0) @ moved

    def _value_at(self, moved: Tensor) -> Tensor:
        return self.formula(moved if self.rotation is None else self.rotation @ moved)


@dataclass(frozen=True)
class Trace:
    """The course of one start: the gap at each snapshot."""

    start_gap: float
    passes: Sequence[int]
    """At each snapshot, increasing: the larger of passes and batches, as some are not counted."""
    gaps: Sequence[float]
    """At each snapshot, at most GAP_CEILING."""

    def progress(self, floor: float) -> list[float]:
        """Share of targets met at each snapshot (see the module), 0..1."""
        span = math.log(self.start_gap / floor)
        shares = (math.log(self.start_gap / max(gap, floor)) / span for gap in self.gaps)
        return [min(max(share, 0.0), 1.0) for share in shares]

    def passes_to(self, gap: float, budget: int) -> int:
        """Passes at the first snapshot with at most `gap`; the budget if there is none."""
        reached = (n for n, found in zip(self.passes, self.gaps, strict=True) if found <= gap)
        return min(next(reached, budget), budget)


def area(passes: Sequence[int], progress: Sequence[float], budget: int) -> float:
    """Mean of progress over 0..budget passes, 0..1.

    `passes` increase. Trapezoids between (0, 0) and the snapshots, cut where the budget ends: what
    is spent beyond it buys nothing. The last value holds to the end of the budget.
    """
    points = [(0.0, 0.0)]
    for end, reached in zip(passes, progress, strict=True):
        begin, before = points[-1]
        if end > budget:
            points.append((budget, before + (reached - before) * (budget - begin) / (end - begin)))
            break
        points.append((end, reached))
    points.append((budget, points[-1][1]))
    doubled = sum(
        (end - begin) * (left + right) for (begin, left), (end, right) in pairwise(points)
    )
    return doubled / (2 * budget)


class Functions(Task):
    """A task whose loss is a function of its unknowns.

    Must define: `draw_instance`, `draw_start`, `build_model`. Secondary metrics: `global_basin`,
    share of starts whose last point lies in the global basin; `basin_ever`, share with any
    snapshot there; `passes_to_basin`, mean passes to the first such snapshot where a start that
    never gets there counts with the whole budget (a mean restricted to the budget: 1 - basin_ever
    is the censored share); `log10_gap`, mean log10 of the last gap, at least gap_floor.
    """

    class Reference(Hyperparameters):
        """Adam's learning rate."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1

    recipe_type: ClassVar[type[Recipe]] = Recipe

    def __init__(self, card: TaskCard) -> None:
        super().__init__(card)
        try:
            self.recipe: Any = self.recipe_type.model_validate(dict(card.recipe))
        except ValidationError as error:
            raise CardError(
                [
                    f"{card.slug}: {'.'.join(map(str, ('recipe', *entry['loc'])))}: "
                    f"{entry['msg'].removeprefix('Value error, ')}"
                    for entry in error.errors()
                ]
            ) from error

    @abstractmethod
    def draw_instance(self, generator: Generator) -> dict[str, Tensor]:
        """The random parts of one start's function, for `build_model`."""

    @abstractmethod
    def draw_start(self, instance: Tensors, generator: Generator) -> dict[str, Tensor]:
        """One candidate for initial unknowns."""

    @abstractmethod
    def build_model(self, train: Tensors) -> Objective:
        """The function, unknowns not yet set; `train` is an instance, with its `noise`."""

    def position(self, model: Any, state: Tensors) -> dict[str, float]:
        """Where `state` lies in a picture of the function, as x and y. Default: nowhere."""
        return {}

    def draw_noise(self, instance: Tensors, generator: Generator) -> Tensor:
        """Noise rows (n, k), one per batch of an epoch. Default: a row of nothing per batch."""
        return torch.zeros(self.card.budget.batches, 0)

    def prepare(self, seeds: Seeds) -> Problem:
        """Draw instance, noise and point of each start, again if it lies in the global basin.

        A worker gets the points and numbers of noise rows; all else is sealed.

        Raises:
            CardError: START_DRAWS points in a row lay in the global basin.
        """
        generator = _generator(seeds["starts"])
        starts: list[Tensors] = []
        sealed: dict[str, Tensor] = {}
        for number in range(self.n_starts):
            own = str(number or "")
            instance = self.draw_instance(_generator(seeds["instance" + own]))
            instance["noise"] = self.draw_noise(instance, _generator(seeds["noise" + own]))
            model = self.build_model(instance).double()
            starts.append(self._outside_basin(model, instance, generator))
            sealed |= {f"{number}.{name}": tensor for name, tensor in instance.items()}
        n_rows = len(sealed["0.noise"])
        rows = torch.arange(n_rows, dtype=torch.float32).unsqueeze(1)
        train = {"inputs": rows, "targets": torch.zeros(n_rows)}
        return Problem(train=train, starts=starts, sealed=sealed)

    def model_for(self, problem: Problem, start: int) -> Objective:
        """The function of one start, unknowns not yet set."""
        own = f"{start}."
        return self.build_model(
            {key[len(own) :]: t for key, t in problem.sealed.items() if key.startswith(own)}
        )

    def oracle(self, problem: Problem, start: int) -> FunctionOracle:
        """A new oracle of the function of one start."""
        card = self.card
        return FunctionOracle(
            self.model_for(problem, start),
            n_rows=len(problem.train["inputs"]),
            budget=card.budget.example_passes,
            max_marks=len(card.evaluation.thresholds(card.budget)),
        )

    @property
    def n_starts(self) -> int:
        """Starts per run."""
        return int(self.recipe.n_starts)

    def _outside_basin(
        self, model: Objective, instance: Tensors, generator: Generator
    ) -> dict[str, Tensor]:
        for _ in range(START_DRAWS):
            start = self.draw_start(instance, generator)
            if self.gap(model, start) > self.recipe.basin_gap:
                return start
        raise CardError([f"{self.card.slug}: recipe: every start lies in the global basin"])

    def gap(self, model: Objective, state: Tensors) -> float:
        """Noiseless value at `state` minus the minimum, at most GAP_CEILING.

        `model` is in double precision: near a minimum of large value, single precision would show
        the rounding of the value rather than the distance from the minimum.
        """
        model.load_state_dict(dict(state))
        with torch.no_grad():
            gap = float(model.value()) - self.recipe.minimum
        return min(gap, GAP_CEILING) if math.isfinite(gap) else GAP_CEILING

    def loss(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """The function's value itself; `reduction` changes nothing but the shape for "none"."""
        return outputs.expand(targets.shape) if reduction == "none" else outputs

    def score(self, problem: Problem, runs: Sequence[Sequence[Snapshot]]) -> Scores:
        """Score the snapshots of every start; val and test are the same number.

        The curve holds progress, per start: it shares unit and direction with the score, so that
        the card's targets can be read off it.
        """
        models = [self.model_for(problem, n).double() for n in range(len(problem.starts))]
        budget = self.card.budget.example_passes
        traces = [
            self._trace(model, start, snapshots)
            for model, start, snapshots in zip(models, problem.starts, runs, strict=True)
        ]
        curve: list[Mapping[str, float]] = []
        areas: list[float] = []
        for number, (trace, snapshots) in enumerate(zip(traces, runs, strict=True)):
            progress = trace.progress(self.recipe.gap_floor)
            areas.append(area(trace.passes, progress, budget))
            curve += [
                {
                    "start": number,
                    "batch": snapshot.batch,
                    "val": share,
                    "test": share,
                    **self.position(models[number], snapshot.state),
                }
                for snapshot, share in zip(snapshots, progress, strict=True)
            ]
        anytime = _mean(areas)
        return Scores(
            val=anytime,
            test=anytime,
            test_last=anytime,
            test_oracle=anytime,
            selected=len(runs[0]) - 1,
            curve=curve,
            secondary=self._secondary(traces, budget),
        )

    def _trace(self, model: Objective, start: Tensors, snapshots: Sequence[Snapshot]) -> Trace:
        passes: list[int] = []
        for snapshot in snapshots:
            spent = max(snapshot.example_passes, snapshot.batch)
            passes.append(max(spent, passes[-1]) if passes else spent)
        return Trace(
            start_gap=self.gap(model, start),
            passes=passes,
            gaps=[self.gap(model, snapshot.state) for snapshot in snapshots],
        )

    def _secondary(self, traces: Sequence[Trace], budget: int) -> dict[str, float]:
        basin, floor = self.recipe.basin_gap, self.recipe.gap_floor
        return {
            "global_basin": _mean([float(trace.gaps[-1] <= basin) for trace in traces]),
            "basin_ever": _mean([float(min(trace.gaps) <= basin) for trace in traces]),
            "passes_to_basin": _mean([trace.passes_to(basin, budget) for trace in traces]),
            "log10_gap": _mean([math.log10(max(trace.gaps[-1], floor)) for trace in traces]),
        }

    def reference_optimizer(self, parameters: Iterable[Any], reference: Any) -> Optimizer:
        """Adam (Kingma and Ba 2015) with torch's other defaults."""
        return Adam(parameters, lr=reference.lr)


class PointFunctions(Functions):
    """A function of one vector: a subclass adds `formula` and, where it has any, noise."""

    recipe_type = PointRecipe

    @abstractmethod
    def formula(self, z: Tensor) -> Tensor:
        """The function in its own coordinates: (dimension,) to a scalar."""

    def build_model(self, train: Tensors) -> PointObjective:
        """The function, `x` at zero."""
        return PointObjective(self.formula, train)

    def position(self, model: PointObjective, state: Tensors) -> dict[str, float]:
        """The function's own coordinates z, which every instance shares, of one or two unknowns.

        Rounded to what a picture can show; a point that is not finite lies nowhere.
        """
        if self.recipe.dimension > 2:
            return {}
        moved = state["x"].double() - model.shift
        z = moved if model.rotation is None else model.rotation @ moved
        if not z.isfinite().all():
            return {}
        return {axis: float(f"{place:.6g}") for axis, place in zip("xy", z.tolist(), strict=False)}

    def draw_instance(self, generator: Generator) -> dict[str, Tensor]:
        """A uniform `shift` and, if the recipe says so, a Haar-distributed `rotation`."""
        recipe: PointRecipe = self.recipe
        shift = (2 * torch.rand(recipe.dimension, generator=generator) - 1) * recipe.shift
        if not recipe.rotate:
            return {"shift": shift}
        return {"shift": shift, "rotation": random_rotation(recipe.dimension, generator)}

    def draw_start(self, instance: Tensors, generator: Generator) -> dict[str, Tensor]:
        """Uniform in the recipe's cube, which moves with the function."""
        recipe: PointRecipe = self.recipe
        share = torch.rand(recipe.dimension, generator=generator)
        z = recipe.start_low + (recipe.start_high - recipe.start_low) * share
        rotation = instance.get("rotation")
        moved = z if rotation is None else rotation.T @ z
        return {"x": (moved + instance["shift"]).contiguous()}


def random_rotation(dimension: int, generator: Generator) -> Tensor:
    """An orthogonal matrix (dimension, dimension), Haar-distributed (Mezzadri 2007, section 5)."""
    normal = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    rotation: Tensor = (q * r.diagonal().sign()).float()
    return rotation.contiguous()


def _generator(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
