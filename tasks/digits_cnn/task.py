"""Handwritten digits, a small convolutional network and few steps."""

from __future__ import annotations

from assay.families.classification import Classification


class DigitsCnn(Classification):
    """The family and the card define everything."""
