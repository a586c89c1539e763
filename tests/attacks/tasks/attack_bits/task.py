"""Handwritten digits with 4-bit weights, for the attacks."""

from __future__ import annotations

from assay.families.quantization import Quantization


class AttackBits(Quantization):
    """All of it is on the card."""
