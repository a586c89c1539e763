"""Handwritten digits, half of the classes rare."""

from __future__ import annotations

from assay.families.class_imbalance import ClassImbalance


class DigitsStep(ClassImbalance):
    """The family and the card define everything."""
