"""JSON from strangers: one meaning per text, bounded numbers, one kind of error."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

MAX_DIGITS = 25


class NotStrict(ValueError):
    """What is wrong with a text."""


def parse(data: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        NotStrict: it is not UTF-8 or not JSON, too deep, names a key twice, holds a lone
            surrogate, or a number that is not finite or absurdly long.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = (_CHECKING if _doubtful(text) else _PLAIN).decode(text)
        if "\\u" in text or isinstance(data, str):
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
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
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


_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_LONG = b"0" * (MAX_DIGITS + 1)
_HUGE = re.compile(rb"e000+(?:[\s,\]}]|$)")


def _doubtful(text: str) -> bool:
    """Whether a number in `text` may be infinite or too long.

    It must be written with many digits or a large exponent; any other text is read three times as
    fast, without a call for each number.
    """
    shape = text.encode("utf-8", "replace").translate(_SHAPE, b"+")
    return _LONG in shape or _HUGE.search(shape) is not None


_PLAIN = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)
_CHECKING = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int
)
