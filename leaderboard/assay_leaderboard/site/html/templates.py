"""Templates to pages: one environment, everything escaped, nothing undefined."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, get_args

from assay.ruleset import Tier
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.environment import TemplateModule
from markupsafe import Markup, escape

from assay_leaderboard.site.html.links import Links, PageLinks, paper_links
from assay_leaderboard.site.html.text import said

TOP = {
    "task": "Tasks",
    "method": "Methods",
    "compare": "Compare",
    "claims": "Claims",
    "how": "Rules",
}
"""Pages that every page leads to at its top, with their names."""
_OF_TASKS = ("task.html", "cell.html")
"""Templates of pages of a single task."""


@functools.cache
def environment() -> Environment:
    """Jinja's, with escaping on."""
    made = Environment(
        loader=PackageLoader("assay_leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters["said"] = said
    made.filters["human"] = human
    made.globals["paper"] = paper
    return made


def render(template: str, place: PageLinks, **context: Any) -> str:
    """The page at `place`."""
    # Only the pages that the head names differ from their neighbours in what is around them.
    own = place if place.path in TOP else replace(place, path="")
    made = environment().get_template(template)
    return made.render(place=place, site=place.links, chrome=_chrome(own), **context)


def prepare() -> None:
    """Compile the templates of pages beyond single tasks.

    Processes that are forked from this one need not do it again; those of tasks are before.
    """
    for name in environment().list_templates(filter_func=lambda name: name not in _OF_TASKS):
        environment().get_template(name)


@functools.lru_cache(maxsize=64)
def _chrome(place: PageLinks) -> TemplateModule:
    """What stands around the pages of a folder: styles, scripts, top, foot."""
    made = environment().get_template("chrome.html")
    return made.make_module({"place": place, "site": place.links, "pages": TOP})


def page(links: Links, path: str, template: str, **context: Any) -> dict[str, str]:
    """{file: page} of the page at `path` (Links.at)."""
    place = links.at(path)
    return {place.file: render(template, place, **context)}


@functools.lru_cache(maxsize=1024)
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
