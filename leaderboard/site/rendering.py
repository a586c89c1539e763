"""Templates to pages: one environment, everything escaped, nothing undefined."""

from __future__ import annotations

import functools
from typing import Any, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from leaderboard.site.links import Links, Place, paper_links
from leaderboard.site.words import said
from suite.ruleset import Tier


@functools.cache
def environment() -> Environment:
    """Jinja's, with escaping on."""
    made = Environment(
        loader=PackageLoader("leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["said"] = said
    made.filters["human"] = human
    made.globals["paper"] = paper
    return made


def render(template: str, place: Place, **context: Any) -> str:
    """The page at `place`."""
    text = environment().get_template(template).render(place=place, site=place.links, **context)
    return text if text.endswith("\n") else text + "\n"


def page(links: Links, path: str, template: str, **context: Any) -> dict[str, str]:
    """{file: page} of the page at `path` (Links.at)."""
    place = links.at(path)
    return {place.file: render(template, place, **context)}


def human(name: str) -> str:
    """A slug of ours (a family, a state, a family at a tier) in words."""
    for tier in get_args(Tier):
        if name.endswith(f"_{tier}"):
            return f"{human(name.removesuffix(f'_{tier}'))}, {tier} tier"
    return name.replace("_", " ")


def paper(identifier: str) -> Markup:
    """A citation's identifier: as said, followed by links to what we know how to link."""
    links = [
        Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(address, text)
        for text, address in paper_links(identifier)
    ]
    return Markup(" · ").join([said(identifier), *links]) if links else escape(said(identifier))
