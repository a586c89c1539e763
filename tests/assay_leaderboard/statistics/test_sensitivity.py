"""The learning rate among the hyperparameters, and ends of ranges that win."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from assay_leaderboard.statistics.sensitivity import (
    decades,
    exceeded_by_chance,
    exceeds,
    learning_rate,
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["weight_decay", "lr"], "lr"),
        (["learning_rate", "inner.lr"], "learning_rate"),
        (["outer.learning_rate"], "outer.learning_rate"),
        (["lr", "reference.lr"], "lr"),
        (["gamma", "reference.lr", "reference.weight_decay"], "reference.lr"),
        (["rho", "inner_lr", "step_lr"], None),
        (["inner_lr", "reference.lr"], "reference.lr"),
        (["colr", "lr_factor", "blr"], None),
        ([], None),
    ],
)
def test_which_name_is_the_learning_rate(names: list[str], expected: str | None) -> None:
    assert learning_rate(names) == expected


def test_width_in_decades() -> None:
    assert decades([0.1, 0.001, 0.03]) == pytest.approx(2.0)
    assert decades([0.1]) == 0.0
    assert decades([]) is None
    assert decades([0.0, -1.0, True, "fast"]) is None
    assert decades([10**400, 1]) == pytest.approx(400)


@pytest.mark.parametrize(
    "tried",
    [
        ["EEII", "EIII", "IIII", "EEEE"],
        ["EI"] * 5,
        ["EIIIIIII"] * 3 + ["IIIIIIII"],
        ["IIII"],
        ["E"] * 3,
    ],
)
def test_what_chance_would_flag_is_counted_by_trying_every_selection(tried: list[str]) -> None:
    """Each repetition's points, E near an end and I not; every way to select one of each."""
    chances = [row.count("E") / len(row) for row in tried]
    exact = [Fraction(row.count("E"), len(row)) for row in tried]
    limit = (Fraction(1, 5) + sum(exact) / len(tried)) * len(tried)
    selections = list(itertools.product(*tried))
    flagged = [selection.count("E") > limit for selection in selections]
    assert [exceeds(s.count("E"), chances) for s in selections] == flagged
    assert exceeded_by_chance(chances) == pytest.approx(sum(flagged) / len(flagged))


def test_exactly_a_fifth_beyond_chance_is_not_flagged() -> None:
    assert not exceeds(4, [0.2] * 10)
    assert exceeds(5, [0.2] * 10)
