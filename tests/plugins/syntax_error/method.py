"""Is not Python."""

from assay import Method


class Broken(Method)
    pass
