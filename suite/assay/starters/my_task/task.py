"""Handwritten digits with a small network."""

from assay.families.classification import Classification


class MyTask(Classification):
    """All of it is on the card; override a method of Classification to change what it does."""
