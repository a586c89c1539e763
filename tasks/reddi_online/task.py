"""A linear loss with rare large gradients, on which Adam can move in the wrong direction."""

from __future__ import annotations

import torch
from assay import Tensors
from assay.families.functions import PointFunctions, PointRecipe
from torch import Generator, Tensor, nn


class ReddiRecipe(PointRecipe):
    """Constants of the card's recipe beside those of the family."""

    period: int
    """Batches of an epoch; one of them has the rare gradient."""
    rare: float
    """The gradient that comes once per period, positive."""
    common: float
    """Minus the gradient of all other batches."""


class ReddiOnline(PointFunctions):
    """f_t(x) = rare x once per epoch, -common x else, x in [-1, 1]; the mean falls towards x = -1.

    After Reddi, Kale and Kumar 2018, section 3 and the synthetic experiment of section 5, with two
    changes that let it end within seconds. The rare gradient comes at a random place of every
    period, neither at a fixed one nor by coin flips, whose noise hides the sign of the mean for
    some 10^5 steps. And it is 1202 where the paper has 1010 (with the same 10 and 101), so that
    the mean shows within the budget. A second moment that forgets within a period, as beta2 = 0.99
    does, meets each rare gradient with a small denominator for the common ones around it.
    """

    recipe_type = ReddiRecipe

    @property
    def mean_gradient(self) -> float:
        """Gradient of the mean loss, positive."""
        recipe: ReddiRecipe = self.recipe
        return (recipe.rare - (recipe.period - 1) * recipe.common) / recipe.period

    def formula(self, z: Tensor) -> Tensor:
        """The mean loss."""
        return self.mean_gradient * z[0]

    def draw_noise(self, instance: Tensors, generator: Generator) -> Tensor:
        """One epoch (period, 1): each batch's gradient minus the mean gradient."""
        gradients = torch.full((self.recipe.period, 1), -self.recipe.common)
        gradients[0] = self.recipe.rare
        return gradients - self.mean_gradient

    def project(self, model: nn.Module) -> None:
        """Clip x to [-1, 1]."""
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.clamp_(-1, 1)
