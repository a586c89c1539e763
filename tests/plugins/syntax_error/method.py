"""Is not Python."""

from suite.method import Method


class Broken(Method)
    pass
