"""Which format the file of a bundle has, told from its first bytes; needs nothing installed."""

from __future__ import annotations

_FIRST_MEMBER = b"environment.json"
"""Members are sorted by name, and this one exists in bundles of format 1 alone."""
_NAME_AT = 30
"""Where a zip file has the name of its first member."""


def is_former(data: bytes) -> bool:
    """Whether a bundle's file, of which `data` is the beginning, is of format 1 (ruleset 1)."""
    return data[_NAME_AT : _NAME_AT + len(_FIRST_MEMBER)] == _FIRST_MEMBER
