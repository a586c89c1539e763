from __future__ import annotations

import pytest
import torch
from assay import models
from assay.errors import PluginError
from assay.models import Transformer
from torch.nn import functional

SIZES = {"width": 8, "heads": 2, "hidden": 12}


def network() -> Transformer:
    model = models.build("transformer", SIZES, in_shape=(5,), n_classes=7)
    assert isinstance(model, Transformer)
    return model


def test_it_has_the_weights_that_its_sizes_say() -> None:
    embeddings, norms = (7 + 5) * 8, 3 * 2 * 8
    attention, feed_forward = 4 * (8 * 8 + 8), 8 * 12 + 12 + 12 * 8 + 8
    expected = embeddings + norms + attention + feed_forward + 8 * 7 + 7
    assert sum(weight.numel() for weight in network().parameters()) == expected


def test_every_token_reaches_the_logits_and_every_weight_has_a_gradient() -> None:
    model = network()
    tokens = torch.arange(20, dtype=torch.int32).view(4, 5) % 7
    logits = model(tokens)
    assert logits.shape == (4, 7)
    functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in model.parameters())
    for place in range(5):
        changed = tokens.clone()
        changed[0, place] = (changed[0, place] + 1) % 7
        differs = (model(changed) != logits).any(1)
        assert differs.tolist() == [True, False, False, False]


def test_attention_is_that_of_the_last_position() -> None:
    model = network()
    inputs = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    keys, values = model.keys_and_values(inputs).chunk(2, dim=2)
    parts = (part.view(3, 5, 2, 4).transpose(1, 2) for part in (model.query(inputs), keys, values))
    everywhere = functional.scaled_dot_product_attention(*parts)
    expected = model.mix(everywhere.transpose(1, 2).reshape(3, 5, 8)[:, -1])
    assert model._attention(inputs).allclose(expected, atol=1e-6)


def test_the_order_of_tokens_matters() -> None:
    model = network()
    tokens = torch.tensor([[1, 2, 3, 4, 5], [2, 1, 3, 4, 5]])
    first, second = model(tokens)
    assert not first.allclose(second)


@pytest.mark.parametrize(
    ("in_shape", "sizes", "message"),
    [
        ((5,), {**SIZES, "heads": 3}, "multiple of heads"),
        ((1, 8, 8), SIZES, "sequences of tokens"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    in_shape: tuple[int, ...], sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        models.build("transformer", sizes, in_shape=in_shape, n_classes=7)
