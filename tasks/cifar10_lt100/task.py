"""CIFAR-10 whose classes shrink exponentially."""

from __future__ import annotations

from assay.families.class_imbalance import ClassImbalance


class Cifar10LongTail(ClassImbalance):
    """The family and the card define everything."""
