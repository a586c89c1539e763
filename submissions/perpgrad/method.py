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
        parameters = [p for p in model.parameters() if p.grad is not None]
        g = [p.grad for p in parameters]
        w_g = torch.stack([product.sum() for product in torch._foreach_mul(parameters, g)])
        w_w = torch.stack(torch._foreach_norm(parameters)) ** 2
        size = torch.stack(torch._foreach_norm(g))
        along = torch._foreach_mul(parameters, (w_g / (w_w + 1e-30)).unbind())
        torch._foreach_sub_(g, along)
        left = torch.stack(torch._foreach_norm(g))
        residue = 16 * torch.finfo(left.dtype).eps * size
        torch._foreach_mul_(g, torch.where(left > residue, size / left, 0.0).unbind())
