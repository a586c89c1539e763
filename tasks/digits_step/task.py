"""Handwritten digits, half of the classes rare."""

from __future__ import annotations

from suite.families.class_imbalance import ClassImbalance


class DigitsStep(ClassImbalance):
    """All of it is on the card."""
