"""An ill-conditioned quadratic with gradient noise of the Hessian's shape."""

from __future__ import annotations

from functools import cached_property

import torch
from assay import Tensors
from assay.families.functions import PointFunctions, PointRecipe
from torch import Generator, Tensor


class NoisyQuadraticRecipe(PointRecipe):
    """Constants of the card's recipe beside those of the family."""

    condition: float
    """Largest over smallest eigenvalue of the Hessian; the largest is 1."""
    noise_sd: float
    """Standard deviation of the gradient noise along an eigenvector of eigenvalue 1."""


class NoisyQuadratic(PointFunctions):
    """The noisy quadratic model (Zhang, Li, Nado et al. 2019, section 3) in a random basis.

    The gradient noise has covariance noise_sd^2 times the Hessian, one draw per batch.
    """

    recipe_type = NoisyQuadraticRecipe

    @cached_property
    def eigenvalues(self) -> Tensor:
        """The Hessian's eigenvalues (dimension,), evenly spread in log from 1/condition to 1."""
        share = torch.linspace(-1, 0, self.recipe.dimension, dtype=torch.float64)
        return self.recipe.condition**share

    def formula(self, z: Tensor) -> Tensor:
        """f(z) = sum(eigenvalue z^2) / 2."""
        return (self.eigenvalues.to(z) * z * z).sum() / 2

    def draw_noise(self, instance: Tensors, generator: Generator) -> Tensor:
        """Gradient noise (batches, dimension) in the coordinates of x."""
        shape = (self.card.budget.batches, self.recipe.dimension)
        normal = torch.randn(shape, generator=generator) * self.eigenvalues.sqrt().float()
        return self.recipe.noise_sd * normal @ instance["rotation"]
