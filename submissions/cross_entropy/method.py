"""Plain training: the task's loss and the task's reference optimizer, nothing else."""

from assay import Method


class CrossEntropy(Method):
    """No hook is overridden; the tuner searches the reference optimizer's values alone."""
