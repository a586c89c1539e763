"""A site on this machine's own address, for looking at it before anyone else does."""

from __future__ import annotations

import contextlib
import errno
import shlex
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from assay.errors import AssayError

from assay_leaderboard.site.output import MARKER

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with everything; a page's own policy stands in its head too, for other hosts."""
TYPES = {
    "": "application/octet-stream",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".xml": "application/atom+xml; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".bib": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".jsonl": "application/x-ndjson",
    ".zip": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
}
"""Not the system's table, which differs between machines and may call JavaScript plain text."""


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder, read only; nothing hidden, no listings."""

    protocol_version = "HTTP/1.1"
    extensions_map = TYPES

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """A folder without a page is not there."""
        self.send_error(404)

    def send_head(self):  # type: ignore[no-untyped-def]
        """As the base class, but no hidden file is there."""
        if any(part.startswith(".") for part in unquote(self.path).split("/")):
            self.send_error(404)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to the address."""


def server(site: Path, port: int) -> ThreadingHTTPServer:
    """A server for the folder, bound to this machine's own address; port 0 is any free one.

    Raises:
        AssayError: there is no site in the folder, or the port is taken.
    """
    if not (site / MARKER).is_file():
        where = shlex.quote(str(site))
        raise AssayError(f"{site}: holds no site; make one with: assay site build --out {where}")
    handler = partial(Handler, directory=str(site.resolve()))
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OverflowError as error:
        raise AssayError(f"port {port}: expected a number from 0 to 65535") from error
    except OSError as error:
        reason = "is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise AssayError(
            f"port {port} {reason}; choose another with --port, or 0 for any free one"
        ) from error


def serve(running: ThreadingHTTPServer, say: Callable[[str], None]) -> None:
    """Say the address and answer requests until Ctrl-C."""
    with running, contextlib.suppress(KeyboardInterrupt):
        say(f"http://{HOST}:{running.server_port}/   (Ctrl-C ends it)")
        running.serve_forever()
