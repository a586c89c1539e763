"""No attack: what the others are compared with."""

from __future__ import annotations

from assay import Method


class Honest(Method):
    """The task's budget, spent on the task's own optimizer."""
