"""A strict JSON parser for untrusted text: no repeated keys, bounded numbers, one error type."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

from pydantic_core import from_json, to_json

MAX_DIGITS = 25


class NotStrict(ValueError):
    """A text is not strict JSON; the message says why."""


def parse(data: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        NotStrict: it is not UTF-8 or not JSON, too deep, names a key twice, holds a lone
            surrogate, or a number that is not finite or absurdly long.
    """
    if (value := _quickly(data)) is not _UNSURE:
        return value
    try:
        value = _CHECKING.decode(data.decode())
        json.dumps(value, ensure_ascii=False).encode()  # escapes can spell what UTF-8 cannot
        return value
    except UnicodeDecodeError as error:
        raise NotStrict(f"it is not UTF-8 ({error.reason} at byte {error.start})") from error
    except UnicodeEncodeError as error:
        raise NotStrict("it holds half of a character (a lone surrogate)") from error
    except RecursionError as error:
        raise NotStrict("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise NotStrict(f"it is not JSON ({error})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise NotStrict(f"the key {twice[:60]!r} stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is not a number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotStrict(f"{text[:30]} is not a finite number")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise NotStrict(f"a whole number of {len(text)} digits, expected at most {MAX_DIGITS}")
    return int(text)


_CHECKING = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int
)
_UNSURE = object()
_SHAPE = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * (MAX_DIGITS + 1)


def _quickly(data: bytes) -> Any:
    """The value of an ordinary text; _UNSURE if it must be parsed with every check.

    It halves the time to read all published bundles. pydantic's parser keeps the last of two equal
    keys and takes numbers of any size. But every key has a colon, and only an escape can make or
    hide one: if no colon is lost when the value is written again, no key was lost. A number that is
    too large for a float is written as Infinity.
    """
    if b"\\u" in data or _LONG in data.translate(_SHAPE):
        return _UNSURE
    try:
        value = from_json(data, allow_inf_nan=False)
        again = to_json(value)
    except ValueError:
        return _UNSURE
    kept = again.count(b":") == data.count(b":") and b"Infinity" not in again
    return value if kept else _UNSURE
