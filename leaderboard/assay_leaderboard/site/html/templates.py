"""Pages from the templates in site/templates: everything escaped, no undefined names."""

from __future__ import annotations

import functools
from typing import Any, get_args

from assay.ruleset import Tier
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from assay_leaderboard.format import hidden_text, seeds_text, view_text
from assay_leaderboard.site.html.links import SiteMap, paper_links
from assay_leaderboard.site.html.text import said

NAVIGATION = {
    "task": "Tasks",
    "method": "Methods",
    "translation": "Learning rates",
    "compare": "Compare",
    "claims": "Claims",
    "how": "Rules",
}
"""Path and name of each page in the bar at the top of every page."""


def page(site: SiteMap, path: str, template: str, **context: Any) -> dict[str, str]:
    """{file: HTML} of one page.

    Args:
        site: which pages there are.
        path: of the page, as for `SiteMap.at`.
        template: file name in site/templates.
        context: further names for the template, beside `site`, `links` and `navigation`.
    """
    links = site.at(path)
    html = (
        _environment()
        .get_template(template)
        .render(site=site, links=links, navigation=NAVIGATION, **context)
    )
    return {links.own_file: html}


@functools.cache  # it holds the compiled templates
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("assay_leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["said"] = said
    made.filters["human"] = human
    made.filters["seeds"] = seeds_text
    made.filters["hidden"] = hidden_text
    made.filters["view"] = view_text
    made.globals["paper"] = paper
    return made


def human(name: str) -> str:
    """A slug (a family, a state, a family at a tier) in words."""
    for tier in get_args(Tier):
        if name.endswith(f"_{tier}"):
            return f"{human(name.removesuffix(f'_{tier}'))}, {tier} tier"
    return name.replace("_", " ")


def paper(identifier: str) -> Markup:
    """The identifier of a citation as written, followed by links to its arXiv page and DOI."""
    links = [
        Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(address, text)
        for text, address in paper_links(identifier)
    ]
    return Markup(" · ").join([said(identifier), *links]) if links else escape(said(identifier))
