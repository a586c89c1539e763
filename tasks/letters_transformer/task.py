"""The next letter of a text, and a small transformer."""

from __future__ import annotations

import torch
from assay import Seeds, Tensors
from assay.families.classification import Classification
from torch import Generator, Tensor

STRETCH = 500


class Letters(Classification):
    """The text is split, not its windows: neighbours overlap, and one would tell another's target.

    Stretches of STRETCH letters are dealt out at random to test, val and train until each part has
    the card's number of windows; a window belongs to the stretch in which it lies as a whole.
    """

    def split(self, published: Tensors, seeds: Seeds) -> dict[str, Tensor]:
        """Positions of windows, stretch by stretch in the order of the text."""
        places, length = published["places"], published["inputs"].shape[1]
        stretch = places // STRETCH
        whole = (places + length) // STRETCH == stretch
        n_stretches = int(stretch.max()) + 1
        sizes = stretch[whole].bincount(minlength=n_stretches)
        order = torch.randperm(n_stretches, generator=Generator().manual_seed(seeds["split"]))
        parts: dict[str, Tensor] = {}
        used = 0
        for name in ("test", "val", "train"):
            wanted = int(self.card.split[name])
            enough = int((sizes[order[used:]].cumsum(0) < wanted).sum()) + 1
            mine = torch.zeros(n_stretches, dtype=torch.bool)
            mine[order[used : used + enough]] = True
            parts[name] = (whole & mine[stretch]).nonzero().squeeze(1)[:wanted]
            used += enough
        return parts
