"""Mammography, 30 normal to 1 calcified."""

from __future__ import annotations

from assay.families.class_imbalance import ClassImbalance


class Mammography(ClassImbalance):
    """The family and the card define everything."""
