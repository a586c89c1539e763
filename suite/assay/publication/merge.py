"""From a merged submission to the log: its bundles, and the replays that confirmed them.

Nothing is logged that the gate did not pass. A submission that it did not pass leaves an entry for
each of its bundles all the same, because a try that failed is a try.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from assay.errors import BundleError
from assay.identity import sha256
from assay.publication import publish
from assay.publication.git import Checkout
from assay.publication.ownership import maintainers, owns
from assay.publication.report import GateReport, read_report
from assay.publication.submit import PUBLISHED
from assay.records import log
from assay.records.bundle import MAX_FILE_BYTES
from assay.records.log import Entry

_BUNDLE = re.compile(r"[a-z0-9_]+--([a-z0-9_]+)-v\d+--([0-9a-f]{16})\.zip")


def passed(checkout: Checkout, base: str, head: str, data: bytes | None) -> GateReport:
    """The gate's report on the change from `base` to `head`, if it says that the change passed.

    Raises:
        BundleError: there is none, it is of another change, or the gate did not pass it.
    """
    report = _report(checkout, base, head, data)
    if not report.passed:
        said = "; ".join(report.problems)[:500] or "it does not say why"
        raise BundleError(f"the gate did not pass this change, so nothing is published: {said}")
    for name in _added(checkout, base, head):
        own = report.replays.get(name)
        if own is None or own.contradicted:
            raise BundleError(f"{name}: the gate's report does not pass it; nothing is published")
        if own.bundle != sha256(checkout.file(head, f"{PUBLISHED}/{name}") or b""):
            raise BundleError(f"{name}: the gate's report is of another file")
    return report


def publish_merged(
    checkout: Checkout, base: str, head: str, data: bytes | None, author: str | None
) -> Iterator[Entry]:
    """Log the bundles that a change added, and the replays that confirmed them.

    A bundle supersedes the current one of its task, method and seeds. What is logged already is
    passed over, so that a call that was interrupted can be given again.

    Args:
        checkout: at `head`.
        base: the commit before the merge.
        head: the merged commit.
        data: what ci/gate-run printed for the change.
        author: the account of the pull request; None: the maintainers'.

    Raises:
        BundleError: the gate did not pass the change, or a bundle is not valid.
        LogError: an entry does not fit the log.
    """
    folder = checkout.root / PUBLISHED
    entries, standings = log.read_with_standings(folder)
    logged = {entry.file for entry in entries}
    unconfirmed = {s.file for s in standings.values() if (s.state, s.tier) == ("current", "T1")}
    added = _added(checkout, base, head)
    names = [name for name in added if name not in logged or name in unconfirmed]
    if not names:
        return
    report = passed(checkout, base, head, data)
    if (report.author or None) != (author or None):
        raise BundleError(f"the gate's report is of a change by {report.author}, not {author}")
    for name in names:
        path = folder / name
        if name not in logged:
            yield _publish(folder, path, author)
        if report.replays[name].tier:
            yield publish.add(folder, "replay", path, report=report.replays[name])


def _publish(folder: Path, path: Path, author: str | None) -> Entry:
    """Log a bundle as published, in place of the current one of its task, method and seeds."""
    old = publish.rival(folder, path)
    if old is None:
        return publish.add(folder, "publish", path, owner=author)
    return publish.add(
        folder,
        "supersede",
        path,
        replaces=folder / old.file,
        note=f"{path.name} was submitted",
        owner=author,
    )


def refuse(
    checkout: Checkout,
    base: str,
    head: str,
    data: bytes | None,
    reason: str = "",
    author: str | None = None,
) -> Iterator[Entry]:
    """Log the bundles of a change that the gate did not pass as refused, and remove them.

    Args:
        checkout: with the log, at any commit.
        base: the commit that the change was made from.
        head: its commit, merged or not.
        data: what ci/gate-run printed for it; None: a reason is given.
        reason: why it is refused; by default what the report says.
        author: the account of the pull request, where there is no report.

    Raises:
        BundleError: the gate passed the change, or the report is of another one.
        LogError: an entry does not fit the log.
    """
    report = None if data is None and reason else _report(checkout, base, head, data)
    if report is not None and report.passed:
        raise BundleError("the gate passed this change; there is nothing to refuse")
    folder = checkout.root / PUBLISHED
    author = report.author if report else author
    said = reason or ("; ".join(report.problems) if report else "") or "the gate did not pass it"
    entries = log.read(folder)
    known, owners = {entry.file for entry in entries}, log.owners(entries)
    trusted = maintainers(checkout, base)
    with tempfile.TemporaryDirectory(prefix="assay-refuse-") as scratch:
        for name in _added(checkout, base, head):
            if name in known or checkout.size(head, f"{PUBLISHED}/{name}") > MAX_FILE_BYTES:
                continue
            (folder / name).unlink(missing_ok=True)
            copy = Path(scratch) / name
            copy.write_bytes(checkout.file(head, f"{PUBLISHED}/{name}") or b"")
            named = _BUNDLE.fullmatch(name)
            if named is None or named[2] != sha256(copy.read_bytes())[:16]:
                continue
            slug = named[1]
            exists = checkout.file(base, f"submissions/{slug}/card.toml") is not None
            if not owns(slug, author, owners, trusted, exists=exists):
                continue  # nobody can make tries in another's name
            yield publish.add(
                folder,
                "refuse",
                copy,
                note=_plain(said),
                owner=author,
                report=report.replays.get(name) if report else None,
            )


def _plain(said: str) -> str:
    """A reason as the log takes it: one short line without markup."""
    line = "".join(c if c.isprintable() and c not in "<>" else " " for c in said)
    return line[:500].replace(":", " ").strip() or "the gate did not pass it"


def _report(checkout: Checkout, base: str, head: str, data: bytes | None) -> GateReport:
    if not data or not data.strip() or data.strip() == b"null":
        raise BundleError("there is no report of the gate, so nothing is published; make one with "
                          "ci/gate-run")  # fmt: skip
    report = read_report(data, GateReport)
    wanted = (checkout.commit_of(base), checkout.commit_of(head))
    if (report.base, report.head) != wanted:
        raise BundleError(
            f"the gate's report is of {report.base[:12]}...{report.head[:12]}, not of this change"
        )
    return report


def _added(checkout: Checkout, base: str, head: str) -> list[str]:
    """Names of the bundles that a change added."""
    paths = [Path(c.path) for c in checkout.changes(base, head) if c.status == "A"]
    return [p.name for p in paths if p.parent == Path(PUBLISHED) and p.suffix == ".zip"]
