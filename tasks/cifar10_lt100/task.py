"""CIFAR-10 whose classes shrink exponentially."""

from __future__ import annotations

from suite.families.class_imbalance import ClassImbalance


class Cifar10LongTail(ClassImbalance):
    """All of it is on the card."""
