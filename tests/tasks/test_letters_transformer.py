"""The text is dealt out in stretches: what a part has to predict stands in no other part."""

from __future__ import annotations

import torch
from assay import data
from assay.paths import ROOT
from assay.plugins.loading import load_task
from assay.task import Seeds


def test_parts_lie_in_stretches_of_their_own_and_have_the_cards_sizes():
    task = load_task(ROOT / "tasks" / "letters_transformer")
    published = data.load("python_reference")
    owners = []
    for repetition in range(3):
        parts = task.split(published, Seeds("test", "letters", repetition))
        assert {name: len(part) for name, part in parts.items()} == task.card.split
        letters = {
            name: set((published["places"][part][:, None] + torch.arange(17)).flatten().tolist())
            for name, part in parts.items()
        }
        assert not letters["train"] & letters["val"]
        assert not letters["train"] & letters["test"]
        assert not letters["val"] & letters["test"]
        owners.append(letters["test"])
    assert owners[0] != owners[1] != owners[2]
