"""Addresses of servers: whose they are, and that nobody gets to see a password in one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from assay.cli import main
from assay.engine.databases import MAX_REASON, Unavailable
from assay.engine.planning import RunRequest
from assay.engine.servers import DRIVER, is_down, nameless, open_server, passwords, said
from assay.errors import AssayError

DATABASE = "postgresql://me:s%2Fecret@host:5432/runs"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (DATABASE, {"s%2Fecret", "s/ecret"}),
        ("postgresql+psycopg://me@host/runs?password=hidden", {"hidden"}),
        ("http://me:a@b@host", {"a@b", "a%40b"}),
        ("postgresql://me@host/runs", set()),
        ("http://host:5000", set()),
        ("off", set()),
        ("postgresql://[", set()),
    ],
)
def test_every_password_of_an_address_is_found(address: str, expected: set[str]) -> None:
    assert passwords(address) == expected


def test_a_message_and_a_kept_address_are_without_passwords(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "from outside")
    error = ValueError("bad\naddress postgresql://me:s%2Fecret@host or s/ecret or from outside")
    assert said(error, DATABASE) == (
        "ValueError: bad address postgresql://me:***@host or *** or ***"
    )
    assert nameless(DATABASE) == nameless("postgresql://you@host:5432/runs?connect_timeout=3")
    assert nameless(DATABASE) == "postgresql://host:5432/runs"
    assert nameless(DATABASE) == nameless("postgresql+psycopg://host:5432/runs")
    assert nameless(DATABASE) != nameless("postgresql://host:5432/others")


def test_a_message_that_is_cut_has_no_beginning_of_a_password() -> None:
    for n_before in range(MAX_REASON - 30, MAX_REASON):
        text = said(ValueError("x" * n_before + DATABASE), DATABASE)
        assert len(text) <= MAX_REASON and "s%2F" not in text


class Answer(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("could not extend file")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "down"),
    [
        (None, True),
        ("53100", True),
        ("25006", True),
        ("57P01", True),
        ("22003", False),
        ("23505", False),
    ],
)
def test_the_answer_says_whether_a_record_or_the_server_is_at_fault(
    state: str | None, down: bool
) -> None:
    made = RuntimeError("[SQL: INSERT INTO runs ...]")
    made.orig = Answer(state)  # type: ignore[attr-defined]
    wrapped = ValueError("while committing")
    wrapped.__cause__ = made
    assert is_down(wrapped) == down
    assert said(wrapped, DATABASE) == "Answer: could not extend file"
    assert not is_down(ValueError("lr is out of its range"))


def test_without_a_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Unavailable, match=r"pip install 'trainassay\[postgresql\]'"):
        open_server(DATABASE, lambda _: pytest.fail("it was opened"))
    assert "trainassay[postgresql]" in DRIVER


@pytest.mark.parametrize("option", ["--mlflow", "--optuna-storage"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["assay", "run", "adam", "--task", "beale", option, DATABASE])
    with pytest.raises(SystemExit):
        main()
    answer = capsys.readouterr().err
    assert f"{option}: a password on the command line can be read by every user" in answer
    assert "ecret" not in answer


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optuna_storage": "sqlite:///x.db"}, "expected a PostgreSQL database, .*got sqlite"),
        ({"optuna_storage": "me:s3cret@host"}, "got no address"),
        ({"mlflow": "./mlruns"}, "expected a tracking server, .*got no address"),
        ({"mlflow": "file:///mlruns"}, "expected a tracking server, .*got file"),
        ({"mlflow": "me:s3cret@host"}, "got no address"),
        ({"optuna_storage": DATABASE, "mlflow": "off"}, "leaves out both copies"),
        ({"optuna_storage": DATABASE, "mlflow": DATABASE}, "a database of its own for each"),
    ],
)
def test_addresses_that_cannot_work_are_refused_before_any_work(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(AssayError, match=says) as caught:
        RunRequest(methods=["adam"], tasks=[], results=Path("results"), **changes)
    assert "cret" not in str(caught.value)
