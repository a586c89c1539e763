"""Survival, 5 survivors to 1 death."""

from __future__ import annotations

from assay.families.class_imbalance import ClassImbalance


class Haberman(ClassImbalance):
    """The family and the card define everything."""
