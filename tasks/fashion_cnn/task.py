"""Fashion-MNIST and a small convolutional network."""

from __future__ import annotations

from assay.families.classification import Classification


class FashionMnist(Classification):
    """The family and the card define everything."""
