"""The constants of one version of the benchmark, used by the engine and by the statistics."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Tier = Literal["lite", "standard", "paper"]
Preset = Literal["full", "quick"]


class Ruleset(BaseModel):
    """How methods are tuned, repeated and compared in this version of the benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    """Part of every run's spec: results of different rulesets never share a table."""
    seed_root: str = "assay-1"
    """Root of every derived seed (identity.derive_seed)."""
    tuning_points: dict[Tier, int] = {"lite": 12, "standard": 25, "paper": 1}
    """K: hyperparameter points per (method, task), point 0 being the method's defaults."""
    repetitions: int = 12
    """R: 2/2^12 = 0.00049 is the smallest exact two-sided p; it survives Holm over 102 entries."""
    quick_tuning_points: int = 4
    """K under --quick; such results are labelled preliminary."""
    quick_repetitions: int = 8
    """R under --quick: the smallest p, 2/2^8 = 0.0078, still survives Holm over six comparisons."""
    control_repetition: int = 100
    """First repetition of the A/A control (the reference against itself): so far above R that its
    runs never pair with those of a study."""
    confidence: float = 0.95
    """Level of every interval."""
    alpha: float = 0.05
    """Level of every test, after Holm (against the reference) or Benjamini-Hochberg (all pairs)."""
    bootstrap_draws: int = 10_000
    """Resamples of the bootstrap, for intervals over several tasks."""

    def k(self, tier: Tier, preset: Preset = "full") -> int:
        """Tuning points for one (method, task)."""
        full = self.tuning_points[tier]
        return min(full, self.quick_tuning_points) if preset == "quick" else full

    def r(self, preset: Preset = "full", *, deterministic: bool = False) -> int:
        """Paired repetitions of the selected point; one where nothing varies between them."""
        if deterministic:
            return 1
        return self.quick_repetitions if preset == "quick" else self.repetitions

    def r_defaults(self, preset: Preset, k: int, *, deterministic: bool = False) -> int:
        """Repetitions of the defaults of a study with `k` points.

        None under --quick, and none if the defaults are the only point, which is repeated anyway.
        """
        return self.r(preset, deterministic=deterministic) if preset == "full" and k > 1 else 0


RULESET = Ruleset()
