"""Handwritten digits with label flips that depend on the image."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class DigitsInstanceDependent(NoisyLabels):
    """The family and the card define everything."""
