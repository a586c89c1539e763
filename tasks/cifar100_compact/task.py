"""CIFAR-100 in seconds on one CPU core."""

from __future__ import annotations

from assay.families.classification import Classification


class Cifar100Compact(Classification):
    """The family and the card define everything."""
