"""Handwritten digits, a deep and narrow fully connected network and few steps."""

from __future__ import annotations

from suite.families.classification import Classification


class DigitsMlp(Classification):
    """All of it is on the card."""
