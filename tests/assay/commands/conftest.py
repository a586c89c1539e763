from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer.main
from assay import cli, paths
from assay.plugins import registry


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


Assay = Callable[..., Said]
# Most of the time of a call would go into building all commands from their signatures again.
built_once = cache(typer.main.get_command)


@pytest.fixture
def other_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of its own, in which only the test's plugins lie."""

    def forget() -> None:
        registry.task_entries.cache_clear()
        registry.method_entries.cache_clear()

    monkeypatch.setattr(paths, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


@pytest.fixture
def assay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Assay:
    """The command, in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("ASSAY_RESULTS", raising=False)

    monkeypatch.setattr(typer.main, "get_command", built_once)
    own = list(cli.app.registered_commands)

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["assay", *arguments])
        # main adds the commands of other packages, and would add them again in every call
        monkeypatch.setattr(cli.app, "registered_commands", list(own))
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call
