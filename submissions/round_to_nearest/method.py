"""Straight-through training of round-to-nearest quantization: what the task does by itself."""

from assay import Method


class RoundToNearest(Method):
    """Min-max weights per channel, running-max activations, straight-through gradients."""
