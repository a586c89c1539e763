"""Handwritten digits with label flips that depend on the image."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class DigitsInstanceDependent(NoisyLabels):
    """All of it is on the card."""
