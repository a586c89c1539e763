"""CIFAR-10 whose classes shrink exponentially, in seconds on one CPU core."""

from __future__ import annotations

from assay.families.class_imbalance import ClassImbalance


class Cifar10LongTailCompact(ClassImbalance):
    """The family and the card define everything."""
