"""CIFAR-10 with 2-bit weights and activations, in seconds on one CPU core."""

from __future__ import annotations

from assay.families.quantization import Quantization


class Cifar10W2A2Compact(Quantization):
    """The family and the card define everything."""
