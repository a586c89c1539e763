"""Handwritten digits, few of them, with a small fully connected network."""

from __future__ import annotations

from suite.families.classification import Classification


class Digits(Classification):
    """All of it is on the card."""
