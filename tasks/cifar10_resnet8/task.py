"""CIFAR-10 and ResNet-8, short enough for one CPU core."""

from __future__ import annotations

from assay.families.classification import Classification


class Cifar10Resnet8(Classification):
    """The family and the card define everything."""
