"""What the trials of a study say of its hyperparameters."""

from __future__ import annotations

import pytest
from assay_leaderboard.statistics.sensitivity import decades, learning_rate, near_best, shortfalls


def test_shortfalls_follow_the_direction() -> None:
    assert shortfalls([0.5, 0.9, 0.7], "maximize") == pytest.approx([0.4, 0.0, 0.2])
    assert shortfalls([0.5, 0.9, 0.7], "minimize") == pytest.approx([0.0, 0.4, 0.2])


def test_a_score_exactly_at_the_margin_is_near() -> None:
    """0.95 - 0.94 is more than 0.01 in floating point."""
    assert near_best(shortfalls([0.95, 0.94, 0.9399], "maximize"), 0.01) == [True, True, False]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["weight_decay", "lr"], "lr"),
        (["lr", "reference.lr"], "lr"),
        (["gamma", "reference.lr", "reference.weight_decay"], "reference.lr"),
        (["rho", "inner_lr", "ascent_lr"], "ascent_lr"),
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
