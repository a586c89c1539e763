"""Is not Python."""

from assay.method import Method


class Broken(Method)
    pass
