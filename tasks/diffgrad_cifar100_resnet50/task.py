"""The diffGrad paper's protocol on CIFAR-100."""

from __future__ import annotations

from assay.families.classification import Classification


class Cifar100Resnet50(Classification):
    """The family and the card define everything."""
