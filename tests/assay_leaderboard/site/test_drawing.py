"""What pictures are drawn with: ticks, fronts, short names, colours, dashes and markers."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import assay_leaderboard.site
import numpy as np
import pytest
from assay_leaderboard.site.pictures import axes, svg
from assay_leaderboard.site.pictures.scatter import pareto
from hypothesis import given
from hypothesis import strategies as st

_CSS = (Path(assay_leaderboard.site.__file__).parent / "static" / "pictures.css").read_text("utf-8")


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 9))
def test_ticks_are_round_numbers_in_range(low: float, width: float, n: int) -> None:
    high = low + width
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return
    ticks = axes.nice_ticks(low, high, n)
    assert 1 <= len(ticks) <= n + 2
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-3


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ([0.0, 0.1, 0.2], ["0", "0.1", "0.2"]),
        ([-1.0, -0.5, 0.0], ["\u22121.0", "\u22120.5", "0"]),
        ([0.0, 500.0, 1000.0], ["0", "500", "1000"]),
        ([0.0, 5000.0, 10000.0], ["0", "5k", "10k"]),
        ([0.0, 5e5, 1e6], ["0", "0.5M", "1.0M"]),
        ([0.0, 2e-5, 4e-5], ["0", "2·10⁻⁵", "4·10⁻⁵"]),
        ([0.0, 1e20], ["0", "10²⁰"]),
        ([99.5], ["100"]),
    ],
)
def test_tick_texts(ticks: list[float], texts: list[str]) -> None:
    assert axes.tick_texts(ticks) == texts


def test_axes_are_logarithmic_where_values_span_orders_of_magnitude() -> None:
    axis = axes.fitting("loss", [1e-5, 1.0])
    assert axis.log and axis.at(1e-2) - axis.at(1e-4) == pytest.approx(axis.at(1) - axis.at(1e-2))
    assert not axes.fitting("loss", [0.0, 1.0]).log
    assert not axes.fitting("share", [1e-5, 1.0], factor=100).log


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=9))
def test_pareto_front_by_brute_force(points: list[tuple[int, int]]) -> None:
    def beaten(p: tuple[int, int]) -> bool:
        return any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)

    found = pareto([(float(x), float(y)) for x, y in points], maximize=True)
    assert sorted(found) == [i for i, p in enumerate(points) if not beaten(p)]
    mirrored = pareto([(float(x), -float(y)) for x, y in points], maximize=False)
    assert mirrored == found


@given(st.text(max_size=60), st.integers(2, 30))
def test_shortened_names_keep_both_ends(words: str, limit: int) -> None:
    short = svg.shortened(words, limit)
    assert len(short) <= limit
    if len(words) > limit:
        head, tail = short.split("…") if short.count("…") == 1 else (words[0], "")
        assert words.startswith(head) and words.endswith(tail)


def test_colours_keep_their_contrast_in_both_themes() -> None:
    """WCAG 2.2, 1.4.11: 3 to 1 for what carries meaning; 1.4.3: 4.5 to 1 for words."""
    for theme in _themes():
        words = {"ink", "soft"}
        marks = {f"s{i}" for i in range(svg.N_STYLES)} | {"better", "worse", "equal", "base"}
        assert words | marks <= theme.keys()
        for name in words | marks:
            assert _contrast(theme[name], theme["page"]) >= (4.5 if name in words else 3), name


def test_series_differ_in_colour_dashes_and_marker() -> None:
    dashes = [
        re.findall(rf"\.line\.s{i} {{ stroke-dasharray: ([\d. ]+);", _CSS) or [""]
        for i in range(svg.N_STYLES)
    ]
    assert len({found[0] for found in dashes}) == svg.N_STYLES
    shapes = {re.sub(r' class="[^"]*"', "", svg.markers([(0, 0)], i)) for i in range(svg.N_STYLES)}
    assert len(shapes) == svg.N_STYLES


# Complete loss of one kind of cone, on linear RGB: Machado, Oliveira and Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 2009.
_EYES = {
    "usual": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.043, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}  # fmt: skip
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.mark.parametrize("eyes", _EYES)
def test_colours_of_series_stay_apart_for_all_eyes(eyes: str) -> None:
    """CIE 1976 distances; about 2 is the least that is noticed side by side."""
    for theme in _themes():
        seen = [_lab(np.array(_EYES[eyes]) @ _linear(theme[f"s{i}"])) for i in range(svg.N_STYLES)]
        assert min(math.dist(a, b) for a, b in itertools.combinations(seen, 2)) > 10


def _themes() -> list[dict[str, str]]:
    """Colours by name, light and dark."""
    found = re.findall(r"--picture-(\w+): light-dark\((#\w{6}), (#\w{6})\)", _CSS)
    return [{name: light for name, light, _ in found}, {name: dark for name, _, dark in found}]


def _lab(linear: np.ndarray) -> np.ndarray:
    ratios = _XYZ @ np.clip(linear, 0, 1) / _XYZ.sum(axis=1)
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _contrast(a: str, b: str) -> float:
    bright, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    return float(_XYZ[1] @ _linear(colour))


def _linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def test_words_and_places_do_not_mix() -> None:
    points = [(1.04, 2.0), (-0.04, math.nan), (3e9, 7.25)]
    drawn = svg.texts(points, ["10.0 %", "%s", "<a-0.0>"], "tick", "end")
    assert drawn == (
        '<text x="1" y="2" class="tick end">10.0 %</text>'
        '<text x="0" y="-2000" class="tick end">%s</text>'
        '<text x="2000" y="7.2" class="tick end">&lt;a-0.0&gt;</text>'
    )
    assert drawn == "".join(
        [
            svg.text(at, words, "tick", "end")
            for at, words in zip(points, ["10.0 %", "%s", "<a-0.0>"], strict=True)
        ]
    )
    assert svg.texts([], []) == svg.dots([], 3, "dot") == svg.rules([], 0, 1, "grid") == ""
    assert svg.rules([2, 4.04], 0, 10, "grid") == '<path class="grid" d="M0,2H10M0,4H10"/>'
