"""Handwritten digits with labels flipped to any other class."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class DigitsSymmetric(NoisyLabels):
    """The family and the card define everything."""
