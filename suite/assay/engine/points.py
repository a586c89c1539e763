"""Hyperparameter points, drawn in advance.

The points of a repetition depend on the search space and the repetition's number alone, not on
results. So runs may finish in any order, a larger number of points only appends, and methods with
equal spaces try equal points.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from assay.identity import canonical_json, derive_seed
from assay.ruleset import RULESET
from assay.space import ChoiceRange, FloatRange, IntRange, Space, Value

if TYPE_CHECKING:
    pass

DIGITS = 6
"""Significant digits of a drawn number: machines whose logarithms differ in the last bit draw the
same points, and so the same runs."""
AnyRange = FloatRange | IntRange | ChoiceRange


def points(space: Space, repetition: int, k: int) -> list[dict[str, Value]]:
    """The first `k` hyperparameter points of a repetition under the ruleset.

    The first is the space's defaults; the others are a scrambled Sobol' sequence. A space without
    ranges has one point, whatever `k`.
    """
    named = canonical_json(space.model_dump(mode="json"))
    return [dict(point) for point in _points(named, repetition, k)]


@lru_cache(maxsize=4096)
def _points(named: str, repetition: int, k: int) -> list[dict[str, Value]]:
    """The points of a space given as its canonical JSON, by which they are kept."""
    seed = derive_seed(RULESET.seed_root, "points", named, repetition)
    return draw_points(Space.model_validate_json(named), k, seed)


def draw_points(space: Space, k: int, seed: int) -> list[dict[str, Value]]:
    """The defaults, then `k` - 1 points of the scrambled Sobol' sequence of a seed.

    The sequence is that of optuna.samplers.QMCSampler, which makes its generator anew for every
    point and so takes many times as long.
    """
    found = [dict(space.defaults)]
    ranges = {name: own for name, own in sorted(space.ranges.items()) if not _single(own)}
    if k == 1 or not ranges:
        return found
    from scipy.stats.qmc import Sobol

    power = math.ceil(math.log2(k - 1))  # a Sobol' sequence is drawn in powers of two
    engine = Sobol(len(ranges), scramble=True, seed=seed % 2**32)
    for row in engine.random_base2(power)[: k - 1].tolist():
        values = {name: _value(own, u) for (name, own), u in zip(ranges.items(), row, strict=True)}
        found.append({**space.defaults, **values})
    return found


def _single(found: AnyRange) -> bool:
    """Whether a range holds one value."""
    if isinstance(found, ChoiceRange):
        return len(found.options) == 1
    return found.low == found.high


def _value(found: AnyRange, share: float) -> Value:
    """The value at a `share` in [0, 1) of a range, whose choices and whole numbers share it."""
    if isinstance(found, ChoiceRange):
        return found.options[int(share * len(found.options))]
    half = 0.5 if isinstance(found, IntRange) else 0.0
    low, high = found.low - half, found.high + half
    if found.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    if isinstance(found, IntRange):
        return min(max(round(value), found.low), found.high)
    return min(max(float(f"{value:.{DIGITS}g}"), found.low), found.high)
