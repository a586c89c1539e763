"""The part of a site about the claims of all cards."""

from __future__ import annotations

from collections.abc import Sequence

from assay_leaderboard.claims.ledger import evaluate
from assay_leaderboard.site.build.cache import MadePart
from assay_leaderboard.site.build.task_part import TaskResults


def make(results: TaskResults, slugs: Sequence[str]) -> MadePart:
    """Evaluate every claim on every card.

    Args:
        results: of all tasks.
        slugs: of the tasks that claims name.

    Returns:
        A `Ledger`, without files.
    """
    catalogue = results.inputs.catalogue
    ledger = evaluate(
        results.comparisons(slugs),
        {slug: card for slug, (card, _) in catalogue.methods.items()},
        {slug: card for slug, (card, _) in catalogue.tasks.items()},
        results.inputs.ruleset,
        view=results.inputs.rules.view,
    )
    return MadePart(ledger.model_dump_json(), [])
