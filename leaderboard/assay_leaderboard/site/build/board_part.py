"""The part of a site about the whole board: its pages, its data and the table of all runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from assay_leaderboard.format import plain
from assay_leaderboard.site.build.family_part import FamilyPart
from assay_leaderboard.site.build.task_part import TaskResults
from assay_leaderboard.site.exports import atom, bibtex, csv_tables, json_twins
from assay_leaderboard.site.html.links import DATA, STATIC, SiteMap
from assay_leaderboard.site.output import OutputFile, described, write
from assay_leaderboard.site.pages import compare_scripts
from assay_leaderboard.site.views import SiteView

Content = Iterable[tuple[str, str | bytes]]
"""Paths and what to write there."""


@dataclass(frozen=True)
class BoardResults:
    """What the files of the board are made from."""

    tasks: TaskResults
    families: Mapping[str, FamilyPart]
    view: SiteView


def write_pages(
    results: BoardResults, draw: Callable[[SiteView, SiteMap], Mapping[str, str]]
) -> list[OutputFile]:
    """Write the pages that one of `BOARD_PAGES` draws."""
    return _written(results, draw(results.view, results.tasks.inputs.site).items())


def write_data(
    results: BoardResults, content: Callable[[BoardResults], Content]
) -> list[OutputFile]:
    """Write the files of one of `BOARD_DATA`."""
    return _written(results, content(results))


def write_runs(results: BoardResults) -> list[OutputFile]:
    """Write the table of all runs, as CSV and Parquet."""
    root, names = results.tasks.root, (f"{DATA}/results.csv", f"{DATA}/results.parquet")
    rows = (part.run_rows for part in results.tasks.parts.values())
    csv_tables.write_runs(rows, root / names[0], root / names[1])
    return [described(root, name) for name in names]


def _written(results: BoardResults, content: Content) -> list[OutputFile]:
    return [write(results.tasks.root, path, text) for path, text in content]


def _comparisons(results: BoardResults) -> Content:
    tasks = {slug: part.compared for slug, part in results.tasks.parts.items()}
    families = {name: part.compared for name, part in results.families.items()}
    return compare_scripts(results.view, tasks, families)


def _board(results: BoardResults) -> Content:
    return json_twins.of_board(results.view.board)


def _other_data(results: BoardResults) -> Content:
    return json_twins.of_site(results.view)


def _fixed(results: BoardResults) -> Content:
    """Feeds, citations and sources of methods, schemas, and site/static."""
    inputs, cards = results.tasks.inputs, results.view.methods
    site = inputs.site
    tasks = {slug: card.title for slug, card in results.view.tasks.items() if slug in site.tasks}
    methods = {slug: card.title if card else slug for slug, card in cards.items()}
    yield from atom.feeds(results.view.log, tasks, methods).items()
    for slug, card in cards.items():
        yield f"method/{slug}/cite.bib", bibtex.of_method(slug, card)
    for slug, (_, ref) in inputs.catalogue.methods.items():
        yield f"method/{slug}/source.txt", source_text(inputs.flags.sources[ref.code])
    yield from json_twins.schemas()
    for path in resources.files("assay_leaderboard.site").joinpath("static").iterdir():
        yield f"{STATIC}/{path.name}", path.read_bytes()


def source_text(source: Mapping[str, bytes]) -> str:
    """The files of a submission one after the other, without characters that steer a terminal."""
    parts = []
    for name, data in sorted(source.items()):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = f"{len(data):,} bytes of data"
        lines = "\n".join(plain(line.expandtabs()) for line in text.splitlines())
        parts.append(f"==== {name}\n{lines}\n")
    return "\n".join(parts)


BOARD_DATA = (_comparisons, _board, _other_data, _fixed)
"""What makes the files that are not pages, the longest work first."""
