"""`assay pack`, `assay verify` and `assay log` as a user meets them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Assay = Callable[..., Any]


@pytest.fixture
def packed(submission: Any, assay: Assay) -> Path:
    """A bundle in ./bundles, made from ./records."""
    submission.record("digits_step", "full")
    said = assay("pack", "./my_opt", "--results", "records")
    assert (said.code, said.err) == (0, "")
    assert "next: assay verify bundles/*.zip" in said.out
    (path,) = Path("bundles").glob("*.zip")
    assert f"{path}  {path.stat().st_size:,} bytes" in said.out
    return path


def test_from_records_to_a_published_and_retracted_bundle(packed: Path, assay: Assay) -> None:
    said = assay("verify", str(packed), "--published", "pub")
    assert (said.code, said.out) == (0, f"{packed}: valid (tier T1)\n")
    assert assay("log", "add", "publish", str(packed), "--published", "pub").code == 0
    head = json.loads(assay("log", "show", "--published", "pub", "--json").out)["head"]
    added = assay("log", "add", "retract", packed.name, "--reason", "why", "--published", "pub")
    assert (added.code, "why" in added.out) == (0, True)
    shown = assay("log", "show", "--published", "pub").out
    assert re.search(r"publish +digits_step--my_opt", shown) and "2 entries, head " in shown
    said = assay("verify", "--log", "--head", head, "--published", "pub")
    assert (said.code, said.out) == (0, "pub: log and files are sound\n")
    log = Path("pub/log.jsonl")
    log.write_text(log.read_text().replace("why", "because"))
    said = assay("verify", "--log", "--published", "pub")
    assert said.code == 1
    assert "line 2: was edited" in said.out and "NOT sound" in said.out


def test_pack_says_what_was_left_out(submission: Any, assay: Assay) -> None:
    submission.record("digits_step", "full")
    runs = submission.record("digits_cnn")
    submission.store.path_of(runs[7]).unlink()
    said = assay("pack", "my_opt", "--results", "records", "--json")
    answer = json.loads(said.out)
    assert len(answer["written"]) == 1
    assert answer["written"][0]["n_bytes"] == Path(answer["written"][0]["path"]).stat().st_size
    assert "73 of 96 runs have no record yet" in answer["left_out"][0]
    said = assay("pack", "my_opt", "--results", "records", "--out", "my bundles")
    assert "left out: digits_cnn" in said.err
    assert said.out.endswith("next: assay verify 'my bundles'/*.zip\n")


def test_verify_says_what_is_wrong_with_each_and_imports_no_plugin(
    packed: Path, assay: Assay, tmp_path: Path
) -> None:
    other = tmp_path / "x.zip"
    other.write_bytes(packed.read_bytes())
    named = (str(packed), str(other), "nowhere.zip")
    said = assay("verify", *named, "--published", "pub", "--json")
    assert said.code == 1
    answers = json.loads(said.out)["bundles"]
    assert [answer["valid"] for answer in answers] == [True, False, False]
    assert answers[0]["findings"] == []
    assert answers[1]["findings"][0]["code"] == "unreadable"
    assert not any("my_opt" in name for name in sys.modules)
    said = assay("verify", str(other), "--published", "pub")
    assert said.code == 1
    assert "NOT valid" in said.out and "the content belongs to a file called" in said.out


def test_a_hostile_name_does_not_steer_the_terminal(assay: Assay, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m.zip"
    path.write_bytes(b"")
    assert "\x1b" not in assay("verify", str(path), "--published", "pub").out


def test_results_that_cannot_be_written(submission: Any, assay: Assay, tmp_path: Path) -> None:
    submission.record("digits_step", "full")
    (tmp_path / "file").touch()
    said = assay("pack", "./my_opt", "--results", "records", "--out", "file/bundles")
    assert said.code == 3 and said.err.count("\n") == 1


def test_log_of_nothing(assay: Assay) -> None:
    said = assay("log", "show", "--published", "nowhere")
    assert (said.code, said.out) == (0, f"0 entries, head {'0' * 64}\n")


def test_verify_needs_the_folder_that_it_is_given(assay: Assay) -> None:
    said = assay("verify", "--log", "--published", "nowhere")
    assert (said.code, said.out) == (2, "")
    assert "nowhere: no such folder" in said.err
