"""L-BFGS: Liu and Nocedal, 1989, Algorithm 2.1, on one function.

Line search: Nocedal and Wright, Numerical Optimization, 2006, Algorithms 3.5 and 3.6 with cubic
interpolation (Equation 3.59) and the safeguards of minFunc, which torch has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

C1, C2 = 1e-4, 0.9
"""Constants of the strong Wolfe conditions."""
SMALLEST = 1e-9
"""Steps, decreases and slopes below this end the iterations of a batch."""


class Trial(NamedTuple):
    """A step length, and value, gradient and slope along the direction there."""

    t: float
    value: float
    gradient: np.ndarray
    slope: float


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after every h.iterations iterations, endlessly."""
    shapes = [x.shape for x in w]
    x = np.concatenate([value.ravel() for value in w])
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    first = True

    def split(flat: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        return [p.reshape(s) for p, s in zip(np.split(flat, ends), shapes, strict=True)]

    def look(t: float) -> Trial:
        there = split(x + t * d)
        gradient = np.concatenate([g.ravel() for g in problem.gradient(there)])
        return Trial(t, problem.value(there), gradient, float(gradient @ d))

    d = before = np.zeros_like(x)
    t = 0.0
    while True:
        now = look(0.0)
        for _ in range(h.iterations):
            if np.abs(now.gradient).max() <= 1e-7:
                break
            if not first:
                change = now.gradient - before
                if change @ (t * d) > 1e-10:
                    pairs = [*pairs, (t * d, change)][-h.history :]
            d = direction(now.gradient, pairs)
            before, value = now.gradient, now.value
            now = now._replace(t=0.0, slope=float(now.gradient @ d))
            if now.slope > -SMALLEST:
                break
            t = h.lr * min(1.0, 1 / np.abs(now.gradient).sum()) if first else h.lr
            first = False
            now = search(look, now, t, float(np.abs(d).max()))
            t = now.t
            x = x + t * d
            if np.abs(t * d).max() <= SMALLEST or abs(now.value - value) < SMALLEST:
                break
        yield split(x.copy())


def direction(gradient: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """-H g by the two-loop recursion; `pairs` of steps and changes of g, the oldest first."""
    q, alphas = -gradient, []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (y @ s))
        q = q - alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (y @ s) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - (y @ q) / (y @ s))
    return q


def search(look: Callable[[float], Trial], start: Trial, t: float, longest: float) -> Trial:
    """A point that fulfils the strong Wolfe conditions, from the trial length `t` on."""

    def too_high(trial: Trial) -> bool:
        return trial.value > start.value + C1 * trial.t * start.slope

    def flat(trial: Trial) -> bool:
        return abs(trial.slope) <= -C2 * start.slope

    before, now = start, look(t)
    for n in range(25):
        if too_high(now) or (n > 1 and now.value >= before.value):
            break
        if flat(now):
            return now
        if now.slope >= 0:
            break
        t = cubic(before, now, now.t + 0.01 * (now.t - before.t), 10 * now.t)
        before, now = now, look(t)
    low, high = (before, now) if before.value <= now.value else (now, before)
    stuck = False
    while abs(high.t - low.t) * longest >= SMALLEST:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t = cubic(*sorted((low, high)), left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or not left < t < right:
                t = right - margin if right - t < t - left else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = look(t)
        if too_high(now) or now.value >= low.value:
            high = now
            if high.value < low.value:
                low, high = high, low
            continue
        if flat(now):
            return now
        if now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low


def cubic(a: Trial, b: Trial, left: float, right: float) -> float:
    """Where the cubic through two values and slopes, a.t < b.t, is least in [left, right]."""
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if square < 0:
        return (left + right) / 2
    d2 = np.sqrt(square)
    t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
    return float(min(max(t, left), right))
