"""Fashion-MNIST and a small convolutional network."""

from __future__ import annotations

from suite.families.classification import Classification


class FashionMnist(Classification):
    """All of it is on the card."""
