"""L-BFGS (Liu and Nocedal, 1989) with a line search for the strong Wolfe conditions."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, IntUniform, LogUniform, Method
from torch import nn, optim


class LBFGS(Method):
    """w <- w + t d with d = -H g, H from the last `history` pairs of steps and changes of g.

    t fulfils the strong Wolfe conditions and is 1 where that does; the very first one begins at
    1 / |g|_1. One batch serves `iterations` such steps. Every evaluation counts as a pass.
    """

    # The method is meant for functions without noise. On batches more iterations fit one batch
    # better, and pairs of two batches mix their gradients.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(1e-2, 1.0)] = 1.0
        iterations: Annotated[int, Choice((1, 2, 4, 10))] = 4
        history: Annotated[int, IntUniform(4, 20)] = 10

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions: steps of full length."""

        lr: float = 1.0
        iterations: Annotated[int, Choice((1, 4, 20))] = 20

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    @property
    def passes_per_batch(self) -> float:
        """About one evaluation an iteration, and one before the first."""
        return 1.0 + float(self.hyperparameters.iterations)

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.LBFGS(
            model.parameters(),
            lr=h.lr,
            max_iter=h.iterations,
            max_eval=25 * h.iterations,  # the default, 1.25 an iteration, would cut searches short
            history_size=h.history,
            line_search_fn="strong_wolfe",
        )

    def lr_factor(self, elapsed: float) -> float:
        """No schedule: the line search finds the length of a step."""
        return 1.0
