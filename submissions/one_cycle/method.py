"""The 1cycle policy (Smith and Topin, 2017; Smith, 2018)."""

from __future__ import annotations

from typing import Annotated

from assay import Choice, Method, Step, Uniform


class OneCycle(Method):
    """lr climbs from lr / 10 to lr, comes down again, then drops to lr / 100,000; all linear.

    Momentum does the opposite: 0.95 at both ends of the cycle, 0.85 at its height (of Adam: beta1).
    The reference's lr is the highest of the cycle; the paper goes up to 3 after a range test.
    """

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        rise: Annotated[float, Uniform(0.1, 0.49)] = 0.45
        """Share of the budget in which the learning rate climbs, and in which it comes down."""
        low_momentum: Annotated[float, Choice((0.8, 0.85, 0.9))] = 0.85
        high_momentum: float = 0.95
        start: float = 0.1
        """The first learning rate, as a share of the highest."""
        end: float = 1e-5
        """The last one."""

    def height(self, elapsed: float) -> float:
        """Place within the cycle: 0 at both ends and after it, 1 in the middle."""
        return max(1 - abs(elapsed / self.hyperparameters.rise - 1), 0.0)

    def lr_factor(self, elapsed: float) -> float:
        """Up, down, and the final drop."""
        h = self.hyperparameters
        if elapsed < 2 * h.rise:
            return h.start + (1 - h.start) * self.height(elapsed)
        left = (1 - elapsed) / (1 - 2 * h.rise)
        return h.end + (h.start - h.end) * left

    def training_step(self, step: Step) -> None:
        """Set the momentum, then the usual step."""
        h = self.hyperparameters
        drop = (h.high_momentum - h.low_momentum) * self.height(self.plan.elapsed)
        momentum = h.high_momentum - drop
        for optimizer in step.optimizers:
            for group in optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                elif "momentum" in group:
                    group["momentum"] = momentum
        step.automatic()
