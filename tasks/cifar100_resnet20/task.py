"""CIFAR-100 and ResNet-20."""

from __future__ import annotations

from assay.families.classification import Classification


class Cifar100Resnet20(Classification):
    """The family and the card define everything."""
