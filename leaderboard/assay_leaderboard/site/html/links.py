"""Where pages lie and how one leads to another: relative, so that they work from any folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

DATA = "data/v1"
STATIC = "static"
_ARXIV = re.compile(r"arXiv:\s?(\d{4}\.\d{4,5})(?:v\d+)?", re.IGNORECASE)
_DOI = re.compile(r"\b(?:doi:\s?)?(10\.\d{4,9}/[A-Za-z0-9._()/:-]*[A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Links:
    """Which pages there are, and what stands at the foot of each."""

    tasks: frozenset[str]
    """Tasks with a page."""
    methods: frozenset[str]
    """Methods with a page."""
    version: str = ""
    """Of Assay."""
    ruleset: int = 0
    with_local: bool = False
    """The records of this machine are among those shown."""

    def at(self, path: str) -> PageLinks:
        """How to link from the page at `path`: a folder or a file.

        "" is the first page, "task/digits" a folder of its own, "run/digits/sgd.html" a file among
        others: there are thousands of these, and folders are what a build takes longest to make.
        """
        depth = path.count("/") + (path != "" and not path.endswith(".html"))
        return PageLinks(self, path, "../" * depth)


@dataclass(frozen=True)
class PageLinks:
    """Addresses as seen from one page."""

    links: Links
    path: str
    up: str

    @property
    def file(self) -> str:
        """The page's own file, from the root of the site."""
        if self.path.endswith(".html"):
            return self.path
        return f"{self.path}/index.html" if self.path else "index.html"

    def page(self, path: str = "") -> str:
        """A page by its folder."""
        return f"{self.up}{path}/index.html" if path else f"{self.up}index.html"

    def task(self, slug: str) -> str | None:
        """The page of a task, if it has one."""
        return self.page(f"task/{slug}") if slug in self.links.tasks else None

    def method(self, slug: str) -> str | None:
        """The page of a method, if it has one."""
        return self.page(f"method/{slug}") if slug in self.links.methods else None

    def cell(self, task: str, method: str, run: str = "") -> str:
        """The runs of a method on a task, or one of them."""
        return f"{self.up}{cell_path(task, method)}" + (f"#{run}" if run else "")

    def family(self, name: str) -> str:
        """The ranking of a family, or "overall"."""
        return self.page(f"family/{name}")

    def static(self, name: str) -> str:
        """A style sheet or script."""
        return f"{self.up}{STATIC}/{name}"

    def data(self, name: str) -> str:
        """A data twin."""
        return f"{self.up}{DATA}/{name}"

    def file_at(self, path: str) -> str:
        """Any other file, by its path from the root of the site."""
        return f"{self.up}{path}"


def cell_path(task: str, method: str) -> str:
    """Of the page of all runs of a method on a task."""
    return f"run/{task}/{method}.html"


def paper_links(identifier: str) -> list[tuple[str, str]]:
    """(text, address) of what `identifier` names; only arXiv numbers and DOIs become links."""
    found = [
        (f"arXiv:{match[1]}", f"https://arxiv.org/abs/{match[1]}")
        for match in _ARXIV.finditer(identifier)
    ]
    found += [
        (f"doi:{match[1]}", "https://doi.org/" + quote(match[1], safe="/"))
        for match in _DOI.finditer(identifier)
    ]
    return found
