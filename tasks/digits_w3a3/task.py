"""Handwritten digits with 3-bit weights and activations."""

from __future__ import annotations

from assay.families.quantization import Quantization


class Digits(Quantization):
    """The family and the card define everything."""
