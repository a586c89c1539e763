"""The learning rate among the hyperparameters."""

from __future__ import annotations

import pytest
from assay_leaderboard.statistics.sensitivity import decades, learning_rate


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
