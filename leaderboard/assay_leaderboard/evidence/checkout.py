"""The tasks and methods of this checkout, as evidence is read against them."""

from __future__ import annotations

from collections.abc import Iterable

from assay.plugins import registry
from assay.plugins.registry import MethodEntry, TaskEntry

from assay_leaderboard.evidence.flags import FlagFinder
from assay_leaderboard.evidence.runs import Catalogue


def catalogue(tasks: Iterable[TaskEntry], methods: Iterable[MethodEntry]) -> Catalogue:
    """The cards of these tasks and methods, and the hashes of their code.

    Raises:
        PluginError: the files of one of them cannot be read.
    """
    return Catalogue(
        tasks={entry.card.slug: (entry.card, registry.task_ref(entry)) for entry in tasks},
        methods={entry.card.slug: (entry.card, registry.method_ref(entry)) for entry in methods},
    )


def flag_finder(tasks: Iterable[TaskEntry], methods: Iterable[MethodEntry]) -> FlagFinder:
    """Flags results on these tasks; `methods` are all submissions of the checkout.

    Raises:
        PluginError: the files of a method cannot be read.
    """
    entries = {registry.method_ref(entry): entry for entry in methods}
    return FlagFinder(
        cards={entry.card.slug: entry.card for entry in tasks},
        sources={ref.code: entry.contents for ref, entry in entries.items()},
        baselines=[ref for ref, entry in entries.items() if entry.card.is_baseline],
    )
