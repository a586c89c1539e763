"""Distributions that a method needs beyond Assay's own, as its card lists them under `packages`."""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

from assay.cards import SubmissionCard


def lacking_packages(card: SubmissionCard) -> str | None:
    """What is not installed as the card asks for, with the command that installs it; else None."""
    lacking = []
    for text in card.packages:
        needed = Requirement(text)
        here = installed_version(needed.name)
        try:
            fits = here is not None and needed.specifier.contains(here, prereleases=True)
        except InvalidVersion:
            fits = False
        if not fits:
            lacking.append((text, f"{here} is installed" if here else "not installed"))
    if not lacking:
        return None
    named = ", ".join(f"{text} ({state})" for text, state in lacking)
    return f"{card.slug} needs {named}: {shlex.join(['pip', 'install', *(t for t, _ in lacking)])}"


def installed_version(distribution: str) -> str | None:
    """The version of a distribution that is installed here; None if it is not."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
