"""The files of a plugin: those that its hash covers, which are also all that a worker gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from assay.errors import PluginError
from assay.syntax import MAX_PYTHON_BYTES, MAX_TOML_BYTES, NotParsed, parse_toml
from assay.untrusted.files import read_regular

MAX_CODE_FILES, MAX_CODE_BYTES = 64, 400_000
"""Python files in a method's folder; bytes of all Python files of a method together."""
MAX_DATA_FILE_BYTES = 65_536
MAX_DATA_BYTES = 262_144
"""Of all data files of a method together."""
CARD = "card.toml"
EQUATIONS = "equations.py"
"""A method's published equations in numpy. They are compared with the method and are no part of it:
neither hashed, nor packed with results, nor there in a run."""


def is_folder(source: Path) -> bool:
    """Whether a method's file belongs to a folder with a card; else it stands alone."""
    return source.name == "method.py" and (source.parent / CARD).is_file()


def code_files(folder: Path) -> list[Path]:
    """The card and the Python files of a plugin's folder, by name.

    Hidden files are left out, as are folders and pipes whose name ends in .py, and links that lead
    nowhere (an editor's lock on method.py is one called .#method.py).

    Raises:
        PluginError: the name of a file cannot be printed, or there are too many.
    """
    found = sorted(
        path
        for path in folder.glob("*")
        if (path.suffix == ".py" or path.name == CARD)
        and not path.name.startswith(".")
        and path.is_file()
    )
    if len(found) > MAX_CODE_FILES:
        raise PluginError(
            f"{folder}: {len(found):,} Python files, expected at most {MAX_CODE_FILES}"
        )
    for path in found:
        if not path.name.isprintable():  # nor can half a character, of a name that is not UTF-8
            raise PluginError(
                f"{folder}: rename {path.name!a}; expected a name that can be printed"
            )
    return found


def method_files(source: Path) -> dict[str, Path]:
    """The files of a method by name: a single file, or its folder's code and declared data.

    EQUATIONS are not among them, so that a better explanation makes no result stale.

    Raises:
        PluginError: the name of a file cannot be printed.
    """
    if not is_folder(source):
        return {source.name: source}
    folder = source.parent
    found = {path.name: path for path in code_files(folder) if path.name != EQUATIONS}
    return found | {name: folder / name for name in _declared_data(folder / CARD)}


def _declared_data(card: Path) -> list[str]:
    """Names under `data` in a card; none if it is malformed, which whoever reads it reports."""
    try:
        data = parse_toml(read_file(card)).get("data", [])
    except (PluginError, NotParsed):
        return []
    return [
        name
        for name in (data if isinstance(data, list) else [])
        if isinstance(name, str) and Path(name).name == name and name not in ("", "..")
    ]


def read_files(files: Mapping[str, Path]) -> dict[str, bytes]:
    """The content of files by name.

    Raises:
        PluginError: one is missing or too large, or they are together.
    """
    contents = {name: read_file(path) for name, path in files.items()}
    for problem in size_problems(contents):
        raise PluginError(problem)
    return contents


def size_problems(files: Mapping[str, bytes]) -> Iterator[str]:
    """What is too large about a method's files, given by name: one line each."""
    for name, data in sorted(files.items()):
        if len(data) > (limit := max_bytes(name)):
            yield f"{name[:120]}: {len(data):,} bytes, expected at most {limit:,}"
    code, data_files = ([n for n in files if is_data(n) == wanted] for wanted in (False, True))
    n_code = sum(len(files[name]) for name in code)
    if n_code > MAX_CODE_BYTES:
        yield (
            f"the Python files of a method may have {MAX_CODE_BYTES:,} bytes together; "
            f"these have {n_code:,}"
        )
    n_data = sum(len(files[name]) for name in data_files)
    if n_data > MAX_DATA_BYTES:
        yield (
            f"the data files of a method may have {MAX_DATA_BYTES:,} bytes together; "
            f"these have {n_data:,}: {', '.join(data_files)[:500]}"
        )


def max_bytes(name: str) -> int:
    """The size that a method's file of this name may have."""
    if name == CARD:
        return MAX_TOML_BYTES
    return MAX_DATA_FILE_BYTES if is_data(name) else MAX_PYTHON_BYTES


def read_file(path: Path) -> bytes:
    """The content of one file of a plugin; a link to a file is followed.

    Raises:
        PluginError: it is missing, no regular file, or too large.
    """
    data = is_data(path.name)
    try:
        return read_regular(path.resolve(), max_bytes(path.name))
    except FileNotFoundError as error:
        why = "declared under `data` in card.toml, but there is no such file" if data else (
            "no such file"
        )  # fmt: skip
        raise PluginError(f"{path}: {why}") from error
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a link to itself
        reason = getattr(error, "strerror", None) or error
        what = "a data file" if data else "code"
        raise PluginError(f"{path}: cannot be read as {what} of a method: {reason}") from error


def is_data(name: str) -> bool:
    """Whether a plugin's file of this name is neither Python nor its card."""
    return not name.endswith(".py") and name != CARD
