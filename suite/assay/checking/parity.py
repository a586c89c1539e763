"""What a method's optimizer is held against, as rows: asked of a worker, told by `assay check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from assay.checking.report import CheckResult, failed
from assay.engine.pool import Pool
from assay.errors import CardError, PluginError, UnknownName, WorkerError
from assay.messages.form import clip
from assay.messages.worker import ParityFound, ParityRow, ProbeParity
from assay.plugins.registry import MethodEntry, method_entries, method_ref

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


class LabelledRow(ParityRow):
    """A row, with its name in words."""

    label: str


class MethodParity(BaseModel):
    """The rows of one method."""

    slug: str
    version: int
    code_hash: str
    """Of the code that they are about."""
    rows: list[LabelledRow]


class ParityReport(BaseModel):
    """What `assay parity --json` prints: the methods that have rows, by slug."""

    versions: dict[str, str]
    """Of the libraries that numbers depend on."""
    methods: list[MethodParity]


def report_parity(
    pool: Pool, entries: Iterable[MethodEntry], tell: Callable[[MethodParity], None] | None
) -> ParityReport:
    """The rows of methods; one that cannot be compared has a failed row that says why.

    Args:
        pool: where they run.
        entries: the methods.
        tell: gets each method that has rows, as soon as they are known.

    Raises:
        StorageError: there is no space for anything.
    """
    report = ParityReport(versions={}, methods=[])
    for entry in sorted(entries, key=lambda entry: entry.card.slug):
        try:
            found = find_parity(pool, entry)
            rows = found.rows
            report.versions |= found.versions
        except (PluginError, WorkerError, UnknownName, CardError) as error:
            rows = [ParityRow(name="equations", status="failed", detail=clip(str(error)))]
        if not rows:
            continue
        ref = method_ref(entry)
        made = MethodParity(
            slug=ref.slug,
            version=ref.version,
            code_hash=ref.code_hash,
            rows=[LabelledRow(label=LABELS[row.name], **row.model_dump()) for row in rows],
        )
        report.methods.append(made)
        if tell is not None:
            tell(made)
    return report


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
    except (PluginError, WorkerError, UnknownName, CardError) as error:
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
