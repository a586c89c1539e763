"""Canaries: secret tokens planted where attacks look.

A token is random, so an attack that can name one has read the place where it lies. Every place (a
folder, a socket, a process) is made by this module: nothing of the user's is touched.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.sandbox.mechanisms import run_user

PREFIX = "ASSAY-CANARY"
PLACES = ("env", "data", "home", "checkout", "results", "shm", "tcp", "udp", "abstract", "named")
BYSTANDER_SECONDS = 900
"""After this time the bystander process ends, even if this process was killed before."""
SHARED_MEMORY = Path("/dev/shm")
POLL_SECONDS = 0.2
RUN_USER = run_user("subprocess")


@dataclass(frozen=True)
class Canaries:
    """The canaries that were planted."""

    tokens: frozenset[str]
    targets: Mapping[str, str | int]
    """What attacks are told, by name: where to look, never what lies there."""
    results: Path
    """A folder that plays a user's results; it holds canaries only."""


@contextlib.contextmanager
def plant(folder: Path) -> Iterator[Canaries]:
    """Plant every canary, and remove them at the end.

    Args:
        folder: an empty folder for the canaries that are files.
    """
    tokens = {place: f"{PREFIX}-{place}-{secrets.token_hex(16)}" for place in PLACES}
    places = {name: folder / name for name in ("data", "home", "checkout", "results")}
    for name, place in places.items():
        (place / ".git").mkdir(parents=True)
        (place / ".git" / "secret").write_text(tokens[name])
        (place / "secret").write_text(tokens[name])
    _give_away(folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(tokens["env"], places))
        bystander = stack.enter_context(_bystander(tokens["env"], places["data"] / "secret"))
        if SHARED_MEMORY.is_dir():
            stack.enter_context(_file(SHARED_MEMORY / f"assay-{os.getpid()}", tokens["shm"]))
        named = str(folder / "socket")
        abstract = f"assay-{secrets.token_hex(8)}"
        targets: dict[str, str | int] = {
            "DATA_DIR": str(places["data"]),
            "HOME": str(places["home"]),
            "CHECKOUT": str(places["checkout"]),
            "RESULTS": str(places["results"]),
            "BYSTANDER": bystander,
            "TCP_PORT": stack.enter_context(_listener(("127.0.0.1", 0), tokens["tcp"])),
            "UDP_PORT": stack.enter_context(_echo(tokens["udp"])),
            "NAMED_SOCKET": named,
            "ABSTRACT_SOCKET": abstract,
        }
        stack.enter_context(_listener(named, tokens["named"]))
        if sys.platform == "linux":
            stack.enter_context(_listener(f"\0{abstract}", tokens["abstract"]))
        yield Canaries(frozenset(tokens.values()), targets, places["results"])


def _give_away(folder: Path) -> None:
    """Where root plants them, make the canaries the property of `nobody`, whom a run becomes.

    An attack shall reach what a user's own method would reach without a sandbox.
    """
    if RUN_USER is None:
        return
    folder.parent.chmod(0o711)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, RUN_USER, RUN_USER)


@contextlib.contextmanager
def _environment(token: str, places: Mapping[str, Path]) -> Iterator[None]:
    """Set environment variables that child processes would inherit, one of them secret."""
    changed = {
        "ASSAY_CANARY": token,
        "ASSAY_DATA": str(places["data"]),
        "HOME": str(places["home"]),
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _bystander(token: str, secret: Path) -> Iterator[int]:
    """Run another process with a secret in its environment and in an open file; yield its id."""
    with secret.open("rb") as file:
        os.set_inheritable(file.fileno(), True)  # children inherit it unless it is closed
        process = subprocess.Popen(
            ["sleep", str(BYSTANDER_SECONDS)],
            env={"ASSAY_CANARY": token},
            pass_fds=[file.fileno()],
            stdin=subprocess.DEVNULL,
            user=RUN_USER,
            group=RUN_USER,
            extra_groups=None if RUN_USER is None else [],
        )
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _file(path: Path, token: str) -> Iterator[None]:
    path.write_text(token)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _listener(address: str | tuple[str, int], token: str) -> Iterator[int]:
    """A socket that sends the token to everyone; yields its port, 0 if it has none."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.bind(address)
        if isinstance(address, str) and not address.startswith("\0"):
            os.chmod(address, 0o666)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(token.encode())

        with _serving(listening, serve):
            yield 0 if isinstance(address, str) else int(listening.getsockname()[1])


@contextlib.contextmanager
def _echo(token: str) -> Iterator[int]:
    """A UDP socket that answers everything with the token; yields its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind(("127.0.0.1", 0))

        def serve() -> None:
            _, sender = plain.recvfrom(64)
            plain.sendto(token.encode(), sender)

        with _serving(plain, serve):
            yield int(plain.getsockname()[1])


@contextlib.contextmanager
def _serving(served: socket.socket, serve_one: Callable[[], None]) -> Iterator[None]:
    """Serve in a thread until the block ends."""
    served.settimeout(POLL_SECONDS)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                serve_one()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
