"""Whole cells: which runs of a method on a task are published together.

A cell is published when its first R or more repetitions have all their K points, or as preliminary
when it has exactly the runs of --quick. Fewer could be chosen, and others be left out, by score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.cards import TaskCard
from assay.engine.cells import extent
from assay.engine.points import points
from assay.records.schema import RunRecord
from assay.records.selection import Cell, cell_of
from assay.ruleset import MAX_REPETITIONS, Preset
from assay.space import Space, Value

PRESETS: tuple[Preset, ...] = ("full", "quick")

Place = tuple[int, int | None]
"""Repetition and point of a run."""
Problem = tuple[str, str]
"""A code and what is wrong."""


@dataclass(frozen=True)
class Plan:
    """The runs that a preset asks for."""

    r: int
    k: int

    def places(self) -> set[Place]:
        """Repetition and point of every run."""
        return {(repetition, point) for repetition in range(self.r) for point in range(self.k)}


def plan(card: TaskCard, space: Space, preset: Preset) -> Plan:
    """What `preset` asks for on a task, with a search space."""
    wanted = extent(card, preset)
    return Plan(len(wanted.repetitions), len(points(space, 0, wanted.k)))


def by_cell(runs: Iterable[RunRecord]) -> list[list[RunRecord]]:
    """The runs of each cell, in the order of first appearance."""
    found: dict[Cell, list[RunRecord]] = {}
    for run in runs:
        found.setdefault(cell_of(run.spec), []).append(run)
    return list(found.values())


def published_part(runs: Sequence[RunRecord], card: TaskCard) -> tuple[Preset | None, set[Place]]:
    """The largest part of a cell that can be published, and as what; nothing if there is none.

    Args:
        runs: of one cell.
        card: the task's.
    """
    there = {place_of(run) for run in runs}
    space = runs[0].space
    full, quick = (plan(card, space, preset) for preset in PRESETS)
    r = next(
        (r for r in range(MAX_REPETITIONS) if not {(r, p) for p in range(full.k)} <= there),
        MAX_REPETITIONS,
    )
    if r >= full.r:
        return "full", Plan(full.r if card.deterministic else r, full.k).places()
    if quick.places() <= there:
        return "quick", quick.places()
    return None, set()


def place_of(run: RunRecord) -> Place:
    """Repetition and point of a run."""
    return run.spec.repetition, run.spec.point


def cell_problems(runs: Sequence[RunRecord], card: TaskCard) -> Iterator[Problem]:
    """What is wrong with the runs of one cell, taken together.

    Args:
        runs: of one cell, each once.
        card: the task's.
    """
    space = runs[0].space
    if any(run.space != space for run in runs):
        yield "space", "its runs have different search spaces"
        return
    try:
        yield from _extent_problems(runs, card)
        yield from _point_problems(runs, card)
    except (ValueError, OverflowError) as error:
        yield "space", f"no points can be drawn from its space: {str(error)[:200]}"


def _extent_problems(runs: Sequence[RunRecord], card: TaskCard) -> Iterator[Problem]:
    there = {place_of(run) for run in runs}
    preset, part = published_part(runs, card)
    wanted = part or plan(card, runs[0].space, "full").places()
    if missing := sorted(wanted - there, key=_in_order):
        repetition, point = missing[0]
        yield (
            "missing",
            (
                f"{len(missing)} of {len(wanted)} runs are missing, such as point {point} of "
                f"repetition {repetition}"
            ),
        )
    if strays := sorted(there - wanted, key=_in_order):
        repetition, point = strays[0]
        what = "the preliminary cell" if preset == "quick" else "the cell"
        yield (
            "stray",
            (
                f"{len(strays)} runs are no part of {what}, such as point {point} of repetition "
                f"{repetition}: they could be attempts that were not counted"
            ),
        )


def _in_order(place: Place) -> tuple[int, int]:
    return place[0], place[1] or 0


def _point_problems(runs: Sequence[RunRecord], card: TaskCard) -> Iterator[Problem]:
    """Every run has exactly the hyperparameters that its repetition's sequence draws."""
    k = plan(card, runs[0].space, "full").k
    for run in runs:
        repetition, point = place_of(run)
        if point is None or point >= k or repetition >= MAX_REPETITIONS:
            continue  # a stray
        drawn = points(run.space, repetition, k)[point]
        if not _same_point(run.spec.hyperparameters, drawn):
            yield "points", f"run {run.id}: its hyperparameters are not those of point {point}"


def _same_point(a: Mapping[str, Value], b: Mapping[str, Value]) -> bool:
    """Equal, real numbers to nine digits: machines differ in the last digit of a logarithm."""
    return a.keys() == b.keys() and all(
        math.isclose(value, other, rel_tol=1e-9)
        if isinstance(value, float) and isinstance(other := b[name], float)
        else (type(value), value) == (type(b[name]), b[name])
        for name, value in a.items()
    )
