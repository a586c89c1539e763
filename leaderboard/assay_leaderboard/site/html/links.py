"""Where pages lie, and the relative links from one to another, so that a site works anywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

DATA = "data/v1"
STATIC = "static"
_ARXIV = re.compile(r"arXiv:\s?(\d{4}\.\d{4,5})(?:v\d+)?", re.IGNORECASE)
_DOI = re.compile(r"\b(?:doi:\s?)?(10\.\d{4,9}/[A-Za-z0-9._()/:-]*[A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class SiteMap:
    """Which tasks and methods have a page, and what the foot of every page says."""

    tasks: frozenset[str]
    """Tasks with a page."""
    methods: frozenset[str]
    """Methods with a page."""
    version: str = ""
    """Of Assay."""
    ruleset: int = 0
    with_local: bool = False
    """The site shows records of this machine beside the published ones."""
    published: bool = False
    """Results rank by the rules of the published board."""

    def at(self, path: str) -> PageLinks:
        """The links of the page at `path`.

        Args:
            path: "" for the first page; a folder with an index.html ("task/digits"); or a file
                ("run/digits/sgd.html").
        """
        depth = path.count("/") + (path != "" and not path.endswith(".html"))
        return PageLinks(self, path, "../" * depth)


@dataclass(frozen=True)
class PageLinks:
    """Addresses as seen from one page."""

    site: SiteMap
    path: str
    """Of this page, as given to `SiteMap.at`."""
    up: str
    """From this page to the root of the site: "", "../" and so on."""

    @property
    def own_file(self) -> str:
        """The file of this page, from the root of the site."""
        if self.path.endswith(".html"):
            return self.path
        return f"{self.path}/index.html" if self.path else "index.html"

    def page(self, path: str = "") -> str:
        """The page of a folder; "" is the first page."""
        return f"{self.up}{path}/index.html" if path else f"{self.up}index.html"

    def task(self, slug: str) -> str | None:
        """The page of a task, if it has one."""
        return self.page(f"task/{slug}") if slug in self.site.tasks else None

    def method(self, slug: str) -> str | None:
        """The page of a method, if it has one."""
        return self.page(f"method/{slug}") if slug in self.site.methods else None

    def runs(self, task: str, method: str, run: str = "") -> str:
        """The runs of a method on a task, or one of them."""
        return f"{self.up}{runs_path(task, method)}" + (f"#{run}" if run else "")

    def family(self, name: str) -> str:
        """The ranking of a family, or of "overall"."""
        return self.page(f"family/{name}")

    def static(self, name: str) -> str:
        """A style sheet or script."""
        return f"{self.up}{STATIC}/{name}"

    def data(self, name: str) -> str:
        """A file of data/v1."""
        return f"{self.up}{DATA}/{name}"

    def file(self, path: str) -> str:
        """Any other file, by its path from the root of the site."""
        return f"{self.up}{path}"


def runs_path(task: str, method: str) -> str:
    """Path of the page with all runs of a method on a task."""
    return f"run/{task}/{method}.html"


def paper_links(identifier: str) -> list[tuple[str, str]]:
    """(text, address) of each arXiv number and DOI in `identifier`, and of nothing else."""
    found = [
        (f"arXiv:{match[1]}", f"https://arxiv.org/abs/{match[1]}")
        for match in _ARXIV.finditer(identifier)
    ]
    found += [
        (f"doi:{match[1]}", "https://doi.org/" + quote(match[1], safe="/"))
        for match in _DOI.finditer(identifier)
    ]
    return found
