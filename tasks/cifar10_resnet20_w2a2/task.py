"""CIFAR-10 on ResNet-20 with 2-bit weights and activations."""

from __future__ import annotations

from assay.families.quantization import Quantization


class Cifar(Quantization):
    """The family and the card define everything."""
