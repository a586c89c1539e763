"""No attack: what the others are compared with."""

from __future__ import annotations

from suite.method import Method


class Honest(Method):
    """The task's budget, spent on the task's own optimizer."""
