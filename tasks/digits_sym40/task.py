"""Handwritten digits with labels flipped to any other class."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class DigitsSymmetric(NoisyLabels):
    """All of it is on the card."""
