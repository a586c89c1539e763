"""What a method's optimizer is held against, as rows: asked of a worker, told by `assay check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assay.checking.report import CheckResult, failed
from assay.engine.outcomes import Refused
from assay.engine.pool import Pool
from assay.errors import CardError, PluginError, UnknownName, WorkerError
from assay.messages import ParityFound, ProbeParity
from assay.plugins.registry import MethodEntry, method_entries

SECONDS = 60.0
LABELS = {
    "equations": "its equations",
    "library": "a library",
    "set_to_none": "clearing gradients",
    "loss_scale": "the loss's scale",
    "one_element": "tensors of one element",
    "zero_gradient": "zero gradients",
    "no_gradient": "a missing gradient",
    "diagonal": "a diagonal quadratic",
    "base": "the method it varies",
}
"""Rows in words."""
PLAIN = frozenset({"set_to_none", "one_element", "zero_gradient", "no_gradient"})
"""Rows whose numbers say nothing where they are as they should be."""


def find_parity(pool: Pool, entry: MethodEntry) -> ParityFound:
    """The rows of a method; none for what is no optimizer.

    What they say is told by the process that holds the method, which could tell anything.

    Raises:
        PluginError: it cannot be loaded, or its process gave no answer.
        UnknownName: its card names a method to compare with that does not exist.
        WorkerError: the sandbox or the machine is at fault.
    """
    card = entry.card
    request = ProbeParity(
        method=entry.source,
        entry_point=entry.entry_point,
        family=card.families[0],
        parity=card.parity,
        equations=entry.equations,
        base=None if card.parity.base is None else _source(card.parity.base),
        seconds=SECONDS,
    )
    return pool.answer(request, ParityFound)


def _source(slug: str) -> Path:
    entries = method_entries()
    if slug not in entries:
        raise UnknownName("method", slug, entries)
    return entries[slug].source


def check_parity(pool: Pool, entry: MethodEntry) -> Iterator[CheckResult]:
    """The rows as results of `assay check`."""
    try:
        found = find_parity(pool, entry)
    except (PluginError, WorkerError, UnknownName, CardError, Refused) as error:
        yield failed("parity", str(error))
        return
    for row in found.rows:
        if row.status != "ok" or row.name not in PLAIN:
            yield CheckResult(
                "parity", row.status, f"{LABELS[row.name]}: {row.detail}", claimed=True
            )
    if passed := [
        LABELS[row.name] for row in found.rows if row.name in PLAIN and row.status == "ok"
    ]:
        yield CheckResult(
            "parity", "ok", f"no difference and no fault: {', '.join(passed)}", claimed=True
        )
