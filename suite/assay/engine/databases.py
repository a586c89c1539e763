"""The SQLite files of MLflow and Optuna in the results folder: opened under any path, or made anew.

They are copies of the records, so one that its library cannot open is set aside and made again.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from assay.atomic import TEMPORARY

MAKING = f"{TEMPORARY}database-"
"""How the names of unfinished databases begin."""
LOCK_SECONDS = 5.0
"""How long to wait for another program that writes to a database."""
MAX_REASON = 300
"""Characters of an error of a library in a line on the terminal."""
Opened = TypeVar("Opened")


class Unavailable(Exception):
    """A database or server that cannot be used now; says why, in one line."""


def database_url(path: Path) -> str:
    """The SQLAlchemy URL of an SQLite file, whatever characters its path has.

    The driver is named because MLflow makes the folder of a plain `sqlite:///` URL itself, from
    the path as it is quoted.

    Raises:
        Unavailable: the installed SQLAlchemy cannot take the path in a URL.
    """
    from sqlalchemy.engine import URL, make_url

    plain = f"sqlite+pysqlite:///{path}"
    try:
        quoted = URL.create("sqlite+pysqlite", database=str(path)).render_as_string()
        for url in (quoted, plain):  # before 2.1 SQLAlchemy takes the path as it is written
            if make_url(url) == URL.create("sqlite+pysqlite", database=str(path)):
                return url
    except UnicodeEncodeError:
        pass
    raise Unavailable(
        f"the path {str(path)!r} has characters that SQLAlchemy cannot take: choose another "
        "folder with --results"
    )


def open_database(
    path: Path,
    open_at: Callable[[str], Opened],
    close: Callable[[Opened], None],
    tell: Callable[[str], None],
) -> tuple[Opened, bool]:
    """Open a library's SQLite file; make it where there is none, or none that can be opened.

    It is made under a temporary name: a command that is killed meanwhile leaves no half of one.

    Args:
        path: the file.
        open_at: has the library open, and make if need be, the file at a URL.
        close: closes what `open_at` returned.
        tell: gets a line about a file that was set aside.

    Returns:
        What `open_at` returned, and whether the file is new.

    Raises:
        Unavailable: it is locked, read-only or cannot be made.
    """
    url, reason = database_url(path), None
    if path.exists():
        reason = damage(path)
        if reason is None:
            try:
                return open_at(url), False
            except Exception as error:
                reason = one_line(error)
                damage(path)  # raises if somebody has locked it meanwhile
    made = path.with_name(f"{MAKING}{secrets.token_hex(8)}")
    try:
        close(open_at(database_url(made)))
        if reason is not None:
            aside = _free_name(path)
            path.rename(aside)
            tell(
                f"{path.name} could not be opened ({reason}); it is kept as {aside.name}, and a "
                "new one is filled from the records"
            )
        made.rename(path)
        return open_at(url), True
    except Exception as error:
        raise Unavailable(f"{path.name} cannot be made: {one_line(error)}") from error
    finally:
        for left in (made, made.with_name(f"{made.name}-journal")):
            left.unlink(missing_ok=True)


def damage(path: Path) -> str | None:
    """What is wrong with an SQLite file; None if it can be written.

    Raises:
        Unavailable: another program has locked it, it is not ours to write, or it is gone.
    """
    if not path.exists():
        raise Unavailable(f"{path.name} has been removed")
    try:
        with closing(sqlite3.connect(path, LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{path.name}: {error}") from error
    except sqlite3.DatabaseError as error:
        return str(error)
    return None


def follow_artifacts(path: Path, root: str) -> None:
    """Correct the places of artifacts in MLflow's file after the results folder has moved.

    Only experiments are changed whose files went to a folder of the same name before.

    Args:
        path: MLflow's SQLite file.
        root: URI of the folder that holds the artifacts of all experiments.
    """
    name = root.rpartition("/")[2]
    with closing(sqlite3.connect(path, LOCK_SECONDS)) as connection, connection:
        rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
        for experiment, old in rows.fetchall():
            before, found, after = str(old).rpartition(f"/{name}/")
            new = f"{root}/{after}"
            if not found or not before.startswith("file:") or new == old:
                continue
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (new, experiment),
            )
            connection.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, length(?) + 1) "
                "WHERE experiment_id = ? AND substr(artifact_uri, 1, length(?)) = ?",
                (new, old, experiment, old, old),
            )


def one_line(error: BaseException, hidden: Collection[str] = ()) -> str:
    """An error of a library, short enough for a line on the terminal.

    Args:
        error: the error.
        hidden: texts that nobody may see; *** is written instead.
    """
    text = " ".join(str(error).split())
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return f"{type(error).__name__}: {text}"[:MAX_REASON]


def _free_name(path: Path) -> Path:
    """A name for a file that is set aside."""
    number = 1
    while (aside := path.with_name(f"{path.name}.unusable-{number}")).exists():
        number += 1
    return aside
