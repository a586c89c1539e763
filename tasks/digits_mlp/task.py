"""Handwritten digits, a deep and narrow fully connected network and few steps."""

from __future__ import annotations

from assay.families.classification import Classification


class DigitsMlp(Classification):
    """The family and the card define everything."""
