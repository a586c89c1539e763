"""Names of metrics and parameters that MLflow takes, for any names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from assay.identity import sha256

MAX_NAME = 250
_LEGAL = re.compile(r"[/\w.\- :]+")
_ILLEGAL_CHARACTER = re.compile(r"[^/\w.\- :]")


def legal_names(names: Iterable[str]) -> dict[str, str]:
    """A legal name for each of `names`, different for different ones; legal names stay.

    MLflow allows letters, digits and `/_.-: `, and treats a name as a path that must not change
    when it is normalised (mlflow.utils.validation).
    """
    given = list(names)
    found = {name: name for name in given if _is_legal(name)}
    for name in given:
        if name not in found:
            close = _ILLEGAL_CHARACTER.sub("_", name)
            if not _is_legal(close):
                close = f"_{close.replace('/', '_')}"[: MAX_NAME - 9]
            if close in found.values():
                close = f"{close[: MAX_NAME - 9]}_{sha256(name)[:8]}"
            found[name] = close
    return found


def _is_legal(name: str) -> bool:
    norm = posixpath.normpath(name)
    return (
        _LEGAL.fullmatch(name) is not None
        and norm == name
        and norm != "."
        and not norm.startswith(("..", "/"))
        and len(name) <= MAX_NAME
    )
