"""Factorise an ill-conditioned low-rank matrix from a small random start."""

from __future__ import annotations

import torch
from assay import Tensors
from assay.families.functions import Functions, Objective, Recipe, random_rotation
from torch import Generator, Tensor, nn


class FactorizationRecipe(Recipe):
    """Constants of the card's recipe beside those of the family."""

    rows: int
    columns: int
    rank: int
    condition: float
    """Largest over smallest non-zero singular value of the matrix; the largest is 1."""
    start_sd: float
    """Standard deviation of the entries of both factors at the start."""


class Factorization(Objective):
    """f(U, V) = |U V^T - M|^2 / 2; U (rows, rank), V (columns, rank), M (rows, columns)."""

    def __init__(self, matrix: Tensor, rank: int) -> None:
        super().__init__()
        self.matrix: Tensor
        self.register_buffer("matrix", matrix, persistent=False)
        self.u = nn.Parameter(torch.zeros(matrix.shape[0], rank))
        self.v = nn.Parameter(torch.zeros(matrix.shape[1], rank))

    def value(self) -> Tensor:
        """Half the squared Frobenius norm of the residual."""
        residual = self.u @ self.v.T - self.matrix
        return (residual * residual).sum() / 2


class MatrixFactorization(Functions):
    """Every local minimum is global; a saddle for each subset of singular vectors found so far.

    Without the smallest singular value s the lowest saddle has value s^2 / 2 (Baldi and Hornik
    1989): below it, every direction of the matrix is being fitted.
    """

    recipe_type = FactorizationRecipe

    def draw_instance(self, generator: Generator) -> dict[str, Tensor]:
        """M with singular values evenly spread in log from 1/condition to 1, random vectors."""
        recipe: FactorizationRecipe = self.recipe
        left = random_rotation(recipe.rows, generator)[:, : recipe.rank]
        right = random_rotation(recipe.columns, generator)[:, : recipe.rank]
        return {"matrix": (left * self.singular_values().float() @ right.T).contiguous()}

    def singular_values(self) -> Tensor:
        """The non-zero singular values (rank,) of M, increasing to 1."""
        return self.recipe.condition ** torch.linspace(-1, 0, self.recipe.rank, dtype=torch.float64)

    def draw_start(self, instance: Tensors, generator: Generator) -> dict[str, Tensor]:
        """Normal entries of standard deviation `start_sd`."""
        recipe: FactorizationRecipe = self.recipe
        return {
            "u": recipe.start_sd * torch.randn(recipe.rows, recipe.rank, generator=generator),
            "v": recipe.start_sd * torch.randn(recipe.columns, recipe.rank, generator=generator),
        }

    def build_model(self, train: Tensors) -> Factorization:
        """The objective, factors at zero."""
        return Factorization(train["matrix"], self.recipe.rank)
