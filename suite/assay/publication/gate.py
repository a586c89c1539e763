"""The gate of a submission: what a pull request may change. Reads git and executes nothing of it.

A submission adds or renews one folder under `submissions/` and adds bundles of that method under
`leaderboard/results/`, and changes nothing else: not the log, not another's files. The newer commit
is never checked out; its files are read as data, up to a size limit. Whatever a change is, its log
must extend the one before (`log_problems`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.cards import MAX_DATA_FILES, SubmissionCard, read_card
from assay.errors import AssayError, BundleError
from assay.plugins.files import EQUATIONS, MAX_CODE_FILES, is_data
from assay.publication.git import Change, Checkout
from assay.publication.ownership import maintainers, owner_problems
from assay.publication.submit import MAX_SOURCE_BYTES, PUBLISHED, packed, taken_by
from assay.publication.verify import readable, text_problems, verify
from assay.records import log
from assay.records.bundle import MAX_FILE_BYTES, read_bundle

ORDINARY = "100644"
MAX_FILES = 200


@dataclass
class Gate:
    """The result of the gate."""

    slug: str | None = None
    """The submission's slug; None if the change is no submission."""
    bundles: list[str] = field(default_factory=list)
    """File names of the bundles it adds."""
    problems: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    """Remarks for a reviewer, which are no reason to refuse."""


def gate(
    checkout: Checkout, base: str, head: str, scratch: Path, author: str | None = None
) -> Gate:
    """Check the change from `base` to `head`.

    Args:
        checkout: at `base`: submissions are verified by its tasks and its engine.
        base: a commit.
        head: a commit that may be a stranger's.
        scratch: an empty folder; the submission's folder and bundles are put there as files.
        author: the account of the pull request, if it is known.
    """
    changes = checkout.changes(base, head)
    found = Gate(problems=log_problems(checkout, checkout.fork(base, head), head))
    if not any(change.path.startswith(("submissions/", f"{PUBLISHED}/")) for change in changes):
        return found
    entered = any(_slug(change.path) for change in changes)
    if not entered and (author or "").casefold() in maintainers(checkout, base):
        return found  # of the log or of epochs
    found.problems += log.check(checkout.root / PUBLISHED)
    found.slug, problems = rule(changes)
    if problems or found.slug is None:
        found.problems += problems
        return found
    try:
        names = unpack(checkout, head, changes, found.slug, scratch)
        found.bundles = names
        _content(checkout, base, found, scratch, author)
    except AssayError as error:
        found.problems.append(str(error))
    return found


def log_problems(checkout: Checkout, base: str, head: str) -> list[str]:
    """What is wrong with the log at `head`, given the one at `base`: a log only ever grows.

    Bundles and epochs that the log at `base` names are there still, as they were, unless the log at
    `head` says that a bundle was archived.
    """
    path = f"{PUBLISHED}/{log.LOG}"
    before, now = (checkout.file(ref, path) or b"" for ref in (base, head))
    problems = log.extends(before, now)
    with tempfile.TemporaryDirectory(prefix="assay-log-") as name:
        (Path(name) / log.LOG).write_bytes(before)
        named = set(log.kept(log.read(Path(name))))
        if now != before:
            (Path(name) / log.LOG).write_bytes(now)
            problems += log.chain_problems(Path(name))
            if not problems:
                named &= log.kept(log.read(Path(name))).keys()
    there, here = (checkout.blobs(ref, PUBLISHED) for ref in (base, head))
    return problems + [
        f"{path}: the log names it; it is never changed or removed"
        for path in sorted({f"{PUBLISHED}/{place}" for place in named} & set(there))
        if here.get(path) != there[path]
    ]


def rule(changes: Sequence[Change]) -> tuple[str | None, list[str]]:
    """The slug of a submission, and every file that breaks the rule of one folder."""
    if len(changes) > MAX_FILES:
        return None, [f"{len(changes)} files are changed, expected at most {MAX_FILES}"]
    slugs = {slug for change in changes if (slug := _slug(change.path))}
    if len(slugs) != 1:
        shown = ", ".join(sorted(slugs)) or "none"
        return None, [f"a submission is one folder of submissions and its bundles; found: {shown}"]
    (slug,) = slugs
    return slug, [problem for change in changes for problem in _misplaced(change, slug)]


def _slug(path: str) -> str | None:
    parts = path.split("/")
    if parts[0] == "submissions" and len(parts) > 2:
        return parts[1]
    if path.startswith(f"{PUBLISHED}/") and path.endswith(".zip") and path.count("--") >= 2:
        return path.split("--")[1].rsplit("-v", 1)[0]
    return None


def _misplaced(change: Change, slug: str) -> Iterator[str]:
    path = ascii(change.path)
    in_folder = change.path.startswith(f"submissions/{slug}/")
    if _slug(change.path) != slug:
        yield f"{path}: is not part of the submission {slug}; expected nothing but its folder and "\
            "its bundles"  # fmt: skip
    elif in_folder and change.path.count("/") != 2:
        yield f"{path}: expected files directly in the folder"
    elif not in_folder and (change.status != "A" or Path(change.path).parent != Path(PUBLISHED)):
        yield f"{path}: a published bundle is never changed or removed; expected new ones alone"
    elif change.status != "D" and change.mode != ORDINARY:
        yield f"{path}: has the mode {change.mode}, expected an ordinary file ({ORDINARY})"


def unpack(
    checkout: Checkout, head: str, changes: Sequence[Change], slug: str, scratch: Path
) -> list[str]:
    """Copy the submission's folder and its new bundles to `scratch`; return the bundles' names.

    Raises:
        BundleError: a file is too large, or the folder has no card or no method.
    """
    own = scratch / slug
    own.mkdir()
    paths = checkout.files(head, f"submissions/{slug}")
    if len(paths) > (limit := MAX_CODE_FILES + MAX_DATA_FILES):
        raise BundleError(f"submissions/{slug}: {len(paths):,} files, expected at most {limit}")
    for path in paths:
        (own / Path(path).name).write_bytes(_read(checkout, head, path, MAX_SOURCE_BYTES))
    if not {"card.toml", "method.py"} <= {Path(path).name for path in paths}:
        raise BundleError(f"submissions/{slug}: expected a card.toml and a method.py")
    added = [c.path for c in changes if c.path.startswith(f"{PUBLISHED}/")]
    for path in added:
        (scratch / Path(path).name).write_bytes(_read(checkout, head, path, MAX_FILE_BYTES))
    return [Path(path).name for path in added]


def _read(checkout: Checkout, ref: str, path: str, limit: int) -> bytes:
    size = checkout.size(ref, path)
    if size > limit:
        raise BundleError(f"{path}: {size:,} bytes, expected at most {limit:,}")
    return checkout.file(ref, path) or b""


def _content(checkout: Checkout, base: str, found: Gate, scratch: Path, author: str | None) -> None:
    slug = str(found.slug)
    card = read_card(scratch / slug / "card.toml", SubmissionCard)
    source = {path.name: path.read_bytes() for path in (scratch / slug).iterdir()}
    found.problems += [
        f"submissions/{slug}/{name!a:.120}: expected Python files, card.toml and the data files "
        "that it lists under `data`"
        for name in sorted(source)
        if is_data(name) and name not in card.data
    ]
    if EQUATIONS in source:  # no bundle has it, whose verification looks at the others
        found.problems += (said for _, said in text_problems(EQUATIONS, source[EQUATIONS]))
    entries = log.read(checkout.root / PUBLISHED)
    old = checkout.file(base, f"submissions/{slug}/card.toml")
    if old is not None:
        found.problems += taken_by(card, old, base)
    found.problems += owner_problems(
        card, author, log.owners(entries), maintainers(checkout, base), exists=old is not None
    )
    if not found.bundles:
        found.problems.append(f"there is no bundle; expected one a task: assay pack {slug}")
    published = readable(checkout.root / PUBLISHED)
    before, failed = log.attempts(entries), log.refusals(entries)
    for name in found.bundles:
        bundle = read_bundle(scratch / name)
        cell = bundle.manifest.task.slug, slug
        if n := before[cell]:
            found.flags.append(
                f"{name}: {n} bundle(s) of this task and method came before it, "
                f"{failed[cell]} of them refused"
            )
        if bundle.source != packed(source):
            found.problems.append(f"{name}: its source is not that of submissions/{slug}")
        for finding in verify(bundle, published):
            # A new submission must be made with the present tasks and rules.
            refused = finding.severity == "error" or finding.code == "stale"
            kept = found.problems if refused else found.flags
            kept.append(f"{name}: {finding.message}")
