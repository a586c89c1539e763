"""Which picture stands on which page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from leaderboard.site.views import CellView, TaskView
from leaderboard.tables import Summary


def of_task(view: TaskView) -> Sequence[Markup]:
    """Of the methods of one task."""
    return ()


def of_cell(view: CellView) -> Sequence[Markup]:
    """Of one method on one task."""
    return ()


def of_summary(summary: Summary) -> Sequence[Markup]:
    """Of several tasks."""
    return ()
