"""Handwritten digits with 2-bit weights and activations."""

from __future__ import annotations

from assay.families.quantization import Quantization


class Digits(Quantization):
    """All of it is on the card."""
