"""Handwritten digits with labels flipped to the class that looks alike."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class DigitsAsymmetric(NoisyLabels):
    """The family and the card define everything."""
