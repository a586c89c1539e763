"""Initial weights one unit in the last place away."""

from __future__ import annotations

import torch
from assay.worker.nudge import nudged


def test_each_number_moves_to_a_neighbour_and_nothing_else_does() -> None:
    weights = {
        "a": torch.randn(50, 3, generator=torch.Generator().manual_seed(0)),
        "b": torch.tensor(1.0, dtype=torch.float64),
        "zeros": torch.zeros(40),
        "n": torch.arange(3),
    }
    before = {name: tensor.clone() for name, tensor in weights.items()}
    found = nudged(weights, 1)
    assert list(found) == sorted(weights)
    assert torch.equal(found["n"], weights["n"])
    for name in ("a", "b", "zeros"):
        old, new = weights[name], found[name]
        assert torch.equal(old, before[name])
        assert new.dtype == old.dtype and bool((new != old).all())
        assert torch.equal(torch.nextafter(old, new), new)
    ups = (found["a"] > weights["a"]).double().mean()
    assert 0.3 < float(ups) < 0.7


def test_seeds_draw_other_directions_and_one_seed_the_same() -> None:
    weights = {"a": torch.ones(30)}
    assert torch.equal(nudged(weights, 1)["a"], nudged(weights, 1)["a"])
    assert not torch.equal(nudged(weights, 1)["a"], nudged(weights, 2)["a"])
