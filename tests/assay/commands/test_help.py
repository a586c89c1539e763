from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
import typer
import typer.main
from assay.cli import app


def commands() -> dict[str, Any]:
    """Every command by the words that call it; () is `assay` itself."""
    for point in entry_points(group="assay.commands"):
        point.load()(app)

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        yield " ".join(words), command
        for name, part in getattr(command, "commands", {}).items():
            yield from walk(part, (*words, name))

    return dict(walk(typer.main.get_command(app), ()))


COMMANDS = commands()


def test_the_commands_are_those_that_the_documents_name() -> None:
    expected = "list show new check run quickstart board compare data pack verify log replay submit"
    expected += " diagnose"
    groups = {"translate", "data where", "data prepare", "log show", "log add"}
    groups |= {"claims", "audit", "aa", "site", "site build", "site serve"}
    groups |= {"parity", "sandbox", "queue", "epoch", "epoch new", "epoch reveal", "epoch list"}
    assert {*expected.split(), "", *groups} == set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_every_parameter_is_documented(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    undocumented = [parameter.name for parameter in command.params if not parameter.help]
    assert undocumented in ([], ["install_completion", "show_completion"])


def test_completion_is_that_of_assay_however_it_was_called() -> None:
    command = [sys.executable, "-m", "assay", "--show-completion", "bash"]
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "_ASSAY_COMPLETE=complete_bash" in said.stdout
    assert said.stdout.strip().endswith(" assay")


@pytest.mark.parametrize("words", COMMANDS)
def test_help_of_every_command_prints(words: str, assay: Callable[..., Any]) -> None:
    said = assay(*words.split(), "--help")
    assert (said.code, said.err) == (0, "")
    assert "Usage: " in said.out
    for parameter in COMMANDS[words].params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert option in said.out
