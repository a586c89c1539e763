"""What all messages have in common: bounded, plain, and read strictly."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from assay.records.schema import (
    MAX_COUNT,
    MAX_NUMBER,
)
from assay.untrusted import strict_json
from assay.untrusted.text import plain_lines, plain_text

MAX_TEXT, MAX_WORDS, MAX_NAME = 5_000, 300, 100
"""Characters of a text, of a line about the machine or a mistake in JSON, and of a name."""
MAX_LISTED = 200
"""Texts in one list."""
ORACLE = 4
"""Descriptor of a run's connection to its oracle, in the worker's child; see Run.oracle."""
SNAPSHOTS = "snapshots"
"""The file that a run writes its snapshots to, one after the other. A file for each would be slow:
some file systems search long for a free place where many small files come and go."""

Limit = Literal[
    "wall time", "CPU time", "memory", "disk", "files", "processes", "output", "file size"
]
"""What a run can be stopped at (sandbox.limits)."""
CheckStatus = Literal["ok", "failed", "note"]
"""Of a finding of `assay check`: passed, must be changed, or something to know."""
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(plain_lines)]
"""Lines without control characters; a worker clips what it says."""
Words = Annotated[str, Field(max_length=MAX_WORDS), AfterValidator(plain_text)]
Name = Annotated[str, Field(max_length=MAX_NAME, pattern=r"^[A-Za-z0-9_]+$")]
Texts = Annotated[list[Text], Field(max_length=MAX_LISTED)]
Batch = Annotated[int, Field(ge=1, le=MAX_COUNT)]


def _clamped(value: float) -> float:
    return min(max(value, -MAX_NUMBER), MAX_NUMBER)


Measured = Annotated[float, AfterValidator(_clamped)]
"""A number that an honest run may let grow without bound."""


def clip(text: str) -> str:
    """The first MAX_TEXT characters of `text`, with "?" for what UTF-8 cannot encode."""
    return text[:MAX_TEXT].encode(errors="replace").decode()


class Message(BaseModel):
    """What every message is: unchanging, without unknown fields, without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Claim = TypeVar("Claim", bound=BaseModel)


class Malformed(ValueError):
    """An answer that is not of the form it should have; the message says where, in plain text."""


def parse_claim(data: bytes, kind: type[Claim]) -> Claim:
    """What a worker's child left, as a `kind`.

    Raises:
        Malformed: it is not strict JSON (see untrusted.strict_json), or not a `kind`.
    """
    try:
        return kind.model_validate(strict_json.parse(data))
    except strict_json.NotStrict as error:
        raise Malformed(plain_text(str(error))[:MAX_WORDS]) from error
    except ValidationError as error:
        raise Malformed(first_problem(error)) from error


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong and where, in plain text of bounded length."""
    first = error.errors(include_url=False, include_input=False)[0]
    where, said = ".".join(map(str, first["loc"])) or "it", first["msg"]
    said = said.removeprefix("Value error, ")
    return plain_text(f"{where[:MAX_NAME]}: {said[:MAX_WORDS]}")


# A worker, from its start on.
