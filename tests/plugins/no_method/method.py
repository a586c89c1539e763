"""Defines no method, though it imports one."""

from assay import Method

base = Method
