"""StableMax cross-entropy (Prieto et al., 2025)."""

from __future__ import annotations

from assay import Batch, Method
from torch import Tensor


class StableMax(Method):
    """loss = -mean log p_y, p = s(z) / sum s(z); s(z) = z + 1 for z >= 0, 1 / (1 - z) below.

    s grows linearly where exp would absorb the small terms of a sum, so that gradients of well
    classified samples do not become zero. In double precision, as in the official code.
    """

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy with s in place of exp."""
        z = outputs.double()
        s = z.relu() + 1 / (1 - z.clamp(max=0))
        s_y = s.gather(1, batch.targets.unsqueeze(1)).squeeze(1)
        return (s.sum(dim=1).log() - s_y.log()).mean()
