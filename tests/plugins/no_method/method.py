"""Defines no method, though it imports one."""

from suite.method import Method

base = Method
