"""Handwritten digits, a deep and narrow fully connected network and few steps."""

from __future__ import annotations

from assay.families.classification import Classification


class DigitsMlp(Classification):
    """All of it is on the card."""
