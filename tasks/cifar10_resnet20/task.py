"""CIFAR-10 and ResNet-20."""

from __future__ import annotations

from assay.families.classification import Classification


class Cifar10Resnet20(Classification):
    """The family and the card define everything."""
