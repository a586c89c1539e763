"""Worlds of random records, shown in every way, and the verdicts on them by brute force.

A verdict is derived here from the differences alone, without the code that it is held against.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from assay.cards import Claim, SubmissionCard
from assay.records.schema import Isolation, RunRecord
from assay.ruleset import RULESET
from assay_leaderboard.evidence.runs import Rules
from assay_leaderboard.schema.board import Board
from assay_leaderboard.schema.values import Comparison
from assay_leaderboard.site.views import SiteView, TaskView

from tests.assay_leaderboard import making, site_making
from tests.assay_leaderboard.making import SEALED, UNTUNED, K, R, Records
from tests.assay_leaderboard.site_making import site_view

FAST = RULESET.model_copy(update={"bootstrap_draws": 50})
Pair = tuple[str, str, str]
"""Task, method, and the method that it is compared with."""
SEEDS = (1, 2)
LAST = 0
"""Number of the world without differences."""
PUBLISHED = 4
"""Number of the world whose results rank by the rules of the published board."""
LEAST = {"T0": 0, "T1": 1, "T2": 2, "T3": 3}


@functools.cache
def world(seed: int) -> Records:
    """Tasks on which methods differ much, little or not at all, with failures and gaps.

    The world LAST has no method that differs, and a pair that would, were there fewer pairs.
    """
    if seed == LAST:
        return noise()
    if seed == PUBLISHED:
        return published()
    rng = np.random.default_rng(seed)
    made = Records().task("digits", metric={"margin": 0.005}).task("letters", tier="standard")
    metric = {"direction": "minimize", "chance": 2.3, "unit": "nats", "margin": 0.01}
    anchor = {"value": 1.0, "n": 12, "standard_error": 0.01}
    made.task("loss", metric=metric, anchor=anchor)
    for task, card in made.cards.items():
        r, k = RULESET.r(card.tier), RULESET.k(card.tier)
        shared = rng.normal(0.7, 0.05, (r, k))
        for method in ("sgd", *"abcde"[: rng.integers(2, 6)]):
            gap = rng.choice([0.0, 0.001, 0.004, 0.01, 0.05]) * rng.choice([-1, 1])
            spread = rng.choice([0.0, 0.0005, 0.005, 0.03])
            val, test = (
                np.round(shared + gap + rng.normal(0, spread, (r, k)), 4).tolist() for _ in range(2)
            )
            if rng.random() < 0.3:
                val[0][0] = "diverged"
            if rng.random() < 0.2:  # extra repetitions
                val, test = [*val, val[1]], [*test, test[1]]
            made.cell(task, method, val, test)
        made.cell(task, "copy", *_like(made, task, "sgd"))
        made.cell(task, "quick", (0.7 + rng.normal(0, 0.01, (6, 4))).round(3).tolist())
        made.add(
            task, "fixed", (0.7 + rng.normal(0, 0.01, r)).round(3).tolist(), k=1, space=UNTUNED
        )
    made.add("digits", "old", [0.9] * R, method_code="before")
    return made


def published() -> Records:
    """Another world, its results at all tiers, sealed and not, some under hidden
    seeds: of a revealed epoch, replayed in it but not revealed, and of an open epoch.
    """
    rng = np.random.default_rng(PUBLISHED)
    made = copy(world(SEEDS[-1]))
    revealed = {"spring": "2026-03-01T00:00:00+00:00", "autumn": "2026-09-01T00:00:00+00:00"}
    made.rules = Rules(published=True, revealed=revealed)
    draws = {}
    for run in [*made.runs.values()]:
        key = run.spec.task.slug, run.spec.method.slug
        if key not in draws:
            draws[key] = str(rng.choice(["T0", "T1", "T2", "T2", "T3"])), rng.random() < 0.85
        trust, sealed = draws[key]
        made.change(run.id, isolation=SEALED if sealed else Isolation(level="L1"))
        if trust != "T0":
            made.tiers[run.id] = trust  # type: ignore[assignment]
    r, k = RULESET.r("lite"), RULESET.k("lite")
    for epoch, trust, few in (
        ("spring", "T3", 5), ("autumn", "T3", 2), ("autumn", "T2", 5), ("winter", "T2", 5)
    ):  # fmt: skip
        there = {run.spec.method.slug for run in made.runs.values() if run.spec.epoch == epoch}
        for place, method in enumerate(("copy", "fixed", "sgd", "a", "b")[:few]):
            if method not in there:
                grid = (0.7 + 0.01 * place + rng.normal(0, 0.01, (r, k))).round(4).tolist()
                made.cell("digits", method, grid, epoch=epoch, trust=trust)
    made.cell("digits", "c", [[0.7] * k] * (r - 1), epoch="spring", trust="T3")
    return made


def copy(made: Records) -> Records:
    """The same records, to be changed."""
    return replace(made, cards=dict(made.cards), runs=dict(made.runs), tiers=dict(made.tiers))


def ranking(records: Records) -> dict[str, tuple[str | None, set[str]]]:
    """By task: the epoch whose hidden seeds its ranks stand on, and the methods that rank.

    Derived from the records alone, as the rules are told on the page "How it works".
    """
    found: dict[str, tuple[str | None, set[str]]] = {}
    for task in records.cards:
        own: dict[str | None, set[str]] = {None: set()}
        names = {run.spec.method.slug for run in records.runs.values()} - {"quick", "old"}
        cells = {
            (name, epoch): [run for run in records.of(name, task) if run.spec.epoch == epoch]
            for name in names
            for epoch in (None, *records.rules.revealed)
        }
        for (name, epoch), runs in cells.items():
            n = RULESET.r(records.cards[task].tier)
            if {run.spec.repetition for run in runs} >= {*range(n)} and may_rank(runs, records):
                own.setdefault(epoch, set()).add(name)
        hidden = [epoch for epoch in own if epoch]
        best = max(hidden, key=lambda e: (len(own[e]), records.rules.revealed[e]), default=None)
        found[task] = best, own[best]
    return found


def may_rank(runs: list[RunRecord], records: Records) -> bool:
    """By the rules of the view."""
    if not records.rules.published:
        return True
    least = 3 if runs[0].spec.epoch else 2
    return all(
        run.isolation.level == "L2" and LEAST[records.tiers.get(run.id, "T0")] >= least
        for run in runs
    )


def noise() -> Records:
    """Ten methods on a task of the standard tier: p of one pair is as small as R allows."""
    rng = np.random.default_rng(0)
    made = Records().task("letters", tier="standard").task("digits")
    for task, card in made.cards.items():
        r = RULESET.r(card.tier)
        scores = {name: rng.normal(0.7, 0.05, r) for name in ("sgd", *"abcdefgh")}
        scores["near"] = scores["sgd"] + rng.uniform(0.001, 0.1, r)
        for method, own in scores.items():
            made.add(task, method, own.round(4).tolist())
        made.cell(task, "quick", (0.7 + rng.normal(0, 0.01, (6, 4))).round(3).tolist())
    made.add("digits", "old", [0.9] * R, method_code="before")
    return made


def _like(made: Records, task: str, method: str) -> tuple[list[list[Any]], list[list[Any]]]:
    """The scores of a method again."""
    grids: tuple[list[list[Any]], list[list[Any]]] = [], []
    for run in made.of(method, task):
        scores = (run.result.val, run.result.test) if run.result else (run.status, run.status)
        for grid, score in zip(grids, scores, strict=True):
            if run.spec.point == 0:
                grid.append([])
            grid[-1].append(score)
    return grids


@dataclass
class World:
    """One world, shown in every way."""

    records: Records
    view: SiteView
    tasks: list[TaskView]
    ranking: dict[str, tuple[str | None, set[str]]]
    """By task: under which seeds, and which methods, derived here."""
    truth: dict[int, dict[Pair, str]]
    """By budget: the verdicts, derived here."""
    undecidable: dict[int, set[str]]
    """By budget: the tasks on which no pair passed."""

    @property
    def board(self) -> Board:
        return self.view.board

    @property
    def full(self) -> dict[Pair, str]:
        return self.truth[K]

    def margin(self, task: str) -> float:
        return self.records.cards[task].metric.margin


def show(seed: int) -> World:
    """A world as its site and its board show it."""
    records = world(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "RULESET", FAST)
        patch.setattr(site_making, "RULESET", FAST)
        view, tasks, _ = site_view(records, cards(records))
    truth, undecidable = {}, {}
    for k in (1, 3, K):
        truth[k], undecidable[k] = derived(records, k)
    return World(records, view, tasks, ranking(records), truth, undecidable)


def cards(records: Records) -> dict[str, SubmissionCard]:
    """Every method claims to be better than the reference and the next one, on every task, tuned
    and with its defaults.
    """
    names = sorted({run.spec.method.slug for run in records.runs.values()})
    found = {}
    for place, name in enumerate(names):
        others = {"sgd", names[place - 1]} - {name}
        claims = [
            Claim(
                text=f"{task} {other} {tuned}", source="made up", better_than=other, tasks=[task],
                metric="accuracy", tuned=tuned,
            )
            for task in records.cards
            for other in sorted(others)
            for tuned in (True, False)
        ]  # fmt: skip
        found[name] = SubmissionCard(slug=name, title=name, claims=claims)
    return found


# The verdicts by brute force, from the records alone.


def derived(records: Records, budget: int) -> tuple[dict[Pair, str], set[str]]:
    """Verdicts of all ordered pairs of complete methods, and the tasks where no pair passed."""
    found: dict[Pair, str] = {}
    undecidable = set()
    ranks = ranking(records)
    for task, card in records.cards.items():
        sign = 1 if card.metric.direction == "maximize" else -1
        epoch, names = ranks[task]
        scores = {
            name: [sign * x for x in expected(records, task, name, budget, epoch)] for name in names
        }
        pairs = [*itertools.combinations(sorted(scores), 2)]
        rows = [np.array([x - y for x, y in zip(scores[a], scores[b], strict=False)])
                for a, b in pairs]  # fmt: skip
        means = [subset_means(row) for row in rows]
        p = [p_value(row, own) for row, own in zip(rows, means, strict=True)]
        m = len(pairs)
        passed = max((i for i, x in enumerate(sorted(p), 1) if x * m <= i * 0.05), default=0)
        if not passed:
            undecidable.add(task)
        error = max(passed, 1) * 0.05 / max(m, 1)
        for (a, b), own, one in zip(pairs, means, p, strict=True):
            k = max(1, int(error / 2 * (len(own) + 1) + 1e-9))
            word = read(own[k - 1], own[-k], card.metric.margin)
            if (own[k - 1] > 0 or own[-k] < 0) and one > error:
                word = "undecided"
            found[task, a, b], found[task, b, a] = word, turned(word)
    return found, undecidable


def expected(
    records: Records, task: str, method: str, budget: int, epoch: str | None
) -> list[float]:
    """Mean test score over all choices of points, of the one that validation picks."""
    by_repetition: dict[int, list[tuple[float, float]]] = {}
    card = records.cards[task]
    sign = 1 if card.metric.direction == "maximize" else -1
    for run in records.of(method, task):
        if run.spec.epoch != epoch:
            continue
        chance = card.metric.chance
        val, test = (run.result.val, run.result.test) if run.result else (chance, chance)
        by_repetition.setdefault(run.spec.repetition, []).append((sign * val, test))
    found = []
    for _, points in sorted(by_repetition.items()):
        k = min(budget, len(points))
        choices = itertools.combinations(range(1, len(points)), k - 1)
        picked = [max((0, *rest), key=lambda i: (points[i][0], -i)) for rest in choices]
        found.append(float(np.mean([points[i][1] for i in picked])))
    return found


def subset_means(row: Any) -> Any:
    """The sorted means of all non-empty subsets; those that are 0 but for rounding are 0."""
    masks = (np.arange(1, 2 ** len(row))[:, None] >> np.arange(len(row))) & 1
    means = masks @ row / masks.sum(axis=1)
    means[np.abs(means) <= 1e-9 * np.abs(row).mean()] = 0
    return np.sort(means)


def p_value(row: Any, means: Any) -> float:
    """Two-sided: twice the share of subset means (and the empty set) on the far side of 0."""
    far = (means <= 0).sum() if row.sum() >= 0 else (means >= 0).sum()
    return float(min(1.0, 2 * (far + 1) / 2 ** len(row)))


def read(low: float, high: float, margin: float) -> str:
    """The verdict as a reader reads it off an interval."""
    inside = max(abs(low), abs(high)) <= margin * (1 + 1e-9)
    if low > 0:
        return "better, negligible" if inside else "better"
    if high < 0:
        return "worse, negligible" if inside else "worse"
    return "equivalent" if inside else "undecided"


def turned(word: str) -> str:
    first, *rest = word.split(", ")
    other = {"better": "worse", "worse": "better"}.get(first, first)
    return ", ".join([other, *rest])


def check(
    found: Mapping[Pair, str | None], truth: Mapping[Pair, str], task: str = "", other: str = ""
) -> None:
    """What was read back is what was derived, and it is not nothing.

    Nothing is right where nothing was derived on `task` (against `other`), if they are given.
    """
    assert found or (not any(key[0] == task and other in ("", key[2]) for key in truth) and task)
    assert {key: word for key, word in found.items() if truth.get(key) != word} == {}


def readable(found: Comparison | tuple[str, str], word: str, margin: float, loose: bool) -> None:
    """The word follows from the interval, or says "undecided" where no pair passed."""
    if isinstance(found, Comparison):
        low, high = found.interval.low, found.interval.high
    else:
        low, high = (float(end) for end in found)
    own = read(low, high, margin)
    assert word == own or (loose and word == "undecided" and own in ("better", "worse")), found
