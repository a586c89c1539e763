"""CIFAR-10 with the worst of three human labels."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class Cifar10Human(NoisyLabels):
    """The family and the card define everything."""
