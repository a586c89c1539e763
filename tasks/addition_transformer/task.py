"""Sums of two numbers modulo a prime, and a small transformer."""

from __future__ import annotations

from assay.families.classification import Classification


class ModularAddition(Classification):
    """The family and the card define everything."""
