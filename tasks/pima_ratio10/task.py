"""Diabetes, 10 without to 1 with."""

from __future__ import annotations

from assay.families.class_imbalance import ClassImbalance


class Pima(ClassImbalance):
    """The family and the card define everything."""
