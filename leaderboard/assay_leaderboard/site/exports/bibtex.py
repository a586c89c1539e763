"""BibTeX of what a task or a method rests on, made from its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import Citation, SubmissionCard, TaskCard

from assay_leaderboard.site.html.links import paper_links

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


def of_task(card: TaskCard) -> str:
    """The task itself, then the papers that it is taken from."""
    own = _own(f"task {card.slug}, version {card.version}", f"assay_{card.slug}", card.title)
    papers = (
        _entry(f"{card.slug}_{number}", paper, ()) for number, paper in enumerate(card.citation, 1)
    )
    return "\n".join([own, *papers])


def of_method(slug: str, card: SubmissionCard | None) -> str:
    """The results here, then the method's paper if its card names one."""
    own = _own(f"method {slug}", f"assay_{slug}", card.title if card else slug)
    if card is None or card.paper is None:
        return own
    return "\n".join([own, _entry(slug, card.paper, card.authors)])


def _own(what: str, key: str, title: str) -> str:
    fields = {"title": "{Assay: " + _escaped(title) + "}", "note": _escaped(f"Assay, {what}")}
    return _bibtex(key, fields)


def _entry(key: str, paper: Citation, authors: Sequence[str]) -> str:
    fields = {"title": "{" + _escaped(paper.title) + "}", "year": str(paper.year)}
    if authors:
        fields["author"] = " and ".join("{" + _escaped(name) + "}" for name in authors)
    for text, _ in paper_links(paper.identifier):
        kind, _, found = text.partition(":")
        if kind == "arXiv":
            fields |= {"eprint": found, "archiveprefix": kind}
        else:
            fields[kind] = _escaped(found)
    fields["note"] = _escaped(paper.identifier)
    return _bibtex(f"{key}_{paper.year}", fields)


def _bibtex(key: str, fields: Mapping[str, str]) -> str:
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{{key},\n{lines}\n}}\n"


def _escaped(text: str) -> str:
    printable = (c if c.isprintable() else " " for c in text)
    return "".join(_SPECIAL.get(c, c) for c in printable)
