"""Search spaces, as workers describe methods and the scorer describes tasks."""

from __future__ import annotations

from assay.cards import FAMILIES
from assay.engine.pool import Pool
from assay.errors import PluginError
from assay.messages.scorer import DescribeTask, TaskDescription
from assay.messages.worker import Describe, Description
from assay.plugins.registry import MethodEntry, TaskEntry
from assay.space import Space

DESCRIBE_SECONDS = 60.0


def describe_method(pool: Pool, method: MethodEntry) -> Description:
    """A method's hooks, and its search space in every family.

    Raises:
        PluginError: the method cannot be loaded, or its space is malformed.
    """
    request = Describe(
        method=method.source,
        entry_point=method.entry_point,
        families=list(FAMILIES),
        seconds=DESCRIBE_SECONDS,
    )
    try:
        description = pool.answer(request, Description)
    except PluginError as error:
        raise PluginError(f"{method.card.slug}: {error}") from error
    if set(description.spaces) != set(FAMILIES):
        raise PluginError(f"{method.card.slug}: described other families than it was asked for")
    return description


def reference_space(pool: Pool, task: TaskEntry) -> Space:
    """The search space of a task's reference optimizer."""
    return pool.ask_scorer(DescribeTask(task=task.folder), TaskDescription).reference
