"""CIFAR-10 in seconds on one CPU core."""

from __future__ import annotations

from assay.families.classification import Classification


class Cifar10Compact(Classification):
    """The family and the card define everything."""
