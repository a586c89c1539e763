"""Coverage of the subset-mean intervals and error rates of the tests, by simulation.

    python tests/benchmarks/coverage.py [--datasets 100000] [--seed 0]

Prints three tables in Markdown; coverage.md holds those of the command above.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from assay_leaderboard.statistics import pair_family, sign_flips, subset_means

ERROR = Fraction("0.05")
MARGIN = 0.0
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Table = Iterator[tuple[str, ...]]


def contaminated(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One repetition in ten has ten times the spread."""
    return generator.normal(size=shape) * np.where(generator.random(shape) < 0.1, 10.0, 1.0)


def uneven(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Each repetition has its own spread, from 1 to 10, the same in all data sets."""
    return generator.normal(size=shape) * np.logspace(0, 1, shape[-1])


SHAPES: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "uneven spreads (1 to 10)": uneven,
    "one in ten with ten times the spread": contaminated,
    "Student's t, 3 degrees of freedom": lambda generator, shape: generator.standard_t(3, shape),
    "Cauchy (centre)": lambda generator, shape: generator.standard_cauchy(shape),
    "exponential": lambda generator, shape: generator.exponential(size=shape) - 1,
    "lognormal": lambda generator, shape: generator.lognormal(size=shape) - math.exp(0.5),
}
"""Distributions of a repetition's difference, all with mean (or centre) 0."""


def percent(share: float, n: int) -> str:
    """A share in percent, with its standard error."""
    error = 100 * math.sqrt(max(share * (1 - share), 1e-12) / n)
    return f"{100 * share:.1f} ± {error:.1f}"


def rates(rows: np.ndarray) -> tuple[str, str]:
    """Share of intervals at 95 % that hold 0, and of p-values up to 5 %, in percent."""
    ends = subset_means.intervals(rows, ERROR)
    held = ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean()
    found = (sign_flips.p_values(rows) <= float(ERROR)).mean()
    return percent(held, len(rows)), percent(found, len(rows))


def single(generator: np.random.Generator, n: int) -> Table:
    yield "one interval at 95 %", "R", "holds the mean", "p ≤ 0.05"
    for name, draw in SHAPES.items():
        for repetitions in (6, 10, 12):
            yield name, str(repetitions), *rates(draw(generator, (n, repetitions)))


def tuned(
    generator: np.random.Generator, shape: tuple[int, ...], k: int, noise: float, diverging: float
) -> np.ndarray:
    """Test scores of the points that validation picks among k drawn ones.

    A point is a place in a range of four decades; its true score falls with the squared distance
    from the best place. Validation and test scores have noise of their own; a share of the points
    diverges to the chance level, 0.
    """
    places = generator.uniform(-2, 2, (*shape, k))
    true = 1 - 0.2 * places**2
    true = np.where(generator.random(true.shape) < diverging, 0.0, true)
    val, test = (true + noise * generator.normal(size=true.shape) for _ in range(2))
    picked = val.argmax(axis=-1)[..., np.newaxis]
    return np.take_along_axis(test, picked, axis=-1)[..., 0]


def repeated_winner(
    generator: np.random.Generator, shape: tuple[int, ...], k: int, noise: float
) -> np.ndarray:
    """Test scores under ruleset 1: the point picked once, then repeated with other seeds."""
    places = generator.uniform(-2, 2, (shape[0], k))
    true = 1 - 0.2 * places**2
    val = true + noise * generator.normal(size=true.shape)
    picked = np.take_along_axis(true, val.argmax(axis=1)[:, np.newaxis], axis=1)
    return picked + noise * generator.normal(size=shape)


def pipeline(generator: np.random.Generator, n: int) -> Table:
    yield "one method tuned and tested twice", "R", "holds 0", "p ≤ 0.05"
    for name, noise, diverging in (
        ("little noise", 0.02, 0.0),
        ("noise as large as the differences between points", 0.2, 0.0),
        ("a third of the points diverges", 0.05, 0.33),
    ):
        for k, repetitions in ((4, 6), (5, 10), (8, 12)):
            shape = n, repetitions
            a, b = (tuned(generator, shape, k, noise, diverging) for _ in range(2))
            yield f"K = {k} in each repetition, {name}", str(repetitions), *rates(a - b)
    for repetitions in (10, 12):
        # Equal means, other shapes: many points that are close, few points that vary much.
        shape = n, repetitions
        a, b = tuned(generator, shape, 8, 0.05, 0.0), tuned(generator, shape, 2, 0.05, 0.0)
        far = 400_000
        means = [tuned(generator, (far,), k, 0.05, 0.0).mean() for k in (8, 2)]
        name = "K = 8 against K = 2 shifted to the same mean"
        yield name, str(repetitions), *rates(a - means[0] - b + means[1])
    for noise in (0.02, 0.05):
        shape = n, 12
        a, b = (repeated_winner(generator, shape, 8, noise) for _ in range(2))
        yield f"ruleset 1: K = 8 once, winner repeated, noise {noise}", "12", *rates(a - b)


def family(
    generator: np.random.Generator, draw: Draw, skills: np.ndarray, repetitions: int
) -> tuple[float, float, float, bool]:
    """One task: shares of passed pairs that are equal, that are missed, of all that are missed.

    Missed: the interval does not hold the true difference.
    """
    m = len(skills)
    scores = skills[:, np.newaxis] + draw(generator, (m, repetitions))
    first, second = np.triu_indices(m, 1)
    rows = scores[first] - scores[second]
    judged = pair_family.Judgement.of([*rows], MARGIN, float(ERROR))
    low, high = subset_means.intervals(rows, judged.error).T
    true = skills[first] - skills[second]
    missed = (true < low) | (true > high)
    passed = judged.p <= float(judged.error)
    found = max(1, judged.family.passed)
    false = float((passed & (true == 0)).sum() / found)
    return false, float((passed & missed).sum() / found), float(missed.mean()), passed.any()


def families(generator: np.random.Generator, n: int) -> Table:
    yield (
        "all pairs of 10 methods of a task, q = 5 %",
        "R",
        "false of passed",
        "passed intervals that miss",
        "all intervals that miss",
        "tasks with a passed pair",
    )
    skills = {
        "all equal": np.zeros(10),
        "three better by 1 sd": np.array([1.0] * 3 + [0.0] * 7),
        "three better by 3 sd": np.array([3.0] * 3 + [0.0] * 7),
        "evenly spaced over 3 sd": np.linspace(0, 3, 10),
    }
    for shape in ("normal", "exponential"):
        for name, skill in skills.items():
            for repetitions in (10, 12):
                drawn = [family(generator, SHAPES[shape], skill, repetitions) for _ in range(n)]
                shares = np.array(drawn, dtype=float)
                means, errors = shares.mean(axis=0), shares.std(axis=0) / math.sqrt(n)
                cells = zip((100 * means).tolist(), (100 * errors).tolist(), strict=True)
                row = [f"{mean:.1f} ± {error:.1f}" for mean, error in cells]
                yield f"{shape}, {name}", str(repetitions), *row


def show(table: Table) -> None:
    for place, row in enumerate(table):
        print("| " + " | ".join(row) + " |", flush=True)
        if not place:
            print("| " + " | ".join("---" for _ in row) + " |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--datasets", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    n = arguments.datasets
    for place, table in enumerate((single, pipeline, families)):
        generator = np.random.default_rng([arguments.seed, place])
        show(table(generator, n if place < 2 else n // 100))


if __name__ == "__main__":
    main()
