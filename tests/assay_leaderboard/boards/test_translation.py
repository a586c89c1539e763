"""Best learning rates and ends of ranges, against a count over the records that uses no array."""

from __future__ import annotations

import math
import random
from statistics import quantiles

import pytest
from assay.records.schema import RunRecord
from assay.ruleset import RULESET
from assay.space import ChoiceRange, FloatRange, IntRange, Space
from assay_leaderboard.boards import search_spaces, translation
from assay_leaderboard.schema.task_details import RangeUse
from assay_leaderboard.schema.translation import Translation
from assay_leaderboard.terminal.console import console
from assay_leaderboard.terminal.translation import show_translation

from tests.assay_leaderboard.making import Records

SPACE = Space(
    ranges={
        "lr": FloatRange(low=1e-4, high=1.0, log=True),
        "momentum": FloatRange(low=0.0, high=0.9),
        "depth": IntRange(low=1, high=5),
        "kind": ChoiceRange(options=("a", "b")),
    },
    defaults={"lr": 0.01, "momentum": 0.45, "depth": 1, "kind": "a"},
)
NARROW = Space(ranges={"lr": FloatRange(low=1e-5, high=1e-3, log=True)}, defaults={"lr": 1e-4})
ENDS = {"lr": ((1e-4, 10**-3.6), (10**-0.4, 1.0)), "momentum": ((0, 0.09), (0.81, 0.9)),
        "depth": ((1, 1), (5, 5))}  # fmt: skip
"""The outer tenths of SPACE, by hand."""


def cell(made: Records, task: str, method: str, space: Space, seed: int, best: float) -> None:
    """12 repetitions of 8 points; scores fall with the distance of log10(lr) from `best`."""
    draw = random.Random(seed)
    points: list[list[dict[str, float | int | str]]] = []
    scores: list[list[float | str]] = []
    for _ in range(12):
        points.append([dict(space.defaults)])
        for _ in range(7):
            low, high = (-4, 0) if space is SPACE else (-5, -3)
            point: dict[str, float | int | str] = {"lr": 10 ** draw.uniform(low, high)}
            if space is SPACE:
                point |= {"momentum": draw.uniform(0, 0.9), "depth": draw.randint(1, 5)}
                point |= {"kind": draw.choice("ab")}
            points[-1].append(point)
        rates = [float(point["lr"]) for point in points[-1]]
        scores.append([round(0.8 - 0.1 * abs(math.log10(lr) - best), 2) for lr in rates])
        if draw.random() < 0.3:
            scores[-1][draw.randrange(8)] = "diverged"
    ids = made.cell(task, method, scores, space=space)
    for row, chosen in zip(ids, points, strict=True):
        for run, point in zip(row, chosen, strict=True):
            assert run is not None
            spec = made.runs[run].spec.model_copy(update={"hyperparameters": point})
            made.change(run, spec=spec)


@pytest.fixture
def made() -> Records:
    found = Records().task("digits").task("letters")
    for seed, task in enumerate(("digits", "letters")):
        cell(found, task, "sgd", SPACE, seed, -1.5)
        cell(found, task, "adam", SPACE, seed + 10, -0.2 + seed)
        cell(found, task, "slow", NARROW, seed + 20, -2.0)
    found.add("digits", "old", [0.5] * 12, method_code="before")
    return found


def translated(made: Records) -> Translation:
    tasks = []
    for task in made.cards:
        known = made.task_evidence(task)
        uses = {c.method: search_spaces.range_uses(c, known.runs) for c in known.cells}
        tasks.append(translation.of_task(known.card, known.cells, uses))
    return translation.assembled(tasks, RULESET, "local")


def repetitions(made: Records, task: str, method: str) -> list[list[RunRecord]]:
    """The runs of a cell by repetition and point, read off the records alone."""
    own = [
        r for r in made.runs.values() if (r.spec.task.slug, r.spec.method.slug) == (task, method)
    ]
    return [
        sorted((r for r in own if r.spec.repetition == i), key=lambda r: r.spec.point or 0)
        for i in range(12)
    ]


def best_of(runs: list[RunRecord]) -> RunRecord:
    """The first of the best on validation; 0.1 is the chance level."""
    best = runs[0]
    for run in runs[1:]:
        val, least = (r.result.val if r.result else 0.1 for r in (run, best))
        best = run if val > least else best
    return best


def near(run: RunRecord, name: str) -> str:
    value = run.spec.hyperparameters[name]
    (a, b), (c, d) = ENDS[name]
    assert isinstance(value, (int, float))
    return "low" if a <= value <= b else "high" if c <= value <= d else ""


def by_chance(own: list[list[RunRecord]], name: str) -> float:
    """Repetitions near an end by chance: a drawn point at random, or the defaults if these won."""
    total = 0.0
    for runs in own:
        drawn = runs[:1] if best_of(runs).spec.point == 0 else runs[1:]
        total += sum(near(run, name) != "" for run in drawn) / len(drawn)
    return total


def test_a_count_over_the_records_says_the_same(made: Records) -> None:
    found = translated(made)
    rates: dict[tuple[str, str], float] = {}
    for task in found.tasks:
        assert [row.method for row in task.methods] == ["adam", "sgd", "slow"], (
            "the old is left out"
        )
        for row in task.methods:
            own = repetitions(made, task.task, row.method)
            best = [best_of(runs) for runs in own]
            lrs = [float(run.spec.hyperparameters["lr"]) for run in best]
            quarters = quantiles([math.log(lr) for lr in lrs], n=4, method="inclusive")
            low, middle, high = map(math.exp, quarters)
            rates[task.task, row.method] = middle
            use = row.ranges["lr"]
            assert (use.lower_quartile, use.median, use.upper_quartile) == pytest.approx(
                (low, middle, high)
            )
            assert row.lr == "lr"
            if row.method == "slow":
                continue
            assert set(row.ranges) == {"lr", "momentum", "depth"}, "choices have no ends"
            for name, use in row.ranges.items():
                ends = [near(run, name) for run in best]
                assert (use.n, use.at_low, use.at_high) == (
                    12,
                    ends.count("low"),
                    ends.count("high"),
                )
                chance = by_chance(own, name) / 12
                assert use.by_chance == pytest.approx(chance)
                assert use.flagged == (use.at_edge - chance > 0.2)
    for task in found.tasks:
        for row in task.methods:
            own_rate, reference = rates[task.task, row.method], rates[task.task, "sgd"]
            expected = None if row.method == "sgd" else pytest.approx(own_rate / reference)
            assert row.ratio == expected


def test_ranges_are_pooled_over_the_tasks_that_share_them(made: Records) -> None:
    found = translated(made)
    pooled = {(row.method, row.hyperparameter): row for row in found.pooled}
    assert len(pooled) == 3 + 3 + 1
    for (method, name), row in pooled.items():
        if method == "slow":
            continue
        ends = [
            near(best_of(runs), name)
            for task in ("digits", "letters")
            for runs in repetitions(made, task, method)
        ]
        assert (row.n, row.at_low, row.at_high) == (24, ends.count("low"), ends.count("high"))
        assert row.tasks == ["digits", "letters"]
    slow = pooled["slow", "lr"]
    assert slow.flagged and slow.at_high > slow.at_low, "its best rates lie above its range"
    assert slow.flagged_tasks == ["digits", "letters"]
    assert not pooled["sgd", "lr"].flagged
    assert found.pooled[0].excess == max(row.excess for row in found.pooled)
    uses = [use for task in found.tasks for row in task.methods for use in row.ranges.values()]
    assert (found.n_ranges, found.n_flagged) == (14, sum(use.flagged for use in uses))
    assert found.n_by_chance == pytest.approx(sum(use.flagged_by_chance for use in uses))


def test_a_family_has_the_median_ratio_of_its_tasks(made: Records) -> None:
    found = translated(made)
    by_task = [{row.method: row.ratio for row in task.methods} for task in found.tasks]
    (adam, slow) = found.families
    a, b = (ratios["adam"] for ratios in by_task)
    assert a is not None and b is not None
    assert (adam.method, adam.n_tasks, adam.ratio) == ("adam", 2, pytest.approx(math.sqrt(a * b)))
    assert (adam.low, adam.high) == (min(a, b), max(a, b))
    assert slow.method == "slow" and slow.ratio < 0.1


def test_a_range_without_the_reference_has_no_ratio(made: Records) -> None:
    only = Records(cards=made.cards)
    cell(only, "digits", "adam", SPACE, 1, -1.0)
    known = only.task_evidence("digits")
    uses = {c.method: search_spaces.range_uses(c, known.runs) for c in known.cells}
    (row,) = translation.of_task(known.card, known.cells, uses).methods
    assert row.ratio is None and row.lr == "lr"


def test_defaults_that_win_near_an_end_are_no_sign_of_a_narrow_range() -> None:
    found = Records().task("digits")
    cell(found, "digits", "sgd", SPACE, 3, -2.0)  # the default, which wins always
    (row,) = translated(found).tasks[0].methods
    depth = row.ranges["depth"]
    assert (depth.at_low, depth.at_high, depth.by_chance) == (12, 0, 1.0)
    assert not depth.flagged and depth.flagged_by_chance == 0


@pytest.mark.parametrize("value", [None, "fast", -0.1, True])
def test_absurd_values_of_a_record_break_nothing(made: Records, value: float | str | None) -> None:
    for run in made.of("adam"):
        given = {} if value is None else {"lr": value}
        made.change(run.id, spec=run.spec.model_copy(update={"hyperparameters": given}))
    found = translated(made)
    (row,) = [row for row in found.tasks[0].methods if row.method == "adam"] or [None]
    if value is True:
        assert row is not None and isinstance(row.ranges["lr"], RangeUse)
    else:
        assert row is None, "no value lies on the scale of a range"


def test_the_terminal_says_what_is_coarse_and_what_is_flagged(
    made: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    show_translation(translated(made), console())
    text = " ".join(capsys.readouterr().out.split())
    assert "only a few quasi-random points" in text
    assert "slow lr 1e-05 to 0.001 log 2 24" in text
    assert "chance alone would give" in text
