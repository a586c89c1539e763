"""CIFAR-100 and ResNet-20."""

from __future__ import annotations

from assay.families.classification import Classification


class Cifar100Resnet20(Classification):
    """All of it is on the card."""
