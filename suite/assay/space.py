"""Search spaces: the name, type, default and range of each hyperparameter in one declaration.

class Hyperparameters(space.Hyperparameters):
    lr: Annotated[float, LogUniform(1e-5, 1.0)] = 1e-3
    nesterov: Annotated[bool, Choice((False, True))] = True
    eps: float = 1e-8                                  # no range: never tuned
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from assay import validation
from assay.errors import PluginError

Value = bool | int | float | str
MAX_WHOLE, MAX_FLOAT = 2**63, 1e100
"""Largest hyperparameters, in size; seeds are whole numbers of 63 bits."""
MAX_VALUE_TEXT, MAX_NAME = 200, 64
"""Characters of a text as a value, and of a hyperparameter's name."""
MAX_NAMES, MAX_OPTIONS = 200, 200
"""Most hyperparameters of a space, and most options of a choice."""
REFERENCE = "reference."
"""Before the names of the task's reference optimizer's hyperparameters, in a run's own space."""


def _bounded(value: Value) -> Value:
    """`value` unless it is too large, too long or holds what a terminal would obey."""
    if isinstance(value, str):
        if len(value) > MAX_VALUE_TEXT or not value.isprintable():
            raise ValueError(f"expected at most {MAX_VALUE_TEXT} characters that can be printed")
    elif isinstance(value, float):
        if not abs(value) <= MAX_FLOAT:
            raise ValueError(f"expected a number from {-MAX_FLOAT:g} to {MAX_FLOAT:g}")
    elif not -MAX_WHOLE <= value <= MAX_WHOLE:
        raise ValueError("expected a whole number of at most 63 bits")
    return value


Setting = Annotated[Value, AfterValidator(_bounded)]
"""The value of a hyperparameter."""
Bound = Annotated[float, Field(ge=-MAX_FLOAT, le=MAX_FLOAT)]
Whole = Annotated[int, Field(ge=-MAX_WHOLE, le=MAX_WHOLE)]


class _Range(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FloatRange(_Range):
    """A real interval, searched uniformly or on a log scale; `low <= high`."""

    kind: Literal["float"] = "float"
    low: Bound
    high: Bound
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]


class IntRange(_Range):
    """Whole numbers from `low` to `high`, both included."""

    kind: Literal["int"] = "int"
    low: Whole
    high: Whole
    log: bool = False

    def __contains__(self, value: object) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high  # type: ignore[operator]


class ChoiceRange(_Range):
    """A finite set of values, in the order given."""

    kind: Literal["choice"] = "choice"
    options: Annotated[tuple[Setting, ...], Field(max_length=MAX_OPTIONS)]

    def __contains__(self, value: object) -> bool:
        return any(type(value) is type(option) and value == option for option in self.options)


Range = Annotated[FloatRange | IntRange | ChoiceRange, Field(discriminator="kind")]
_RANGES: TypeAdapter[dict[str, Range]] = TypeAdapter(dict[str, Range])


# The markers are plain dataclasses: a BaseModel instance inside Annotated would replace
# the field's type.
@dataclass(frozen=True)
class Uniform:
    """Mark a float field as searched uniformly over [low, high]."""

    low: float
    high: float

    def range(self) -> FloatRange:
        """The range this marker stands for."""
        return FloatRange(low=self.low, high=self.high)


@dataclass(frozen=True)
class LogUniform:
    """Mark a float field as searched over [low, high] on a log scale; `0 < low`."""

    low: float
    high: float

    def range(self) -> FloatRange:
        """The range this marker stands for."""
        return FloatRange(low=self.low, high=self.high, log=True)


@dataclass(frozen=True)
class IntUniform:
    """Mark an int field as searched over low..high, both included."""

    low: int
    high: int

    def range(self) -> IntRange:
        """The range this marker stands for."""
        return IntRange(low=self.low, high=self.high)


@dataclass(frozen=True)
class Choice:
    """Mark a field as searched over a few values."""

    options: tuple[Value, ...]

    def range(self) -> ChoiceRange:
        """The range this marker stands for."""
        return ChoiceRange(options=self.options)


@dataclass(frozen=True)
class LogInt:
    """Mark an int field as searched over low..high, both included, on a log scale; `1 <= low`."""

    low: int
    high: int

    def range(self) -> IntRange:
        """The range this marker stands for."""
        return IntRange(low=self.low, high=self.high, log=True)


Marker = Uniform | LogUniform | IntUniform | LogInt | Choice


class Hyperparameters(BaseModel):
    """A method's hyperparameters; every field needs a default: point 0 of every repetition."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


class Space(BaseModel):
    """A search space as data, in the form in which a worker reports it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ranges: Annotated[dict[str, Range], Field(max_length=MAX_NAMES)] = {}
    """Ranges of the tunable hyperparameters, by name."""
    defaults: Annotated[dict[str, Setting], Field(max_length=MAX_NAMES)] = {}
    """Defaults of all hyperparameters, tunable or not, by name."""

    @model_validator(mode="wrap")
    @classmethod
    def _fits_together(cls, value: object, make: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse what `space_of` would not have made; a space that is made already is in order."""
        made = make(value)
        if made is not value and (problem := made._misfit()):
            raise ValueError(problem)
        return made

    def _misfit(self) -> str:
        """What does not fit together; empty if everything does."""
        for name in self.defaults:
            own = name.removeprefix(REFERENCE)
            if len(own) > MAX_NAME or not own.isidentifier() or not own.isprintable():
                return (
                    f"a hyperparameter's name is not one of Python of up to {MAX_NAME} characters"
                )
        for name, found in self.ranges.items():
            if name not in self.defaults:
                return "a range belongs to no hyperparameter"
            if problem := _range_problem(found):
                return f"{name}: {problem}"
            if self.defaults[name] not in found:
                return f"{name}: its default lies outside its range"
        return ""

    def merged(self, prefix: str, other: Space) -> Space:
        """This space and `other`, whose names are prefixed."""
        return Space(
            ranges={**self.ranges, **{prefix + name: r for name, r in other.ranges.items()}},
            defaults={**self.defaults, **{prefix + name: v for name, v in other.defaults.items()}},
        )


def space_of(model: type[Hyperparameters]) -> Space:
    """The search space that a Hyperparameters class declares.

    Raises:
        PluginError: a field has no default, a range is empty or excludes its default; every
            problem is named.
    """
    problems: list[str] = []
    ranges: dict[str, Range] = {}
    defaults: dict[str, Value] = {}
    for name in model.__private_attributes__:
        problems.append(f"{name}: the name of a hyperparameter must not begin with _")
    for name, field in model.model_fields.items():
        try:
            default, kind = _default_of(field)
        except ValueError as error:
            problems.append(f"{name}: {error}")
            continue
        defaults[name] = default
        markers = [item for item in field.metadata if isinstance(item, Marker)]
        unmade = [item.__name__ for item in field.metadata if item in get_args(Marker)]
        if unmade:
            problems.append(f"{name}: its range {unmade[0]} has no ends: write {unmade[0]}(...)")
        elif len(markers) > 1:
            problems.append(f"{name}: has {len(markers)} ranges, expected at most one")
        elif markers:
            found, problem = _checked(markers[0], default, kind)
            if problem:
                problems.append(f"{name}: {problem}")
            elif found is not None:
                ranges[name] = found
    if problems:
        raise PluginError(f"{model.__qualname__}: " + "; ".join(problems))
    try:
        return Space(ranges=ranges, defaults=defaults)
    except ValidationError as error:
        first = next(validation.problems(error))
        where = ".".join(map(str, first.place[1:2])) or "its search space"
        raise PluginError(f"{model.__qualname__}: {where}: {first.text}") from error


def _default_of(field: FieldInfo) -> tuple[Value, TypeAdapter[Any]]:
    """A field's default in the field's own type, and that type.

    Raises:
        ValueError: there is none that a hyperparameter can have; says why.
    """
    needed = "needs a default that is a number, a bool or a string"
    try:  # not `get_default`, which copies it
        given = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    except Exception as error:
        raise ValueError(f"its default_factory raised {type(error).__name__}: {error}") from error
    if field.is_required():
        raise ValueError(needed)
    if not isinstance(given, (bool, int, float, str)):
        raise ValueError(f"{needed}, got {type(given).__name__}")
    if isinstance(given, float) and not math.isfinite(given):
        raise ValueError(_not_finite("its default", given))
    try:
        kind: TypeAdapter[Any] = TypeAdapter(field.annotation or object)
        default = kind.validate_python(given)
    except ValidationError as error:
        first = next(validation.problems(error))
        raise ValueError(f"its default {given!r} is wrong: {first.text}") from error
    except PydanticUserError as error:
        shown = getattr(field.annotation, "__name__", None) or field.annotation
        raise ValueError(
            f"its type {shown!s:.60} is none of a hyperparameter: expected bool, int, float or str"
        ) from error
    if isinstance(given, bool) != isinstance(default, bool):
        raise ValueError(f"its default {given!r} is not of the field's type")
    return default, kind


def _not_finite(what: str, value: float) -> str:
    """What to write instead of NaN or infinity."""
    instead = "0 or a large number such as 1e9" if math.isinf(value) else "a number"
    return (
        f"{what} is {value}, expected a finite number: let {instead} stand for it, "
        "and turn that into what you need in the method"
    )


def _range_problem(found: FloatRange | IntRange | ChoiceRange) -> str:
    """What is wrong with a range by itself; empty if nothing."""
    if isinstance(found, ChoiceRange):
        return "" if found.options else "expected at least one option"
    if found.low > found.high:
        return f"`low <= high` must hold, but got (low={found.low}, high={found.high})"
    if found.log and found.low <= 0:
        return f"`0 < low` must hold on a log scale, but got low={found.low}"
    return ""


def _checked(marker: Marker, default: Value, kind: TypeAdapter[Any]) -> tuple[Range | None, str]:
    """The marker's range in the field's own type, or what is wrong with it."""
    if isinstance(marker, Choice):
        return _checked_choice(marker, default, kind)
    try:
        found = marker.range()
    except ValidationError as error:
        first = next(validation.problems(error))
        return None, f"{marker}: {'.'.join(map(str, first.place))}: {first.text}"
    if isinstance(default, bool) or isinstance(found, IntRange) != isinstance(default, int):
        fits = {bool: "Choice((False, True))", int: "IntUniform or LogInt"}
        wanted = fits.get(type(default), "Uniform or LogUniform")
        return None, f"is of type {type(default).__name__}, which {marker} cannot search: {wanted}"
    elif problem := _range_problem(found):
        return None, problem
    if default not in found:
        return None, f"its default {default!r} lies outside its range {marker}"
    return found, ""


def _checked_choice(
    marker: Choice, default: Value, kind: TypeAdapter[Any]
) -> tuple[Range | None, str]:
    """A choice with its options in the field's own type, or what is wrong with it."""
    if not isinstance(marker.options, tuple | list) or not marker.options:
        return None, f"Choice({marker.options!r:.60}): expected a tuple of at least one option"
    options: list[Value] = []
    for given in marker.options:
        shown = f"the option {given!r:.60}"
        if not isinstance(given, bool | int | float | str):
            return None, f"{shown} is {type(given).__name__}, expected a number, a bool or a string"
        if isinstance(given, float) and not math.isfinite(given):
            return None, _not_finite(shown, given)
        try:
            option = kind.validate_python(given)
        except ValidationError as error:
            return None, f"{shown} is wrong: {next(validation.problems(error)).text}"
        if isinstance(given, bool) != isinstance(option, bool):
            return None, f"{shown} is not of the field's type"
        if any(type(option) is type(other) and option == other for other in options):
            return None, f"{shown} is named twice"
        options.append(option)
    try:
        found = ChoiceRange(options=tuple(options))
    except ValidationError as error:
        return None, f"Choice of {len(options)}: {next(validation.problems(error)).text}"
    if default not in found:
        return None, f"its default {default!r} lies outside its range {marker}"
    return found, ""


def checked_values(model: type[Hyperparameters], values: Mapping[str, Any]) -> Hyperparameters:
    """`values` as an instance of `model`.

    Raises:
        PluginError: a name is unknown or a value has the wrong type; every problem is named.
    """
    try:
        return model(**values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, found.place)) or 'hyperparameters'}: {found.text}"
            + ("" if found.given is None else f", got {found.given!r:.60}")
            for found in validation.problems(error)
        ]
        known = ", ".join(model.model_fields) or "none"
        raise PluginError(
            f"bad hyperparameters: {'; '.join(lines)} (this method has: {known})"
        ) from error


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
