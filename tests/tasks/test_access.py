"""What tasks grant beside inputs and labels."""

from __future__ import annotations

import pytest
from assay.cards import FAMILIES
from assay.plugins.registry import task_entries


@pytest.mark.parametrize("family", FAMILIES)
def test_all_tasks_of_a_family_grant_the_same(family: str) -> None:
    """Else an author could choose tasks by the access that a card says it needs."""
    granted = {
        frozenset(entry.card.access)
        for entry in task_entries().values()
        if entry.card.family == family
    }
    assert len(granted) == 1
