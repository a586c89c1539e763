"""The constants of one version of the benchmark, used by the engine and by the statistics."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Tier = Literal["lite", "standard", "paper"]
Preset = Literal["full", "quick"]
Arm = Literal["first", "second"]
"""Of the A/A control: the repetitions that are scored, and those that a method is held against as
if they were of another one."""
MAX_REPETITIONS = 16
"""Most repetitions of a cell: all signs and all subsets of them are counted one by one."""


SCORER_VERSION = 2
"""Raised whenever the scorer computes scores in another way; part of every record."""


class Ruleset(BaseModel):
    """How methods are tuned, repeated and compared in this version of the benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 2
    """Part of every run's spec: results of different rulesets never share a table."""
    seed_root: str = "assay-2"
    """Root of every derived seed (identity.derive_seed)."""
    tuning_points: dict[Tier, int] = {"lite": 8, "standard": 5, "paper": 1}
    """K: hyperparameter points tried in each repetition, point 0 being the method's defaults."""
    repetitions: dict[Tier, int] = {"lite": 12, "standard": 10, "paper": 5}
    """R: whole experiments, each with its own draws of everything."""
    quick_tuning_points: int = 4
    """K under --quick; such results are preliminary."""
    quick_repetitions: int = 6
    """R under --quick."""
    control_repetition: int = 100
    """First repetition of the A/A control (the reference as if it were another method): so far
    above R that its runs are never taken for those of a cell."""
    confidence: float = 0.95
    """Level of an interval that stands alone, as that of a mean."""
    false_discovery_rate: float = 0.05
    """q: of all pairs of a task that are called different, the expected share that is not."""
    alpha: float = 0.05
    """Level of the tests of a card's claims, after Holm."""
    bootstrap_draws: int = 10_000
    """Resamples of the bootstrap, for intervals over several tasks."""

    def k(self, tier: Tier, preset: Preset = "full", *, deterministic: bool = False) -> int:
        """Hyperparameter points in a repetition; the defaults alone where nothing varies."""
        if deterministic:
            return 1
        full = self.tuning_points[tier]
        return min(full, self.quick_tuning_points) if preset == "quick" else full

    def r(self, tier: Tier, preset: Preset = "full", *, deterministic: bool = False) -> int:
        """Repetitions; one where nothing varies between them."""
        if deterministic:
            return 1
        full = self.repetitions[tier]
        return min(full, self.quick_repetitions) if preset == "quick" else full


RULESET = Ruleset()
