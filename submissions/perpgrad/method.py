"""Perpendicular gradients, also OrthoGrad (Prieto et al., 2025)."""

from __future__ import annotations

import torch
from assay import Method
from torch import nn


class PerpGrad(Method):
    """Per tensor: g_perp = g - (w . g / w . w) w; g <- g_perp |g| / |g_perp|.

    What points along w, which only scales the logits of a network without biases, is removed.
    Where nothing but rounding is left of g (one number, or g along w), the gradient is zero; the
    official code blows that residue up to the length of g.
    """

    @torch.no_grad()
    def transform_gradients(self, model: nn.Module) -> None:
        """Replace every parameter's gradient."""
        for p in model.parameters():
            if p.grad is None:
                continue
            w, g = p, p.grad
            size = g.norm()
            g_perp = g - ((w * g).sum() / ((w * w).sum() + 1e-30)) * w
            left = g_perp.norm()
            residue = 16 * torch.finfo(g.dtype).eps * size
            g.copy_(g_perp * torch.where(left > residue, size / left, 0.0))
