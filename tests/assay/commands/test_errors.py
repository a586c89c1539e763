from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay import paths
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Assay = Callable[..., Any]

NONSENSE = [
    "lst",
    "--nonsense",
    "list nonsense",
    "list task",
    "list tasks extra",
    "list --family nonsense",
    "list --tier small",
    "list --family",
    "list --json=yes",
    "show",
    "show difgrad",
    "show ./nowhere",
    "show ~nobody_here/x",
    "show adam sgd",
    "new",
    "new method",
    "new loss mine",
    "new method Bad-Name",
    "new method adam",
    "new task mine --in",
    "check",
    "run",
    "run adam",
    "run adam --task nonsense",
    "run adam --task digits_*x",
    "run adam --family nonsense",
    "run adam --tier nonsense",
    "run adam --task digits_cnn --tier paper",
    "run adma --task digits_cnn",
    "run adma diffgard --task digits_cnn",
    "run ./nowhere.py --task digits_cnn",
    "run . --task digits_cnn",
    "run lsq --task digits_cnn",
    "run adam ./adam.py --task digits_cnn",
    "run adam --task ./nowhere",
    "run adam --task digits_cnn --workers 0",
    "run adam --task digits_cnn --workers many",
    "run adam --task digits_cnn --threads 0",
    "run adam --task digits_cnn --threads 99999999999",
    "run adam --task digits_cnn --accelerator tpu",
    "run adam --task digits_cnn --isa sse",
    "run adam --task digits_cnn --repetition -1",
    "run adam --task digits_cnn --repetition 99999999999999999999999",
    "run adam --task digits_cnn --point -1",
    "run adam --task digits_cnn --repetitions 17",
    "run adam --task digits_cnn --point 1 --set lr=1",
    "run adam --task digits_cnn --repetition 0 --dry-run",
    "run adam --task digits_cnn --set",
    "quickstart --workers none",
    "quickstart now",
    "board nonsense",
    "board digits_cnn",
    "board --results nowhere",
    "board --metod adam",
    "compare",
    "compare adam",
    "compare adam sgd nonsense",
    "compare adam sgd digits_cnn",
    "data",
    "data nonsense",
    "data where digits",
    "data prepare",
    "data prepare cifar",
    "pack",
    "pack adma",
    "pack adam",
    "pack ./adam.py",
    "pack adam --results nowhere",
    "verify",
    "verify --head 0",
    "log",
    "log nonsense",
    "log add",
    "log add publish",
    "log add publih x.zip",
    "log add publish nowhere.zip",
    "log add retract nowhere.zip --reason x --published nowhere",
]


@pytest.mark.parametrize("line", NONSENSE)
def test_nonsense_ends_with_one_message(line: str, assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "adam.py").touch()
    said = assay(*line.split())
    assert said.code == 2
    message = said.out + said.err
    assert message.strip() and "Traceback" not in message
    ours = [row for row in said.err.splitlines() if row.startswith("assay: ")]
    usage = "Usage: " in message or "Error" in said.err
    assert len(ours) == (0 if usage else 1)
    if ours:
        assert said.out == ""


TOKENS = """
list show new data where prepare board compare run pack verify log add
publish --task --set --json --family --tier --results --dry-run
--help adam digits_cnn lr=1 / . .. ~ * -1 0 %s {} [a-z]
"""
WORDS = st.one_of(st.sampled_from(["", *TOKENS.split()]), st.text(string.printable, max_size=12))


@pytest.fixture
def nothing_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` reads all that is published, seconds for this checkout."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "published")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=st.lists(WORDS, min_size=1, max_size=5))
def test_no_words_make_a_traceback(words: list[str], assay: Assay, nothing_published: None) -> None:
    if words[0] in ("check", "quickstart", "run"):  # they may start work
        words[0] = "list"
    if words[:2] == ["data", "prepare"]:  # it may download
        words[1] = "where"
    said = assay(*words)
    refused = words[0] == "verify" and said.code == 1  # what was given is no sound bundle
    assert said.code in (0, 2, 3) or refused
    assert "Traceback" not in said.out + said.err
    assert said.code == 0 or refused or said.err or "Usage: " in said.out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("show difgrad", "no task or method is called 'difgrad'. Did you mean diffgrad"),
        ("show digits_cnm", "Did you mean digits_cnn"),
        ("run adma --task digits_cnn", "no method is called 'adma'. Did you mean adam"),
        ("run adam --task digit_cnn", "no task is called 'digit_cnn'. Did you mean digits_cnn"),
        ("list --family clasification", "Did you mean classification"),
        ("list --tier lit", "Did you mean lite?"),
        ("list metods", "Did you mean methods?"),
        ("new metod x", "Did you mean method?"),
        ("data prepare cifar-10", "Did you mean cifar10"),
    ],
)
def test_did_you_mean(line: str, expected: str, assay: Assay) -> None:
    assert expected in assay(*line.split()).err


def test_a_file_that_is_no_python_is_no_method(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    said = assay("show", "./notes")
    assert (said.code, said.out) == (2, "")
    assert "./notes: is no Python file; expected a folder or a .py file" in said.err


def test_all_problems_with_names_come_at_once(assay: Assay) -> None:
    err = assay("run", "adma", "./no.py", "--task", "digits_cnn").err
    assert "adma" in err and "no.py" in err


def test_results_that_cannot_be_written(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = assay("run", "adam", "--task", "diffgrad_f1", "--results", "file/results")
    assert said.code == 3
    assert said.err.count("\n") == 1 and "file/results" in said.err


@pytest.mark.parametrize(
    "line",
    [
        "board --results {long}",
        "check {long}/x",
        "pack adam --results {long}",
        "epoch new spring --secret {long}",
        "verify --log --published {long}",
        "check adam.py/loop",
        "check loop/x",
        "pack adam --results adam.py",
    ],
)
def test_a_path_that_cannot_be_is_one_message(line: str, assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "adam.py").touch()
    (tmp_path / "loop").symlink_to("loop")
    said = assay(*line.format(long="x" * 300).split())
    assert said.code in (1, 2, 3)
    assert (said.out + said.err).count("\n") <= 3 and "Traceback" not in said.out + said.err


BAD_TASK = """\
slug = "bad"
version = 0
title = "Bad"
summary = "Everything is wrong."
family = "classificaton"
tier = "lite"
reference = "sgd"
colour = "red"

[dataset]
name = "digits"
source = "somewhere"

[model]
name = "mlp"

[metric]
name = "accuracy"
direction = "up"
chance = 0.1
margin = 0.0

[budget]
batches = "many"
batch_size = 32
seconds = 60
"""
PROBLEMS = {
    2: "version",
    5: "family",
    8: "colour: is not a key of this card",
    10: "dataset.licence: is missing",
    19: "metric.direction",
    21: "metric.margin",
    24: "budget.batches",
}


@pytest.mark.parametrize("command", ["show ./bad", "run adam --task ./bad"])
def test_a_malformed_card_shows_every_problem_with_its_line(
    command: str, assay: Assay, tmp_path: Path
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "card.toml").write_text(BAD_TASK)
    (folder / "task.py").touch()
    said = assay(*command.split())
    assert (said.code, said.out) == (2, "")
    found = said.err.removeprefix("assay: ").splitlines()
    assert len(found) == len(PROBLEMS)
    for line, problem in PROBLEMS.items():
        assert any(row.startswith(f"{folder}/card.toml:{line}: {problem}") for row in found), line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slug = 'bad", "not valid TOML"),
        ("slug = 'other'\ntitle = 'x'", "card.toml:1: slug: is 'other', expected the folder's"),
        ("\n\ntitle = 3\nslug = 'bad'", "card.toml:3: title"),
    ],
)
def test_a_malformed_submission_anywhere_stops_the_list(
    text: str, expected: str, assay: Assay, other_root: Path
) -> None:
    for name in ("bad", "worse"):
        folder = other_root / "submissions" / name
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(text)
    said = assay("list")
    assert said.code == 2
    assert expected in said.err
    assert "/bad/card.toml" in said.err and "/worse/card.toml" in said.err


def test_a_card_that_is_no_text(assay: Assay, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "method.py").touch()
    (folder / "card.toml").write_bytes(b"\xff\xfe")
    said = assay("show", "./bad")
    assert said.code == 2
    assert "cannot be read as UTF-8 text" in said.err
