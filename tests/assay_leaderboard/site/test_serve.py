"""`assay site serve`: this machine alone, safe headers, plain errors, a clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from assay.errors import AssayError
from assay.paths import ROOT
from assay_leaderboard.site import serve
from assay_leaderboard.site.output import MARKER


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "task").mkdir(parents=True)
    for name in (MARKER, "index.html", "a.js", "a.css", "a.json", "feed.xml", "a.csv", "cite.bib"):
        (folder / name).write_text("x")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "results.parquet").write_bytes(b"PAR1")
    (tmp_path / "secret").write_text("s")
    return folder


@pytest.fixture
def address(site: Path) -> Iterator[tuple[str, int]]:
    running = serve.server(site, 0)
    thread = threading.Thread(target=serve.serve, args=(running, str))
    thread.start()
    yield serve.HOST, running.server_port
    running.shutdown()
    thread.join()


def get(address: tuple[str, int], path: str) -> HTTPResponse:
    connection = HTTPConnection(*address, timeout=10)
    connection.putrequest("GET", path)
    connection.endheaders()
    found = connection.getresponse()
    found.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/a.js", "text/javascript; charset=utf-8"),
        ("/a.css", "text/css; charset=utf-8"),
        ("/a.json", "application/json"),
        ("/feed.xml", "application/atom+xml; charset=utf-8"),
        ("/a.csv", "text/csv; charset=utf-8"),
        ("/cite.bib", "text/plain; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/results.parquet", "application/vnd.apache.parquet"),
    ],
)
def test_files_have_their_types_and_safe_headers(
    address: tuple[str, int], path: str, kind: str
) -> None:
    found = get(address, path)
    assert (found.status, found.headers["Content-Type"]) == (200, kind)
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    policy = found.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


@pytest.mark.parametrize(
    "path", ["/task/", "/none.html", f"/{MARKER}", "/../secret", "/%2e%2e/secret", "/%2eassay-site"]
)
def test_what_is_no_page_is_not_there(address: tuple[str, int], path: str) -> None:
    assert get(address, path).status == 404


def test_only_this_machine_is_answered(site: Path) -> None:
    with serve.server(site, 0) as running:
        assert running.server_address[0] == "127.0.0.1"


def test_what_cannot_be_served_is_said(site: Path, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="assay site build"):
        serve.server(tmp_path, 0)
    with socket.socket() as taken:
        taken.bind((serve.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssayError, match=f"port {port} is taken"):
            serve.server(site, port)
    with pytest.raises(AssayError, match="from 0 to 65535"):
        serve.server(site, 70_000)


def test_ctrl_c_ends_it_cleanly(site: Path) -> None:
    # A shell that starts a command in the background makes it ignore SIGINT, and so its children.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from assay.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "site", "serve"]
    process = subprocess.Popen(
        [*command, "--dir", str(site), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
