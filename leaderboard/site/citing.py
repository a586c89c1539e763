"""BibTeX of what a task or a method rests on, made from its card."""

from __future__ import annotations

import re
from collections.abc import Sequence

from suite.cards import Citation, SubmissionCard, TaskCard

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_ARXIV = re.compile(r"\barXiv:(\d{4}\.\d{4,5})\b")
_DOI = re.compile(r"\b(?:doi:|DOI )?(10\.\d{4,9}/[A-Za-z0-9._/:()-]+)")


def of_task(card: TaskCard) -> str:
    """Entries of the papers that a task is taken from; empty if its card names none."""
    return "\n".join(
        _entry(f"{card.slug}_{number}", paper, ()) for number, paper in enumerate(card.citation, 1)
    )


def of_method(card: SubmissionCard) -> str:
    """The entry of a method's paper; empty if its card names none."""
    return _entry(card.slug, card.paper, card.authors) if card.paper else ""


def _entry(key: str, paper: Citation, authors: Sequence[str]) -> str:
    fields = {"title": "{" + _escaped(paper.title) + "}", "year": str(paper.year)}
    if authors:
        fields["author"] = " and ".join("{" + _escaped(name) + "}" for name in authors)
    if found := _ARXIV.search(paper.identifier):
        fields |= {"eprint": found[1], "archiveprefix": "arXiv"}
    if found := _DOI.search(paper.identifier):
        fields["doi"] = _escaped(found[1])
    fields["note"] = _escaped(paper.identifier)
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{{key}_{paper.year},\n{lines}\n}}\n"


def _escaped(text: str) -> str:
    printable = (c if c.isprintable() else " " for c in text)
    return "".join(_SPECIAL.get(c, c) for c in printable)
