"""Defines two methods, neither of them a refinement of the other."""

from assay import Method


class First(Method):
    pass


class Second(Method):
    pass
