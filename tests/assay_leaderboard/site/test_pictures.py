"""Pictures: well-formed, escaped, repeatable, with every number beside them."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as File
from typing import get_args

import assay_leaderboard.site
import numpy as np
import pytest
from assay_leaderboard.format import split_words
from assay_leaderboard.schema.board import CriticalDifference
from assay_leaderboard.schema.task_details import (
    BudgetPoint,
    DrawnPoint,
    Pair,
    Path,
    Sensitivity,
    TrialPoint,
)
from assay_leaderboard.schema.values import Comparison, Interval, PairFamily, Verdict
from assay_leaderboard.site import pictures
from assay_leaderboard.site.pictures import Estimate, Measure, SpentPoint
from assay_leaderboard.site.pictures.frame import names_width
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

ACCURACY = Measure("accuracy", "share", "maximize", 0.01)
LOSS = Measure("loss", "", "minimize", 0.01)
HOSTILE = "<script>alert('x')</script>\u202eevil\u0007" + "y" * 30
NAMES = ["adam", HOSTILE, 'a"b&c', "sgd", "a_method_with_a_name_of_forty_eight_letters_____"]
CSS = (File(assay_leaderboard.site.__file__).parent / "static" / "pictures.css").read_text("utf-8")


def interval(value: float, half: float) -> Interval:
    return Interval(low=value - half, high=value + half)


def curve(value: float, n: int = 12, points: int = 5) -> list[DrawnPoint]:
    return [
        DrawnPoint(
            batch=10 * i, passes=20.0 * i, seconds=1.0, n=n, val=value, test=value + i / 50,
            interval=interval(value + i / 50, 0.01) if n > 1 else None,
        )
        for i in range(1, points + 1)
    ]  # fmt: skip


def tuning(values: list[float], rate: str = "reference.lr") -> Sensitivity:
    trials = [
        TrialPoint(
            repetition=0, point=i, hyperparameters={rate: 0.001 * 2**i}, val=value, test=value,
            status="completed", selected=value == max(values), run=f"{i:016x}",
        )
        for i, value in enumerate(values)
    ]  # fmt: skip
    return Sensitivity(
        n=len(trials), default_gap=0, near_best=0.5, lr_decades=1, diverged=0, ranges={},
        trials=trials,
    )  # fmt: skip


def pair(a: str, b: str, verdict: Verdict, n: int = 12) -> Pair:
    found = Comparison(
        n=n, difference=0.0123, interval=interval(0.0123, 0.0051), p=0.0312, superiority=0.75,
        verdict=verdict, detectable=0.0051,
    )  # fmt: skip
    return Pair(a, b, found)


FAMILY = PairFamily(pairs=10, passed=4, rate=0.05, level=0.98)


def pairs(names: list[str]) -> list[Pair]:
    verdicts = itertools.cycle(get_args(Verdict))
    return [
        pair(a, b, v) for (a, b), v in zip(itertools.combinations(names, 2), verdicts, strict=False)
    ]


def ranks(names: list[str]) -> CriticalDifference:
    return CriticalDifference(
        mean_ranks={name: 1.0 + 0.9 * i for i, name in enumerate(names)},
        n_tasks=7, friedman_p=0.0123, difference=2.5, groups=[names[:3], names[2:]],
    )  # fmt: skip


def walk(seed: int, dimensions: int, n: int = 30) -> Path:
    steps = np.random.default_rng(seed).normal(0, 0.3, (n, dimensions)).cumsum(axis=0)
    return Path(repetition=0, start=0, points=[tuple(step) for step in steps.tolist()])


AXIS = np.linspace(-2, 2, 21)
BOWL = (AXIS[:, None] ** 2 + 10 * AXIS[None, :] ** 2).ravel().tolist()
WALKS = {name: [walk(i, 2)] for i, name in enumerate(NAMES)}
STEPS = {name: [(0.0, 1.0), (10.0 + i, 0.5), (20.0 + i, 0.25)] for i, name in enumerate(NAMES)}
SPENT = [
    SpentPoint(name, 1 + i, 0.9 - (i - 2) ** 2 / 50, interval(0.9, 0.01), 12, interval(1 + i, 0.3))
    for i, name in enumerate(NAMES)
]
ESTIMATES = [
    Estimate(name, 0.95 - i / 50, interval(0.95 - i / 50, 0.01), 12, (1 + i // 2, 5))
    for i, name in enumerate(NAMES)
]

ALL: dict[str, Callable[[], Markup]] = {
    "curves": lambda: pictures.learning_curves(
        "k", {name: curve(0.5 + i / 20) for i, name in enumerate(NAMES)}, ACCURACY
    ),
    "budget": lambda: pictures.budget_curves(
        "k",
        {
            name: [
                BudgetPoint(k=k, expected=0.8 + k / 100, interval=interval(0.8, 0.02), rank=None)
                for k in range(1, 9)
            ]
            for name in NAMES
        },
        ACCURACY,
    ),
    "profile": lambda: pictures.performance_profile("k", STEPS, 7),
    "survival": lambda: pictures.survival("k", STEPS, "easy (90%)", 12, "validation"),
    "reached": lambda: pictures.reached(
        "k", {n: s[1:] for n, s in STEPS.items()}, 36, "validation"
    ),
    "intervals": lambda: pictures.intervals("k", ESTIMATES, ACCURACY, "Mean", NAMES[0]),
    "sensitivity": lambda: pictures.sensitivity_strip(
        "k", {name: tuning([0.5, 0.9, 0.7]) for name in NAMES}, ACCURACY
    ),
    "rate": lambda: pictures.learning_rate("k", tuning([0.5, 0.9, 0.7]), ACCURACY, HOSTILE),
    "cost": lambda: pictures.cost_against_score("k", SPENT, ACCURACY, "seconds"),
    "matrix": lambda: pictures.win_matrix("k", NAMES, pairs(NAMES), ACCURACY, FAMILY),
    "critical": lambda: pictures.critical_difference("k", ranks(NAMES), "noise"),
    "contour": lambda: pictures.trajectories("k", [AXIS, AXIS], BOWL, WALKS, "a bowl"),
    "function": lambda: pictures.trajectories(
        "k", [AXIS.tolist()], (AXIS**2).tolist(), {n: [walk(3, 1)] for n in NAMES}, "a parabola"
    ),
}


def parsed(picture: Markup) -> ET.Element:
    return ET.fromstring(str(picture))


def cells(root: ET.Element) -> list[str]:
    return ["".join(cell.itertext()) for cell in root.iter() if cell.tag in ("td", "th")]


def checked(picture: Markup) -> ET.Element:
    """The figure, after the rules that hold for every picture."""
    root = parsed(picture)
    assert root.tag == "figure"
    parts = [part.tag for part in root]
    assert parts == ["svg", "details", "figcaption"], "HTML wants the caption first or last"
    drawing = root[0]
    assert drawing.tag == "svg" and drawing.get("role") == "img"
    title, description = drawing[0], drawing[1]
    assert (title.tag, description.tag) == ("title", "desc")
    assert drawing.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text and description.text
    caption = root.find("figcaption")
    assert caption is not None and re.search(r"n = \d", caption.text or "")
    assert root.find("details/div/table/caption") is not None
    assert {th.get("scope") for th in root.iter("th")} <= {"col", "row"}
    for element in root.iter():
        assert element.tag not in ("script", "style", "foreignObject", "image", "use", "a")
        assert not [name for name in element.attrib if name == "style" or name.startswith("on")]
    for value in re.findall(r'(?:x|y|x1|y1|x2|y2|cx|cy|points|d)="([^"]*)"', str(picture)):
        assert not re.search(r"nan|inf|\de|\.\d\d", value), value
    widths = {len(row) for row in root.iter("tr")}
    assert len(widths) == 1, "a row of the table is too short"
    return root


@pytest.mark.parametrize("kind", ALL)
def test_every_picture_is_well_formed_escaped_and_repeatable(kind: str) -> None:
    picture = ALL[kind]()
    root = checked(picture)
    assert picture == ALL[kind]()
    assert "\u202e" not in picture and "\u0007" not in picture
    said = "".join(root.itertext())
    assert "<script>alert('x')</script>?evil?" in said
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and all(name and name.startswith("k") for name in ids)


@pytest.mark.parametrize("kind", ALL)
def test_styles_exist(kind: str) -> None:
    used = {
        name for e in parsed(ALL[kind]())[0].iter() for name in (e.get("class") or "").split()
    } - {"clip"}
    assert used <= set(re.findall(r"\.([a-z][a-z0-9-]*)", CSS))


@pytest.mark.parametrize("kind", ALL)
def test_labels_stay_inside_the_picture(kind: str) -> None:
    """At the largest letters, 13 units with 6.9 a character."""
    drawing = parsed(ALL[kind]())[0]
    height = float(drawing.get("viewBox", "").split()[3])
    for text in drawing.iter("text"):
        x, y, wide = float(text.get("x", "")), float(text.get("y", "")), 6.9 * len(text.text or "")
        anchor = set((text.get("class") or "").split())
        left = x - (wide if "end" in anchor else wide / 2 if "middle" in anchor else 0)
        assert left >= -2 and left + wide <= 442, text.text
        assert 9 <= y <= height, text.text


def test_a_drawing_is_a_file_of_its_own() -> None:
    alone = ET.fromstring(pictures.standalone(ALL["curves"]()))
    assert alone.tag == "{http://www.w3.org/2000/svg}svg"
    assert [part.tag.split("}")[1] for part in alone][:3] == ["style", "title", "desc"]
    assert pictures.standalone(pictures.survival("k", {}, "easy", 0, "validation")) == ""


@pytest.mark.parametrize(
    "picture",
    [
        lambda: pictures.learning_curves("k", {"adam": []}, ACCURACY),
        lambda: pictures.budget_curves("k", {}, ACCURACY),
        lambda: pictures.performance_profile("k", {}, 0),
        lambda: pictures.survival("k", {"adam": []}, "easy", 0, "validation"),
        lambda: pictures.reached("k", {"adam": []}, 0, "validation"),
        lambda: pictures.intervals("k", [], ACCURACY, "Mean"),
        lambda: pictures.sensitivity_strip("k", {"adam": tuning([])}, ACCURACY),
        lambda: pictures.learning_rate("k", tuning([0.5], "momentum"), ACCURACY, HOSTILE),
        lambda: pictures.cost_against_score("k", [], ACCURACY, "seconds"),
        lambda: pictures.win_matrix("k", ["adam"], [], ACCURACY, None),
        lambda: pictures.critical_difference("k", None, "noise"),
        lambda: pictures.trajectories("k", [AXIS, AXIS], BOWL, {}, "a bowl"),
        lambda: pictures.trajectories("k", [AXIS, AXIS], BOWL, {"adam": [walk(0, 1)]}, "a bowl"),
    ],
)
def test_without_data_a_paragraph_says_so(picture: Callable[[], Markup]) -> None:
    root = parsed(picture())
    assert root.tag == "p" and root.text and len(root) == 0


def test_the_numbers_of_curves() -> None:
    root = checked(pictures.learning_curves("k", {"adam": curve(0.5), "sgd": curve(0.6)}, ACCURACY))
    table = cells(root)
    assert table[:3] == ["method", "passes: 20", "passes: 40"]
    assert "52.0 [51.0, 53.0], n = 12" in table and "70.0 [69.0, 71.0], n = 12" in table


def test_curves_over_different_passes_are_listed_point_by_point() -> None:
    shifted = {f"m{i}": [replace(p, passes=p.passes + i) for p in curve(0.5)] for i in range(4)}
    root = checked(pictures.learning_curves("k", shifted, ACCURACY))
    assert len(list(root.iter("tr"))) == 1 + 4 * 5
    assert [c for c in cells(root) if c == "23"], "the x of the fourth curve's first point"


def test_more_than_eight_curves_are_listed_by_their_last_points() -> None:
    many = {f"m{i}": curve(0.3 + i / 100) for i in range(100)}
    picture = pictures.learning_curves("k", many, ACCURACY)
    root = checked(picture)
    assert len(root[0].findall("polyline")) == 8
    assert "92 more" in (root.findtext("figcaption") or "")
    last = next(row for row in root.iter("tr") if "".join(row[0].itertext()) == "m99")
    assert [cell.text for cell in last[1:]] == [None] * 4 + ["139.0 [138.0, 140.0], n = 12"]


def test_the_numbers_of_steps_are_those_that_are_drawn() -> None:
    dense = {"adam": [(float(i), 1 - i / 5000) for i in range(5000)]}
    picture = pictures.survival("k", dense, "easy", 12, "validation")
    root = checked(picture)
    drawn = next(e.get("d", "") for e in root[0].iter("path") if e.get("class") == "line s0")
    n_points = len(root.findall("details/div/table/tbody/tr"))
    assert drawn.count("H") == n_points  # the last leads to the right end of the axis
    assert 100 < n_points < 200
    assert cells(root)[-1] == "0.0", "the last step is kept"


def test_the_numbers_of_rows_points_pairs_and_ranks() -> None:
    table = cells(checked(ALL["intervals"]()))
    assert table[5:8] == ["1-5", "95.0 [94.0, 96.0]", "12"]
    table = cells(checked(ALL["matrix"]()))
    assert table[7:12] == ["better", "+1.2 [+0.7, +1.7]", "0.0312", "0.75", "12"]
    assert {"1.00", "1.90", "4.60", "1, 2"} <= set(cells(checked(ALL["critical"]())))
    assert {"1 [0.7, 1.3]", "82.0 [89.0, 91.0]", "yes", "no"} <= set(cells(checked(ALL["cost"]())))
    table = cells(checked(ALL["sensitivity"]()))
    assert table[8:16] == ["adam", "50.0", "90.0", "50.0", "70.0", "90.0", "3", "0"]


def test_every_point_of_a_path_is_among_the_numbers() -> None:
    path = walk(5, 2, 40)
    root = checked(pictures.trajectories("k", [AXIS, AXIS], BOWL, {"adam": [path]}, "a bowl"))
    found = [cell.text for cell in root.iter("td")]
    wanted = [f"{x:.4g}, {y:.4g}".replace("-", "\N{MINUS SIGN}") for x, y in path.points]
    assert found == wanted


def test_a_contour_line_follows_the_function() -> None:
    """Of x^2 + 10 y^2 each line is an ellipse: it keeps the value it is drawn for."""
    axis = np.linspace(-2, 2, 61)
    bowl = (axis[:, None] ** 2 + 10 * axis[None, :] ** 2).ravel().tolist()
    path = Path(repetition=0, start=0, points=[(-1.0, -1.0), (1.0, 1.0)])
    root = checked(pictures.trajectories("k", [axis, axis], bowl, {"adam": [path]}, "a bowl"))
    line = next(e for e in root.iter("polyline") if e.get("class") == "line s0")
    (x0, y0), (x1, y1) = _points(line)
    inner = next(e for e in root.iter("polyline") if e.get("class") == "contour")
    values = [
        (-1 + 2 * (x - x0) / (x1 - x0)) ** 2 + 10 * (-1 + 2 * (y - y0) / (y1 - y0)) ** 2
        for x, y in _points(inner)
    ]
    assert len(values) > 20 and np.ptp(values) < 0.1 * np.mean(values)


def _points(element: ET.Element) -> list[list[float]]:
    return [[float(v) for v in p.split(",")] for p in element.get("points", "").split()]


def test_a_matrix_shows_both_sides_of_a_pair() -> None:
    root = checked(
        pictures.win_matrix("k", ["a", "b"], [pair("b", "a", "better")], ACCURACY, FAMILY)
    )
    place = {}
    for cell in root.iter("path"):
        if (cell.get("class") or "").startswith("cell"):
            x, y = re.match(r"M([\d.]+),([\d.]+)h", cell.get("d", "")).groups()  # type: ignore[union-attr]
            place[cell.get("class")] = float(x), float(y)
    better, worse = place["cell better"], place["cell worse"]
    assert better[1] > worse[1] and better[0] < worse[0], "b is the lower row, a the left column"


def test_a_matrix_of_a_hundred_methods_shows_the_first_24() -> None:
    names = [f"method_{i}" for i in range(100)]
    root = checked(pictures.win_matrix("k", names, pairs(names), ACCURACY, FAMILY))
    assert len(root.findall("details/div/table/tbody/tr")) == 24 * 23 / 2
    assert "first 24 of 100" in (root.findtext("figcaption") or "")


def test_critical_difference_bars_join_their_groups() -> None:
    found = ranks(["a", "b", "c", "d"])
    root = checked(pictures.critical_difference("k", found, "noise"))
    bars = [e for e in root.iter("line") if e.get("class") == "clique"]
    elbows = [_points(e)[0][0] for e in root.iter("polyline") if e.get("class") == "elbow"]
    spans = [(float(e.get("x1", "")), float(e.get("x2", "")), e.get("y1")) for e in bars]
    for (low, high, _), group in zip(spans, ((0, 2), (2, 3)), strict=True):
        assert low == pytest.approx(elbows[group[0]] - 3, abs=0.2)
        assert high == pytest.approx(elbows[group[1]] + 3, abs=0.2)
    assert len({y for *_, y in spans}) == 2, "overlapping bars lie in lanes of their own"
    assert "Friedman's test: p 0.0123." in "".join(root.itertext())
    tiny = pictures.critical_difference("k", found.model_copy(update={"friedman_p": 1e-9}), "noise")
    assert "p <0.0001." in "".join(checked(tiny).itertext()), "no p is 0"


VALUES = st.one_of(
    st.floats(-1e100, 1e100, allow_nan=False), st.sampled_from([0.0, 1e100, -1e100, 1e-300, 5e-324])
)


@given(st.lists(VALUES, min_size=1, max_size=12), st.sampled_from([ACCURACY, LOSS]))
@settings(max_examples=40)
def test_any_values_can_be_drawn(values: list[float], measure: Measure) -> None:
    curves = {
        f"m{i}": [
            DrawnPoint(batch=1, passes=abs(v), seconds=1, n=1, val=v, test=v, interval=None)
            for v in sorted(values[i:], key=abs)
        ]
        for i in range(len(values))
    }
    checked(pictures.learning_curves("k", curves, measure))
    rows = [Estimate(f"m{i}", v, None, 1) for i, v in enumerate(values)]
    checked(pictures.intervals("k", rows, measure, "Mean", "m0"))
    checked(pictures.sensitivity_strip("k", {"m": tuning(values)}, measure))
    checked(pictures.learning_rate("k", tuning(values), measure, "m"))
    spent = [SpentPoint(f"m{i}", abs(v), v, None, 1) for i, v in enumerate(values)]
    checked(pictures.cost_against_score("k", spent, measure, "seconds"))
    path = Path(repetition=0, start=0, points=[(v, -v) for v in values])
    checked(pictures.trajectories("k", [AXIS, AXIS], BOWL, {"m": [path]}, "a bowl"))
    line = Path(repetition=0, start=0, points=[(v,) for v in values])
    checked(pictures.trajectories("k", [AXIS], AXIS.tolist(), {"m": [line]}, "a line"))


@pytest.mark.parametrize("n", [1, 2, 100])
def test_any_number_of_methods_can_be_drawn(n: int) -> None:
    names = [f"method_{i:02d}" for i in range(n)]
    rows = [Estimate(name, 0.9, interval(0.9, 0.0), 12, (1, n)) for name in names]
    picture = pictures.intervals("k", rows, ACCURACY, "Mean", names[0])
    assert len(list(checked(picture).iter("circle"))) == n
    checked(pictures.critical_difference("k", ranks(names), "noise"))
    checked(pictures.sensitivity_strip("k", {name: tuning([0.5, 0.5]) for name in names}, ACCURACY))
    spent = [SpentPoint(name, 1.0, 0.9, None, 12) for name in names]
    checked(pictures.cost_against_score("k", spent, ACCURACY, "seconds"))


def test_a_constant_function_has_no_contour_lines() -> None:
    flat = [1.0] * len(BOWL)
    root = checked(pictures.trajectories("k", [AXIS, AXIS], flat, WALKS, "a plane"))
    assert not [e for e in root.iter("polyline") if e.get("class") == "contour"]


def test_pictures_are_small() -> None:
    ten = {f"method_{i}": curve(0.5 + i / 50, points=20) for i in range(10)}
    picture = pictures.learning_curves("k", ten, ACCURACY)
    assert len(picture.split("<details>")[0].encode()) < 15_000


def test_a_picture_names_its_split_and_its_statistic() -> None:
    noisy = Measure("accuracy", "share", "maximize", 0.01, 0.95, *split_words("noisy_labels"))
    text = str(pictures.sensitivity_strip("k", {"adam": tuning([0.5, 0.9])}, noisy))
    assert "Validation (noisy labels) accuracy" in text
    clean = "the test set, as the validation labels are noisy"
    assert clean in str(pictures.survival("k", STEPS, "easy", 12, noisy.targets))
    drawn = str(pictures.intervals("k", ESTIMATES, ACCURACY, "Interquartile mean over tasks"))
    assert "Interquartile mean over tasks: test accuracy" in drawn


def test_a_matrix_says_its_level_and_number_of_pairs() -> None:
    text = pictures.win_matrix("k", NAMES, pairs(NAMES), ACCURACY, FAMILY)
    assert "at level 98 %" in text and "over 10 pairs" in text


def test_a_name_of_wide_letters_has_more_room() -> None:
    wide = names_width(["muon_adamw"], 15)
    assert wide > names_width(["sgd", "rprop_plus"], 15)
    assert names_width(["sgd", "muon_adamw"], 15) == wide
    assert names_width(["a" * 99], 15) == names_width(["a" * 14 + "…"], 15)
