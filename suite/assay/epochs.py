"""Epochs: repetitions with seeds that only the organisers know until they are revealed (tier T3).

    master      32 random bytes in a file of the organisers; it serves every epoch
    key         HMAC-SHA256(master, "assay epoch <name>")
    commitment  SHA-256("assay epoch <name>" + newline + key), published when the epoch begins
    seed root   HMAC-SHA256(key, <the ruleset's public seed root>), for identity.derive_seed

`<name>.json` holds the commitment. At the end `<name>.revealed.json` holds the key, with which
anyone can check the commitment and replay the epoch's runs. It says nothing about the master secret
or other epochs. Neither file is ever edited. The key has 256 bits, too many to guess it from its
commitment.

A worker gets 63-bit digests of the seed root (identity.derive_seed), never the root itself: the
seeds of one run say nothing about those of others.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from assay import atomic, paths
from assay.cards import Slug
from assay.errors import EpochError
from assay.identity import sha256
from assay.ruleset import RULESET
from assay.untrusted.files import read_regular

SECRET_BYTES = 32
MAX_FILE_BYTES = 4096
REVEALED = ".revealed.json"
_HEX = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Epoch:
    """An open epoch: its seeds are known here."""

    name: str
    seed_root: str = field(repr=False)


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: Slug
    at: str
    """UTC, ISO 8601."""


class Commitment(_Published):
    """What is published when an epoch begins."""

    ruleset: int
    commitment: _HEX


class Revelation(_Published):
    """What is published when an epoch ends."""

    key: _HEX


AnyPublished = TypeVar("AnyPublished", Commitment, Revelation)


@dataclass(frozen=True)
class EpochStatus:
    """What is published of one epoch."""

    name: str
    begun: str
    revealed: str | None
    commitment: str
    ruleset: int


def epochs_folder() -> Path:
    """The folder of published epochs: $ASSAY_EPOCHS, by default the checkout's."""
    return Path(os.environ.get("ASSAY_EPOCHS") or paths.EPOCHS)


def new_epoch(name: str, secret: Path, folder: Path) -> Commitment:
    """Begin an epoch: publish its commitment in `folder`, and make the master secret if needed.

    Raises:
        EpochError: the name is taken or no slug, or the secret's file is not private.
        StorageError: a file cannot be written; none is left behind.
    """
    _check_name(name)
    if (folder / f"{name}.json").exists():
        raise EpochError(f"the epoch {name} has begun already; choose another name")
    if not secret.exists():
        _make_master(secret)
    key = _key(_read_master(secret), name)
    made = Commitment(name=name, at=_now(), ruleset=RULESET.version, commitment=_commit(name, key))
    _publish(folder / f"{name}.json", made)
    return made


def begun(name: str, secret: Path, folder: Path) -> Commitment:
    """The commitment in `folder` of an epoch that is known to be of the organisers' secret.

    Raises:
        EpochError: it has not begun, or the secret is a different one.
    """
    found = _commitment(name, folder)
    _checked(found, _key(_read_master(secret), name), secret)
    return found


def reveal(name: str, secret: Path, folder: Path) -> Revelation:
    """End an epoch: publish its key in `folder`, with which anyone can replay its runs.

    Raises:
        EpochError: it has not begun, is revealed already, or the secret is a different one.
        StorageError: a file cannot be written; none is left behind.
    """
    key = _checked(_commitment(name, folder), _key(_read_master(secret), name), secret)
    if (folder / f"{name}{REVEALED}").exists():
        raise EpochError(f"the epoch {name} is revealed already")
    made = Revelation(name=name, at=_now(), key=key)
    _publish(folder / f"{name}{REVEALED}", made)
    return made


def open_epoch(name: str, folder: Path, secret: Path | None = None) -> Epoch:
    """Open an epoch with the organisers' secret or, without it, with its published key.

    Raises:
        EpochError: it is unknown, of another ruleset, not revealed (and no secret was given), or
            the key is not the one committed to.
    """
    found = _commitment(name, folder)
    if found.ruleset != RULESET.version:
        raise EpochError(f"the epoch {name} is of ruleset {found.ruleset}, not {RULESET.version}")
    if secret is not None:
        key = _checked(found, _key(_read_master(secret), name), secret)
    else:
        place = folder / f"{name}{REVEALED}"
        if not place.exists():
            raise EpochError(
                f"the epoch {name} is not revealed yet: its seeds are known to the organisers "
                f"alone (--secret FILE), and to everyone once {place.name} is published"
            )
        key = _checked(found, _read(place, Revelation).key, place)
    root = hmac.new(bytes.fromhex(key), RULESET.seed_root.encode(), hashlib.sha256).hexdigest()
    return Epoch(name, root)


def epochs(folder: Path) -> Iterator[EpochStatus]:
    """Every epoch that has begun, by name.

    Raises:
        EpochError: a file is malformed.
    """
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(REVEALED):
            continue
        found = _read(path, Commitment)
        place = folder / f"{found.name}{REVEALED}"
        ended = _read(place, Revelation) if place.exists() else None
        if ended is not None:
            _checked(found, ended.key, place)
        yield EpochStatus(found.name, found.at, ended.at if ended else None,
                          found.commitment, found.ruleset)  # fmt: skip


def _key(master: bytes, name: str) -> str:
    return hmac.new(master, f"assay epoch {name}".encode(), hashlib.sha256).hexdigest()


def _commit(name: str, key: str) -> str:
    return sha256(f"assay epoch {name}\n{key}")


def _checked(found: Commitment, key: str, origin: Path) -> str:
    if not hmac.compare_digest(_commit(found.name, key), found.commitment):
        raise EpochError(
            f"{origin}: is not the secret of the epoch {found.name}; its commitment is "
            f"{found.commitment[:16]}..."
        )
    return key


def _make_master(path: Path) -> None:
    for parent in path.expanduser().resolve().parents:
        if (parent / ".git").exists():
            raise EpochError(
                f"{path}: lies in the checkout {parent}; a secret belongs outside of one, "
                "where it cannot be committed"
            )
    _write(path, secrets.token_hex(SECRET_BYTES) + "\n", mode=0o600)


def _read_master(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.lstat().st_mode)
        text = read_regular(path, MAX_FILE_BYTES).decode("ascii").strip()
    except FileNotFoundError as error:
        raise EpochError(f"{path}: no such file; expected the organisers' secret") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EpochError(f"{path}: cannot be read as a secret: {error}") from error
    if mode & 0o077:
        raise EpochError(f"{path}: others may read it (mode {mode:04o}); do: chmod 600 {path}")
    try:
        return bytes.fromhex(TypeAdapter(_HEX).validate_python(text))
    except ValidationError as error:
        raise EpochError(f"{path}: expected {2 * SECRET_BYTES} hexadecimal digits") from error


def _commitment(name: str, folder: Path) -> Commitment:
    _check_name(name)
    path = folder / f"{name}.json"
    if not path.exists():
        known = ", ".join(status.name for status in epochs(folder)) or "none"
        raise EpochError(f"no epoch is called {name!r} in {folder}; known: {known}")
    return _read(path, Commitment)


def _check_name(name: str) -> None:
    try:
        TypeAdapter(Slug).validate_python(name)
    except ValidationError as error:
        raise EpochError(f"epoch {name!r}: expected a name of a-z, 0-9 and _") from error


def _read(path: Path, model: type[AnyPublished]) -> AnyPublished:
    try:
        found = model.model_validate_json(read_regular(path, MAX_FILE_BYTES))
    except (OSError, ValidationError) as error:
        raise EpochError(f"{path}: is not the file of an epoch: {error}") from error
    if path.name not in (f"{found.name}.json", f"{found.name}{REVEALED}"):
        raise EpochError(f"{path}: is of the epoch {found.name}")
    return found


def _publish(path: Path, made: _Published) -> None:
    _write(path, made.model_dump_json(indent=1) + "\n", mode=0o666)


def _write(path: Path, text: str, *, mode: int) -> None:
    """Write a new file, whole or not at all: half of one would take its name for good."""
    try:
        written = atomic.write_new(path, text.encode(), mode=mode)
    except OSError as error:
        raise atomic.storage_error(path, error, "choose another place") from error
    if not written:
        raise EpochError(f"{path}: there is a file of this name already")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
