"""CIFAR-10 with the worst of three human labels, in seconds on one CPU core."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class Cifar10HumanCompact(NoisyLabels):
    """The family and the card define everything."""
