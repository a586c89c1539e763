"""Who may submit under a slug: its first author, and the maintainers.

The account of a pull request is told by whoever runs the gate (`--author`), never by the
submission: its card, its commits and their e-mail addresses say what they like. The log keeps the
account that a method's first bundle came from; methods without one belong to the maintainers, who
are listed in ci/maintainers.txt of the commit that a submission is to be merged into.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from assay.cards import SubmissionCard
from assay.publication.git import Checkout

MAINTAINERS = "ci/maintainers.txt"
"""One account a line; what follows a # is a comment."""


def maintainers(checkout: Checkout, base: str) -> set[str]:
    """Accounts of the maintainers, as the commit `base` lists them, in small letters."""
    text = (checkout.file(base, MAINTAINERS) or b"").decode("utf-8", "replace")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {line.casefold() for line in lines if line}


def owns(
    slug: str,
    author: str | None,
    owners: Mapping[str, str | None],
    trusted: Collection[str],
    *,
    exists: bool,
) -> bool:
    """Whether `author` may submit under `slug`; see owner_problems."""
    account = (author or "").casefold()
    if account in trusted or (not exists and slug not in owners):
        return True
    return bool(account) and account == (owners.get(slug) or "").casefold()


def owner_problems(
    card: SubmissionCard,
    author: str | None,
    owners: Mapping[str, str | None],
    trusted: Collection[str],
    *,
    exists: bool,
) -> Iterator[str]:
    """Why `author` may not submit `card`.

    Args:
        card: of the submission.
        author: the account of its pull request, if it is known.
        owners: of every published method, see records.log.owners.
        trusted: the maintainers.
        exists: whether the commit it is to be merged into has this slug already.
    """
    account = (author or "").casefold()
    if account in trusted:
        return
    slug = card.slug
    if card.is_baseline:
        yield (
            "is_baseline is for the maintainers to set; remove it from card.toml, run and pack "
            "again"
        )
    if owns(slug, author, owners, trusted, exists=exists):
        return
    owner = owners.get(slug)
    advice = (
        f'choose another slug, and say derived_from = ["{slug}"] on the card if it is a variant'
    )
    if owner is None:
        yield f"the slug {slug} belongs to the maintainers; {advice}"
    elif not account:
        yield (
            f"the slug {slug} belongs to {owner}; give the account of the pull request with "
            "--author ACCOUNT"
        )
    else:
        yield f"the slug {slug} belongs to {owner}, not to {author}; {advice}"
