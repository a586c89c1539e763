"""Methods against methods: who beats whom, and mean ranks with their cliques."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from assay_leaderboard.boards.task_comparisons import mirrored
from assay_leaderboard.format import family_text, level_text, p_text
from assay_leaderboard.schema.board import CriticalDifference
from assay_leaderboard.schema.task_details import Pair
from assay_leaderboard.schema.values import PairFamily, Verdict
from assay_leaderboard.site.pictures import axes, svg
from assay_leaderboard.site.pictures.axes import Axis, number_text
from assay_leaderboard.site.pictures.frame import (
    LETTER,
    WIDTH,
    Measure,
    PictureTable,
    Plot,
    Words,
    absent,
    figure,
    names_width,
    repetitions,
)

_MOST = 24
"""Methods in a matrix: the names of more would lie on each other."""
_NAME = 15
_ROW_NAME, _WIDE_LETTER = 13, 8.2
"""Letters of a name in the matrix, whose cells it must not reach even in a wide font."""
_BAR = [(-1.0, 0.5), (1.0, 0.5), (1.0, 0.85), (-1.0, 0.85)]
_GLYPHS: dict[Verdict, Sequence[Sequence[svg.Point]]] = {
    "better": [[(0, -1), (1, 0.8), (-1, 0.8)]],
    "worse": [[(0, 1), (1, -0.8), (-1, -0.8)]],
    "equivalent": [
        [(-1, -0.55), (1, -0.55), (1, -0.2), (-1, -0.2)],
        [(-1, 0.2), (1, 0.2), (1, 0.55), (-1, 0.55)],
    ],
    "better, negligible": [[(0, -0.6), (0.6, 0.1), (-0.6, 0.1)], _BAR],
    "worse, negligible": [[(0, 0.1), (0.6, -0.6), (-0.6, -0.6)], _BAR],
    "undecided": [[(0, -0.4), (0.4, 0), (0, 0.4), (-0.4, 0)]],
    "neither completed": [],
}
"""Shapes, as fonts differ: triangles, two bars, a small triangle over a bar, a dot, nothing."""
_Cell = tuple[int, int, Verdict, float | None]
"""Row, column, the row's verdict, p."""
_LANE = 6.0
_ROW = 16.0


def win_matrix(
    key: str,
    methods: Sequence[str],
    pairs: Sequence[Pair],
    measure: Measure,
    family: PairFamily | None,
) -> Markup:
    """The verdict of the row's method against the column's, with p where there is room.

    Args:
        key: root of the ids, once on a page.
        methods: in the order of the table; the first 24 that are in `pairs` are drawn.
        pairs: all pairs of ranked methods.
        measure: of the differences.
        family: the pairs' level; None where there are no pairs.
    """
    compared = {name for pair in pairs for name in (pair.a, pair.b)}
    drawn = [name for name in methods if name in compared][:_MOST]
    place = {name: index for index, name in enumerate(drawn)}
    own = [
        (pair, pair.comparison.verdict)
        for pair in pairs
        if pair.a in place and pair.b in place and pair.comparison.verdict
    ]
    if not own or family is None:
        return absent("No verdict matrix: fewer than two methods are ranked.")
    left = 26 + _WIDE_LETTER * max(min(_ROW_NAME, len(name)) for name in drawn)
    size = min(40.0, (WIDTH - left - 6) / len(drawn))
    cells: list[_Cell] = []
    for pair, verdict in own:
        cells.append((place[pair.a], place[pair.b], verdict, pair.comparison.p))
        if other := mirrored(pair.comparison).verdict:
            cells.append((place[pair.b], place[pair.a], other, pair.comparison.p))
    parts = [_matrix_names(drawn, left, size), *_drawn_cells(cells, left, size)]
    height = 24 + size * len(drawn) + 4
    words = Words(
        f"Every pair: {measure.scored}",
        f"{len(own)} pairs: " + _counted([verdict for _, verdict in own]) + ".",
        "Row against column: triangle up: the row is better, down: worse; two bars: equivalent "
        "within the margin; a small triangle over a bar: better or worse by less than the margin; "
        "dot: undecided; nothing: no run of either completed. Columns are numbered as the rows. "
        f"Exact sign-flip p, {measure.scored}, "
        f"{repetitions(pair.comparison.n for pair, _ in own)}; {family_text(family)}."
        + (f" The first {_MOST} of {len(compared)} methods." if len(compared) > _MOST else ""),
    )
    rows = [_pair_texts(pair, measure) for pair, _ in own]
    unit = f" ({measure.format.unit})" if measure.format.unit else ""
    level = level_text(family.level)
    columns = [
        "pair",
        "verdict",
        f"difference{unit} [{level}], positive: the first is better",
        "p",
        "wins of the first, share",
        "n",
    ]
    return figure(key, "matrix", words, height, "".join(parts), PictureTable(columns, rows))


def _counted(verdicts: Sequence[Verdict]) -> str:
    """How many pairs are decided, equivalent, undecided and, if any, without a completed run."""
    decided = sum(verdict in ("better", "worse") for verdict in verdicts)
    undecided = sum(verdict == "undecided" for verdict in verdicts)
    neither = sum(verdict == "neither completed" for verdict in verdicts)
    within = len(verdicts) - decided - undecided - neither
    said = f"{decided} decided, {within} within the margin, {undecided} undecided"
    return said + (f", {neither} of methods without a completed run" if neither else "")


def _pair_texts(pair: Pair, measure: Measure) -> list[str]:
    found = pair.comparison
    return [
        f"{pair.a} against {pair.b}",
        found.verdict or "-",
        measure.format.span(found.difference, found.interval, "+"),
        p_text(found.p),
        f"{found.superiority:.2f}",
        str(found.n),
    ]


def _matrix_names(drawn: Sequence[str], left: float, size: float) -> str:
    """Numbered names of the rows, numbers of the columns, the empty diagonal."""
    parts = []
    for index, name in enumerate(drawn):
        middle = 24 + size * (index + 0.5)
        number = str(index + 1)
        parts.append(svg.text((18, middle + 4), number, "tick", "end"))
        parts.append(svg.name((24, middle + 4), name, _ROW_NAME))
        if size >= LETTER * 2 + 2 or index % 2 == 0:
            at = left + size * (index + 0.5), 17.0
            parts.append(svg.text(at, number, "tick", "middle"))
        corner = left + size * index, 24 + size * index
        parts.append(svg.rectangle(*corner, size - 1, size - 1, "self"))
    return "".join(parts)


def _drawn_cells(cells: Sequence[_Cell], left: float, size: float) -> list[str]:
    """The cells, all of one verdict in two shapes; p below the glyph where there is room."""
    parts = []
    roomy = size >= 30
    for verdict in _GLYPHS:
        style = verdict.replace(", ", " ").removesuffix(" completed")
        own = [(left + size * j, 24 + size * i, p) for i, j, found, p in cells if found == verdict]
        if not own:
            continue
        parts.append(svg.squares([(x, y) for x, y, _ in own], size - 1, f"cell {style}"))
        middle = (size - 1) * (0.34 if roomy else 0.5)
        centres = [(x + (size - 1) / 2, y + middle) for x, y, _ in own]
        parts.append(svg.glyphs(centres, _GLYPHS[verdict], min(5.0, size / 4), f"glyph {style}"))
        for x, y, p in own:
            if roomy and p is not None:
                at = x + (size - 1) / 2, y + size - 6
                parts.append(svg.text(at, _short_p(p), "small", "middle"))
    return parts


def _short_p(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def critical_difference(key: str, found: CriticalDifference | None, name: str) -> Markup:
    """Mean ranks on an axis; bars join methods that are not told apart.

    Source: Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006.

    Args:
        key: root of the ids, once on a page.
        found: the ranks and groups, or None.
        name: of the family.
    """
    if found is None or not found.mean_ranks:
        return absent("No critical-difference diagram: it takes ten tasks and three methods.")
    ranks = found.mean_ranks
    plot, lanes = _rank_plot(found)
    body = [_rank_axis(plot, found.difference), *_cliques(plot, found, lanes)]
    body += _elbows(plot, list(ranks.items()), plot.top + 12 + _LANE * max(lanes, default=0))
    half = (len(ranks) + 1) // 2
    height = plot.top + 12 + _LANE * max(lanes, default=0) + _ROW * half + 6
    words = Words(
        f"Critical difference: {name}",
        ", ".join(f"{method} {rank:.2f}" for method, rank in ranks.items()) + ".",
        f"Mean ranks over n = {found.n_tasks} tasks, 1 is best. Bars join methods closer than "
        f"Nemenyi's critical difference CD = {found.difference:.2f}; Friedman's test: "
        f"p {p_text(found.friedman_p)}. A view: ranks are not made from it.",
    )
    rows = [
        [method, f"{rank:.2f}", _memberships(method, found.groups)]
        for method, rank in ranks.items()
    ]
    table = PictureTable(["method", "mean rank, 1 is best", "bars"], rows)
    return figure(key, "critical", words, height, "".join(body), table)


def _rank_plot(found: CriticalDifference) -> tuple[Plot, list[int]]:
    """The axis, and the lane below it of each group that is drawn."""
    ranks = found.mean_ranks
    side = 10 + names_width(ranks, _NAME)
    n = max(2, len(ranks))
    ticks = sorted({1.0, *(tick for tick in axes.nice_ticks(1, n, 8) if tick == int(tick))})
    axis = Axis("", 1, n, ticks, [number_text(tick) for tick in ticks])
    plot = Plot(axis, Axis("", 0, 1, [], []), side, WIDTH - side, 62, 62)
    lanes: list[int] = []
    ends: list[float] = []
    for group in _drawn_groups(found):
        low, high = ranks[group[0]], ranks[group[-1]]
        free = next((lane for lane, end in enumerate(ends) if end < low), len(ends))
        ends[free:free + 1] = [high]  # fmt: skip
        lanes.append(free + 1)
    return plot, lanes


def _drawn_groups(found: CriticalDifference) -> list[list[str]]:
    return [group for group in found.groups if len(group) > 1]


def _rank_axis(plot: Plot, difference: float) -> str:
    """The axis with its numbers above it, and the critical difference as a length."""
    parts = [svg.line((plot.left, plot.top), (plot.right, plot.top), "base")]
    for tick, words in zip(plot.x.ticks, plot.x.texts, strict=True):
        x = plot.across(tick)
        parts.append(svg.line((x, plot.top - 4), (x, plot.top), "base"))
        parts.append(svg.text((x, plot.top - 8), words, "tick", "middle"))
    length = min(plot.across(1 + difference), plot.right) - plot.left
    ends = (plot.left, 22.0), (plot.left + length, 22.0)
    parts.append(svg.line(*ends, "base"))
    parts += [svg.line((x, 18), (x, 26), "base") for x, _ in ends]
    parts.append(svg.text((plot.left, 12), f"critical difference {difference:.2f}", "tick"))
    return "".join(parts)


def _cliques(plot: Plot, found: CriticalDifference, lanes: Sequence[int]) -> list[str]:
    ranks = found.mean_ranks
    return [
        svg.line(
            (plot.across(ranks[group[0]]) - 3, plot.top + _LANE * lane),
            (plot.across(ranks[group[-1]]) + 3, plot.top + _LANE * lane),
            "clique",
        )
        for group, lane in zip(_drawn_groups(found), lanes, strict=True)
    ]


def _elbows(plot: Plot, ranks: Sequence[tuple[str, float]], top: float) -> list[str]:
    """The better half is named on the left, best first; the others on the right, worst first."""
    parts = []
    half = (len(ranks) + 1) // 2
    for index, (method, rank) in enumerate(ranks):
        left = index < half
        y = top + _ROW * (index if left else len(ranks) - 1 - index) + 4
        x, end = plot.across(rank), plot.left - 6 if left else plot.right + 6
        parts.append(svg.polyline([(x, plot.top), (x, y), (end, y)], "elbow"))
        words = end - 4 if left else end + 4
        parts.append(svg.name((words, y + 4), method, _NAME, "", "end" if left else "start"))
    return parts


def _memberships(method: str, groups: Sequence[Sequence[str]]) -> str:
    """Numbers of the bars that hold `method`, counted from the best."""
    own = [str(number) for number, group in enumerate(groups, 1) if method in group]
    return ", ".join(own) or "-"
