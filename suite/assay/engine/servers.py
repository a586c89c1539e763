"""PostgreSQL servers with copies of the records; passwords in addresses, which nobody gets to see.

A server is used by many commands at once: what only one may do at a time is done under a lock that
the server frees when a command dies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from assay.engine.databases import Unavailable, one_line

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

SCHEME = "postgresql"
PASSWORDS = ("PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables of the environment from which the libraries take passwords."""
CONNECT_SECONDS = "10"
OF_ONE_RECORD = ("22", "23")
"""Classes of SQLSTATE: the data are at fault, not the server."""
DRIVER = "PostgreSQL needs a driver: pip install 'trainassay[postgresql]'"
Opened = TypeVar("Opened")


def is_postgresql(address: str) -> bool:
    """Whether an address is one of PostgreSQL, with or without the name of a driver."""
    return scheme_of(address).partition("+")[0] == SCHEME


def scheme_of(address: str) -> str:
    """What an address begins with, all of it that can be shown: the rest may be a password."""
    scheme, colon, _ = address.partition("://")
    return scheme if colon else "no address"


def passwords(address: str) -> set[str]:
    """The passwords in an address, as they are written, as they are meant, and as libraries write
    them.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return set()
    found = {value for name, value in parse_qsl(parts.query) if "password" in name}
    user, at, _ = parts.netloc.rpartition("@")
    if at and ":" in user:
        found.add(user.partition(":")[2])
    meant = {unquote(one) for one in found if one}
    return found - {""} | meant | {quote(one, safe="") for one in meant}


def nameless(address: str) -> str:
    """An address without user, password, options and driver: whose copies are whose."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    scheme, host = parts.scheme.partition("+")[0], parts.netloc.rpartition("@")[2]
    return urlunsplit((scheme, host, parts.path, "", ""))


def said(error: BaseException, address: str) -> str:
    """What a library says is wrong, in one line without passwords.

    Of what PostgreSQL answered only its own words: libraries add the whole statement.
    """
    hidden = passwords(address) | {os.environ.get(name, "") for name in PASSWORDS}
    return one_line(_answer(error) or error, hidden - {""})


def is_down(error: BaseException) -> bool:
    """Whether PostgreSQL answered, or did not answer, in a way that no other record would better.

    It is gone, refuses, is full, or may only be read.
    """
    answer = _answer(error)
    state = str(getattr(answer, "sqlstate", None) or "")
    return answer is not None and not state.startswith(OF_ONE_RECORD)


def prepare() -> None:
    """Set what the driver reads from the environment: it would wait for minutes."""
    os.environ.setdefault("PGCONNECT_TIMEOUT", CONNECT_SECONDS)


def open_server(address: str, open_at: Callable[[str], Opened]) -> Opened:
    """Have a library open its database, and make its tables if need be, one command at a time.

    Args:
        address: of PostgreSQL.
        open_at: has the library open the database at an address.

    Raises:
        Unavailable: the driver lacks, the server does not answer or refuses.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    prepare()
    try:
        engine = create_engine(address, poolclass=NullPool)
        with alone(engine, "tables"):
            return open_at(address)
    except ModuleNotFoundError as error:
        raise Unavailable(DRIVER) from error
    except Exception as error:
        raise Unavailable(said(error, address)) from error


@contextmanager
def alone(engine: Engine, what: str) -> Iterator[None]:
    """Hold a lock of the database, which no two commands have at a time.

    Args:
        engine: of a PostgreSQL database.
        what: what the lock is of.
    """
    from sqlalchemy import text

    with engine.begin() as connection:
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")
        connection.execute(lock, {"what": f"assay {what}"})
        yield


def _answer(error: BaseException | None) -> BaseException | None:
    """What the driver raised, at the bottom of what libraries made of it; None if nothing."""
    while error is not None:
        if (answer := getattr(error, "orig", None)) is not None:
            return answer  # type: ignore[no-any-return]
        error = error.__cause__ or error.__context__
    return None
