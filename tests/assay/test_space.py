from __future__ import annotations

import math
import warnings
from typing import Annotated, Any

import optuna
import pytest
from assay.engine.points import draw_points, points
from assay.errors import PluginError
from assay.space import (
    Choice,
    ChoiceRange,
    FloatRange,
    Hyperparameters,
    IntRange,
    IntUniform,
    LogInt,
    LogUniform,
    Space,
    Uniform,
    checked_values,
    space_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = st.text("abcd_", min_size=1, max_size=4)
FLOATS = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-9, 1e6)


@st.composite
def ranges_with_default(draw: st.DrawFn) -> tuple[Any, Any]:
    kind = draw(st.sampled_from(["float", "log", "int", "choice"]))
    if kind == "choice":
        values = st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1e-4, "a", "b"])
        options = draw(st.lists(values, min_size=1, max_size=5, unique_by=repr))
        return ChoiceRange(options=tuple(options)), draw(st.sampled_from(options))
    if kind == "int":
        low, default, high = sorted(draw(st.tuples(*[st.integers(-1000, 1000)] * 3)))
        return IntRange(low=low, high=high), default
    low, default, high = sorted(draw(st.tuples(*[POSITIVE if kind == "log" else FLOATS] * 3)))
    return FloatRange(low=low, high=high, log=kind == "log"), default


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    found = draw(st.dictionaries(NAMES, ranges_with_default(), max_size=4))
    fixed = draw(st.dictionaries(NAMES.map("fixed_{}".format), st.booleans() | FLOATS, max_size=2))
    return Space(
        ranges={name: pair[0] for name, pair in found.items()},
        defaults={**{name: pair[1] for name, pair in found.items()}, **fixed},
    )


def varies(found: Any) -> bool:
    if isinstance(found, ChoiceRange):
        return len(found.options) > 1
    return bool(found.low < found.high)


@settings(max_examples=40, deadline=None)
@given(spaces(), st.integers(0, 2**63 - 1), st.integers(1, 8), st.integers(1, 8))
def test_points(space: Space, seed: int, k: int, more: int) -> None:
    drawn = draw_points(space, k, seed)
    assert drawn[0] == space.defaults
    assert len(drawn) == (k if any(map(varies, space.ranges.values())) else 1)
    for point in drawn:
        assert set(point) == set(space.defaults)
        for name, value in point.items():
            if name in space.ranges:
                assert value in space.ranges[name]
            else:
                assert value == space.defaults[name]
    assert draw_points(space, k, seed) == drawn
    assert draw_points(space, max(k, more), seed)[: min(k, more)] == drawn[: min(k, more)]


def test_points_cover_choices_and_both_ends_of_a_log_range() -> None:
    space = Space(
        ranges={
            "lr": FloatRange(low=1e-5, high=1.0, log=True),
            "depth": IntRange(low=1, high=3),
            "decay": ChoiceRange(options=(0.0, 1e-4, 1e-3, 1e-2)),
        },
        defaults={"lr": 1e-3, "depth": 1, "decay": 0.0},
    )
    drawn = draw_points(space, 17, seed=3)[1:]
    assert {point["decay"] for point in drawn} == {0.0, 1e-4, 1e-3, 1e-2}
    assert {point["depth"] for point in drawn} == {1, 2, 3}
    decades = {math.floor(-math.log10(float(point["lr"]))) for point in drawn}
    assert decades == {0, 1, 2, 3, 4}
    counts = [sum(point["decay"] == option for point in drawn) for option in (0.0, 1e-4, 1e-3)]
    assert max(counts) - min(counts) <= 1


def test_points_depend_on_the_seed_and_not_on_the_order_of_fields() -> None:
    ranges = {"a": FloatRange(low=0, high=1), "b": FloatRange(low=0, high=1)}
    space = Space(ranges=ranges, defaults={"a": 0.5, "b": 0.5})
    turned = Space(ranges=dict(reversed(ranges.items())), defaults={"b": 0.5, "a": 0.5})
    assert draw_points(space, 5, 1) == draw_points(turned, 5, 1)
    assert draw_points(space, 5, 1) != draw_points(space, 5, 2)


def test_points_are_those_of_optunas_sampler() -> None:
    space = Space(
        ranges={
            "choice": ChoiceRange(options=("a", "b", "c")),
            "log": FloatRange(low=1e-5, high=1.0, log=True),
            "n": IntRange(low=1, high=9),
            "n_log": IntRange(low=1, high=900, log=True),
            "x": FloatRange(low=-1.0, high=3.0),
        },
        defaults={"choice": "b", "log": 0.1, "n": 2, "n_log": 2, "x": 0.0, "fixed": 7},
    )
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        "choice": optuna.distributions.IntDistribution(0, 2),
        "log": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True),
        "n": optuna.distributions.IntDistribution(1, 9),
        "n_log": optuna.distributions.IntDistribution(1, 900, log=True),
        "x": optuna.distributions.FloatDistribution(-1.0, 3.0),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=11)
    study = optuna.create_study(sampler=sampler)
    first = {"choice": 1, "log": 0.1, "n": 2, "n_log": 2, "x": 0.0}
    study.add_trial(optuna.create_trial(params=first, distributions=distributions, value=0.0))
    for point in draw_points(space, 12, 11)[1:]:
        drawn = study.ask(distributions).params
        assert point["choice"] == "abc"[drawn["choice"]]
        assert (point["n"], point["n_log"]) == (drawn["n"], drawn["n_log"])
        assert point["log"] == pytest.approx(drawn["log"], rel=1e-5)
        assert point["x"] == pytest.approx(drawn["x"], rel=1e-5)


def test_equal_spaces_have_equal_points_and_repetitions_others() -> None:
    ranges = {"lr": FloatRange(low=1e-4, high=1.0, log=True)}
    space = Space(ranges=ranges, defaults={"lr": 0.1})
    assert points(space, 3, 8) == points(space.model_copy(deep=True), 3, 8)
    assert points(space, 3, 4) == points(space, 3, 8)[:4]
    drawn = {str(points(space, repetition, 8)[1:]) for repetition in range(16)}
    assert len(drawn) == 16
    moved = Space(ranges=ranges, defaults={"lr": 0.2})
    assert points(moved, 3, 8)[1:] != points(space, 3, 8)[1:]
    points(space, 3, 8)[0]["lr"] = 7.0  # a copy: no caller changes another's points
    assert points(space, 3, 8)[0] == {"lr": 0.1}


def test_merged_prefixes_the_other_space() -> None:
    own = Space(ranges={"lr": FloatRange(low=0, high=1)}, defaults={"lr": 0.5, "eps": 1e-8})
    merged = own.merged("reference.", own)
    assert set(merged.ranges) == {"lr", "reference.lr"}
    assert set(merged.defaults) == {"lr", "eps", "reference.lr", "reference.eps"}


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_a_space_round_trips_through_json(space: Space) -> None:
    again = Space.model_validate_json(space.model_dump_json())
    assert again == space
    kinds = {name: type(value) for name, value in space.defaults.items()}
    assert {name: type(value) for name, value in again.defaults.items()} == kinds


class Good(Hyperparameters):
    lr: Annotated[float, LogUniform(1e-5, 1.0)] = 1e-3
    momentum: Annotated[float, Uniform(0.0, 1.0)] = 0.9
    power: Annotated[int, IntUniform(1, 4)] = 2
    nesterov: Annotated[bool, Choice((False, True))] = True
    eps: float = 1e-8


def test_space_of_reads_name_type_default_and_range_from_one_place() -> None:
    space = space_of(Good)
    assert space.defaults == Good().model_dump()
    assert space.ranges == {
        "lr": FloatRange(low=1e-5, high=1.0, log=True),
        "momentum": FloatRange(low=0.0, high=1.0),
        "power": IntRange(low=1, high=4),
        "nesterov": ChoiceRange(options=(False, True)),
    }


class Bad(Hyperparameters):
    nothing: float
    wrong: Any = None
    outside: Annotated[float, Uniform(0.0, 1.0)] = 2.0
    backwards: Annotated[float, Uniform(1.0, 0.0)] = 0.5
    zero: Annotated[float, LogUniform(0.0, 1.0)] = 0.5
    nan: Annotated[float, Uniform(float("nan"), 1.0)] = 0.5
    twice: Annotated[float, Uniform(0.0, 1.0), LogUniform(0.1, 1.0)] = 0.5
    empty: Annotated[int, Choice(())] = 1
    on_floats: Annotated[int, Uniform(1, 8)] = 2
    on_ints: Annotated[float, IntUniform(1, 8)] = 2.0
    flag: Annotated[bool, IntUniform(0, 1)] = True
    fraction: Annotated[int, Choice((1, 2))] = 1.5  # type: ignore[assignment]
    half: Annotated[int, IntUniform(0.5, 3)] = 1  # type: ignore[arg-type]
    truth: Annotated[int, IntUniform(0, 3)] = True


def test_space_of_names_every_problem_at_once() -> None:
    with pytest.raises(PluginError) as caught:
        space_of(Bad)
    for name in Bad.model_fields:
        assert f"{name}: " in str(caught.value)
    assert "`low <= high` must hold, but got (low=1.0, high=0.0)" in str(caught.value)


def test_an_int_on_a_float_range_is_told_which_marker_to_use() -> None:
    class Wrong(Hyperparameters):
        steps: Annotated[int, LogUniform(1, 100)] = 10

    with pytest.raises(PluginError, match="steps: is of type int.*IntUniform or LogInt"):
        space_of(Wrong)


def test_numbers_take_the_type_of_their_field() -> None:
    class Mixed(Hyperparameters):
        lr: Annotated[float, LogUniform(1, 10)] = 1
        scale: Annotated[float, Choice((1, 10))] = 1
        width: Annotated[int, LogInt(1, 64)] = 8

    space = space_of(Mixed)
    assert {name: type(value) for name, value in space.defaults.items()} == {
        "lr": float, "scale": float, "width": int
    }  # fmt: skip
    assert space.ranges["scale"] == ChoiceRange(options=(1.0, 10.0))
    assert space.ranges["width"] == IntRange(low=1, high=64, log=True)
    assert type(Mixed().lr) is float
    widths = [point["width"] for point in draw_points(space, 32, 1)]
    assert all(type(width) is int and 1 <= width <= 64 for width in widths)
    assert sum(width <= 8 for width in widths) == pytest.approx(16, abs=4)  # half of the decades


def test_checked_values_names_unknown_and_wrong_values() -> None:
    assert checked_values(Good, {"lr": 0.1}) == Good(lr=0.1)
    with pytest.raises(PluginError) as caught:
        checked_values(Good, {"learning_rate": 0.1, "power": "two", "momentum": float("nan")})
    message = str(caught.value)
    assert "learning_rate: " in message
    assert "power: " in message
    assert "momentum: " in message
    assert "this method has: lr, momentum, power, nesterov, eps" in message


def test_an_int_field_on_a_float_range_is_refused_wherever_its_default_lies() -> None:
    for marker in (Uniform(1, 9), Uniform(0.5, 9.5), LogUniform(1, 9), LogUniform(3, 3)):
        for default in (1, 3, 9):
            with pytest.raises(PluginError, match="steps: is of type int.*IntUniform or LogInt"):
                space_of(_with("steps", Annotated[int, marker], default))
    for marker in (IntUniform(1, 9), LogInt(1, 9)):
        with pytest.raises(PluginError, match="lr: is of type float.*Uniform or LogUniform"):
            space_of(_with("lr", Annotated[float, marker], 3))


def _with(name: str, annotation: Any, default: Any) -> type[Hyperparameters]:
    made: type[Hyperparameters] = type(
        "Mine",
        (Hyperparameters,),
        {"__annotations__": {name: annotation}, name: default, "__module__": __name__},
    )
    return made


NEEDED = "needs a default that is a number, a bool or a string"
FINITE = "expected a finite number: let "


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (Annotated[float, Uniform(1, 0)], 0.5, "`low <= high` must hold"),
        (Annotated[float, LogUniform(0, 1)], 0.5, "`0 < low` must hold on a log scale"),
        (Annotated[int, LogInt(0, 9)], 3, "`0 < low` must hold on a log scale"),
        (Annotated[float, Uniform(math.nan, 1)], 0.5, "low: expected a finite number"),
        (Annotated[float, Uniform(0, math.inf)], 0.5, "high: expected a finite number"),
        (Annotated[float, Uniform("a", 1)], 0.5, "low: expected a number"),  # type: ignore[arg-type]
        (Annotated[int, IntUniform(1.5, 9)], 3, "low: expected a whole number"),  # type: ignore[arg-type]
        (Annotated[float, Uniform], 0.5, "its range Uniform has no ends: write Uniform(...)"),
        (Annotated[float, Uniform(0, 1), LogUniform(1, 2)], 1.0, "has 2 ranges"),
        (float, math.nan, f"its default is nan, {FINITE}a number"),
        (float, math.inf, f"its default is inf, {FINITE}0 or a large number"),
        (float, -math.inf, f"its default is -inf, {FINITE}0 or a large number"),
        (float, True, "its default True is not of the field's type"),
        (int, 3.5, "its default 3.5 is wrong: expected a whole number"),
        (float, "much", "its default 'much' is wrong: expected a number"),
        (float, None, f"{NEEDED}, got NoneType"),
        (float, [1.0], f"{NEEDED}, got list"),
        (Any, (n for n in range(3)), f"{NEEDED}, got generator"),
        (Any, math, f"{NEEDED}, got module"),
        ("Nowhere", 1.0, "is none of a hyperparameter: expected bool, int, float or str"),
        (Annotated[float, Choice((0.5, "a"))], 0.5, "the option 'a' is wrong: expected a number"),
        (Annotated[float, Choice((0.5, math.nan))], 0.5, f"the option nan is nan, {FINITE}"),
        (Annotated[int, Choice((1, None))], 1, "the option None is NoneType, expected a number"),  # type: ignore[arg-type]
        (Annotated[int, Choice((0, True))], 0, "the option True is not of the field's type"),
        (Annotated[int, Choice((1, 2, 1))], 1, "the option 1 is named twice"),
        (Annotated[int, Choice(3)], 3, "expected a tuple of at least one option"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_space_is_told_by_field_value_and_remedy(
    annotation: Any, default: Any, expected: str
) -> None:
    with pytest.raises(PluginError) as caught:
        space_of(_with("x", annotation, default))
    assert str(caught.value).startswith("Mine: x: ")
    assert expected in str(caught.value)
    assert "Input should" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_choices_of_mixed_types_keep_those_that_the_field_allows() -> None:
    found = space_of(_with("x", Annotated[float | str, Choice((1, "auto", 2.5))], "auto"))
    assert found.ranges["x"] == ChoiceRange(options=(1.0, "auto", 2.5))
    found = space_of(_with("x", Annotated[Any, Choice((1, True, "a"))], 1))
    assert found.ranges["x"] == ChoiceRange(options=(1, True, "a"))


def test_a_hyperparameter_that_would_be_private_is_refused() -> None:
    with pytest.raises(PluginError, match="_x: the name of a hyperparameter must not begin with _"):
        space_of(_with("_x", float, 0.5))
