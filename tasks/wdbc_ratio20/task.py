"""Benign and malignant tumours, the malignant ones rare in training."""

from __future__ import annotations

from assay.families.class_imbalance import ClassImbalance


class BreastCancer(ClassImbalance):
    """The family and the card define everything."""
