"""How the networks that methods find differ, at a training loss that all of them reach.

At the end of their runs methods differ first in how far they got. So each method's network is taken
at the point where its training loss is nearest to the lowest level that every method reaches (on a
log scale, in each repetition anew). The end itself, where the learning rate of most tasks is 0 and
no update follows, is none of these points; the networks there are compared beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from assay.cards import Metric
from assay.records.diagnosis import CLIP, Diagnosis, MeasuredPoint

SMALLEST_LOSS = 1e-12
"""Below it losses count as equal."""


class Quantity(NamedTuple):
    """What a number of `Solution.measures` is."""

    title: str
    explanation: str


QUANTITIES: Mapping[str, Quantity] = {
    "train_loss": Quantity("Training loss", "mean, on the given labels"),
    "loss_gap": Quantity("Gap in loss", "test minus training"),
    "score_gap": Quantity("Gap in score", "training minus test, as a share"),
    "disagreement": Quantity("Disagreement", "share of test examples, mean over the others"),
    "top_eigenvalue": Quantity("Sharpness", "top eigenvalue of the Hessian"),
    "stability": Quantity("Sharpness x lr / 2", "plain gradient descent is unstable above 1"),
    "update_sharpness": Quantity("Along the update", "curvature in its direction"),
    "noise_scale": Quantity("Noise scale", "examples; no value where no signal shows"),
    "coherence": Quantity("m-coherence", "examples that one helps"),
    "clipped_share": Quantity("Clipped", f"share of batches with a gradient above {CLIP:g}"),
    "norm_growth": Quantity("Norm growth", "|w| over that of the start"),
    "effective_rank": Quantity("Effective rank", "share of full rank"),
    "int8_drop": Quantity("Drop at int8", "test score lost by rounding, as a share"),
    "int4_drop": Quantity("Drop at int4", "test score lost by rounding, as a share"),
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spread(_Part):
    """A measure over the repetitions in which it has a value."""

    mean: float
    low: float
    high: float
    """The ends are the lowest and the highest value: a few repetitions make no interval."""
    n: int

    def ends(self, n: int) -> str:
        """`[low, high]` as text, and how many values there are if not all `n`; one has no ends."""
        fewer = "" if self.n == n else f"n={self.n}"
        if self.n == 1:
            return fewer
        return f"[{three_digits(self.low)}, {three_digits(self.high)}] {fewer}".rstrip()


def three_digits(value: float) -> str:
    """A measure as text: three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


class Solution(_Part):
    """The networks of one method."""

    method: str
    measures: dict[str, Spread]
    """By the names of QUANTITIES; those without a value in any repetition are left out."""
    disagreement: dict[str, Spread]
    """Share of test examples that get another class, by the other method."""


class Solutions(_Part):
    """The networks of several methods on one task."""

    task: str
    metric: str
    repetitions: list[int]
    """Those that every method has."""
    matched: list[Solution]
    """At the training loss that all reach, by method."""
    end: list[Solution]
    """At the end of training."""
    n_runs: int
    n_other_weights: int
    """Runs that ended with other weights than their records (Diagnosis.same_weights)."""


def compared(diagnoses: Iterable[Diagnosis], metric: Metric) -> Solutions | None:
    """Compare the networks of methods; None if there is no repetition that all of them have.

    Args:
        diagnoses: of runs on one task; of several of one method and repetition the latest counts.
        metric: the task's.
    """
    latest = {
        (d.spec.method.slug, d.spec.repetition): d
        for d in sorted(diagnoses, key=lambda d: d.created_at)
    }
    methods = sorted({method for method, _ in latest})
    found = {repetition for _, repetition in latest}
    repetitions = sorted(r for r in found if all((method, r) in latest for method in methods))
    if not repetitions:
        return None
    runs = {r: {method: latest[method, r] for method in methods} for r in repetitions}
    sign = 1.0 if metric.direction == "maximize" else -1.0
    last = [{method: run.points[-1] for method, run in own.items()} for own in runs.values()]
    chosen = [diagnosis for own in runs.values() for diagnosis in own.values()]
    return Solutions(
        task=chosen[0].spec.task.slug,
        metric=metric.name,
        repetitions=repetitions,
        matched=_solutions([at_level(own) for own in runs.values()], sign),
        end=_solutions(last, sign),
        n_runs=len(chosen),
        n_other_weights=sum(not diagnosis.same_weights for diagnosis in chosen),
    )


def at_level(runs: Mapping[str, Diagnosis]) -> dict[str, MeasuredPoint]:
    """The point of each run that is nearest to the lowest training loss that all of them reach."""
    before_end = {method: run.points[:-1] or run.points for method, run in runs.items()}
    level = max(min(map(_log_loss, points)) for points in before_end.values())
    return {
        method: min(points, key=lambda point: (abs(_log_loss(point) - level), point.batch))
        for method, points in before_end.items()
    }


def _log_loss(point: MeasuredPoint) -> float:
    return math.log(max(point.train_loss, SMALLEST_LOSS))


def _solutions(points: Sequence[Mapping[str, MeasuredPoint]], sign: float) -> list[Solution]:
    """A row for each method from the points of each repetition, by method."""
    return [_solution(method, points, sign) for method in points[0]]


def _solution(method: str, points: Sequence[Mapping[str, MeasuredPoint]], sign: float) -> Solution:
    others = [other for other in points[0] if other != method]
    differing = {
        other: [disagreement(own[method], own[other]) for own in points] for other in others
    }
    rows = [_measures(own[method], sign) for own in points]
    for row, *shares in zip(rows, *differing.values(), strict=True):
        row["disagreement"] = sum(shares) / len(shares) if shares else None
    measures = {name: _spread([row[name] for row in rows]) for name in QUANTITIES}
    return Solution(
        method=method,
        measures={name: spread for name, spread in measures.items() if spread},
        disagreement={name: s for name, values in differing.items() if (s := _spread(values))},
    )


def _measures(point: MeasuredPoint, sign: float) -> dict[str, float | None]:
    """By the names of QUANTITIES."""
    loss_gap = None if point.test_loss is None else point.test_loss - point.train_loss
    derived = {
        "loss_gap": loss_gap,
        "score_gap": sign * (point.train_score - point.test_score),
        "stability": point.stability,
    }
    own = (name for name in QUANTITIES if name in MeasuredPoint.model_fields)
    return {**{name: getattr(point, name) for name in own}, **derived}


def disagreement(a: MeasuredPoint, b: MeasuredPoint) -> float:
    """Share of the test examples to which two networks give different classes."""
    pairs = list(zip(a.predictions, b.predictions, strict=True))
    return sum(one != other for one, other in pairs) / len(pairs)


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = math.fsum(known) / len(known)
    return Spread(mean=mean, low=min(known), high=max(known), n=len(known))
