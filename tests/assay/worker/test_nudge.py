"""Weights one unit in the last place away, after every batch."""

from __future__ import annotations

import torch
from assay.paths import ROOT
from assay.plugins.loading import load_method
from assay.worker.nudge import Nudge
from torch import Tensor, nn

from tests.assay.worker.conftest import toy_session


class _Weights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)))
        self.b = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.zeros = nn.Parameter(torch.zeros(40))
        self.codes = nn.Parameter(torch.arange(3), requires_grad=False)
        self.register_buffer("mean", torch.ones(4))


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_each_weight_moves_to_a_neighbour_and_nothing_else_does() -> None:
    model, nudge = _Weights(), Nudge(1)
    before = _state(model)
    nudge(model)
    once = _state(model)
    for name in ("codes", "mean"):
        assert torch.equal(once[name], before[name])
    for name in ("a", "b", "zeros"):
        old, new = before[name], once[name]
        assert new.dtype == old.dtype and bool((new != old).all())
        assert torch.equal(torch.nextafter(old, new), new)
    ups = once["a"] > before["a"]
    assert 0.3 < float(ups.double().mean()) < 0.7
    nudge(model)
    assert not torch.equal(model.a > once["a"], ups), "every call draws anew"


def test_seeds_draw_other_directions_and_one_seed_the_same() -> None:
    def moved(seed: int) -> Tensor:
        model = _Weights()
        Nudge(seed)(model)
        return model.a.detach()

    assert torch.equal(moved(1), moved(1))
    assert not torch.equal(moved(1), moved(2))


def _trained(nudge: Nudge | None, n_batches: int) -> Tensor:
    """The weights after so many batches of SGD on a toy, all in a row."""
    method = load_method(ROOT / "submissions" / "sgd" / "method.py")
    states = []
    own = toy_session(method, n_batches, nudge=nudge)
    own.train_batches(n_batches, lambda point: states.append(point.state))
    return torch.cat([tensor.flatten() for tensor in states[-1].values()])


def test_a_run_is_nudged_after_every_batch_and_else_trained_as_it_was() -> None:
    plain, once = _trained(None, 1), _trained(Nudge(1), 1)
    assert torch.equal(torch.nextafter(plain, once), once)
    assert bool((once != plain).all())
    longer, nudged = _trained(None, 20), _trained(Nudge(1), 20)
    assert not torch.equal(nudged, longer)
    assert torch.allclose(nudged, longer, rtol=1e-4, atol=1e-6), "SGD at its defaults is no chaos"
    assert torch.equal(nudged, _trained(Nudge(1), 20))
    assert not torch.equal(nudged, _trained(Nudge(2), 20))
