"""Results of ruleset 1: small summaries, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.errors import BundleError
from assay.identity import sha256
from assay.records import former
from assay.records.former import FormerResult
from assay.untrusted.zip_archive import read_archive, write_archive

HASH = "0" * 64
Members = dict[str, bytes]


def study(task: str, method: str, runs: list[str], **changes: Any) -> dict[str, Any]:
    facts = {
        "kind": "study",
        "schema_version": 1,
        "id": "5" * 16,
        "ruleset": 1,
        "preset": "full",
        "task": {"slug": task, "version": 1, "code_hash": HASH},
        "method": {"slug": method, "version": 2, "code_hash": HASH},
        "trials": [{"number": number} for number in range(12)],
        "selected_runs": runs,
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return facts | changes


def run(number: int, test: float | None) -> dict[str, Any]:
    result = None if test is None else {"val": 0.5, "test": test}
    return {"schema_version": 1, "id": f"{number:016x}", "result": result, "curve": [{"batch": 1}]}


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def written(folder: Path, members: Members, task: str = "beale", method: str = "my_opt") -> Path:
    data = write_archive(members)
    path = folder / f"{task}--{method}-v2--{sha256(data)[:16]}.zip"
    path.write_bytes(data)
    return path


def members_of(task: str = "beale", method: str = "my_opt") -> Members:
    runs = [run(0, 0.5), run(1, None), run(2, 0.75)]
    names = [one["id"] for one in runs[:2]]
    quick = study(task, method, names, preset="quick", id="4" * 16, selected_runs=["f" * 16])
    return {
        "environment.json": b"{}",
        "manifest.json": b"{}",
        "runs.jsonl": lines(*runs),
        "studies.jsonl": lines(quick, study(task, method, names)),
    }


def old_bundle(task: str, method: str, folder: Path) -> Path:
    """A small bundle of format 1."""
    return written(folder, members_of(task, method), task, method)


def test_a_bundle_gives_a_summary(tmp_path: Path) -> None:
    found = former.read_bundle(old_bundle("beale", "my_opt", tmp_path))
    assert found == FormerResult("beale", "my_opt", 2, 1, 12, (0.5, None))
    assert found.n == 2
    assert found.mean(0.1) == pytest.approx(0.3)
    assert FormerResult("beale", "my_opt", 2, 1, 12, ()).mean(0.1) is None


def test_bundles_of_this_format_are_none_of_these(bundles: dict[str, Path]) -> None:
    assert [former.read_bundle(path) for path in bundles.values()] == [None, None]


def test_a_bundle_that_was_published_then_is_read() -> None:
    (path,) = Path(__file__).with_name("ruleset1").glob("*.zip")
    result = former.read_bundle(path)
    assert result is not None
    assert (result.task, result.ruleset, result.k, result.n) == ("digits_mlp", 1, 12, 12)
    assert result.mean(0.1) == pytest.approx(0.93, abs=0.05)


def test_a_store_gives_one_summary_a_method(tmp_path: Path) -> None:
    for method in ("adam", "sgd"):
        names = [run(number, 0.5)["id"] for number in range(3)]
        for folder, record in (
            ("studies", study("beale", method, names)),
            ("studies", study("beale", method, names, id="4" * 16, preset="quick")),
            ("runs", run(0, 0.5)),
            ("runs", run(1, 0.25)),
        ):
            path = tmp_path / folder / "beale" / method / f"{record['id']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record))
    damaged = tmp_path / "studies" / "beale" / "sgd" / f"{'6' * 16}.json"
    damaged.write_text("{")
    problems: list[str] = []
    adam, sgd = former.read_store(tmp_path, "beale", problems)
    assert (adam.method, sgd.method, adam.tests, sgd.n) == ("adam", "sgd", (0.5, 0.25), 2)
    assert len(problems) == 1 and str(damaged) in problems[0]
    assert former.read_store(tmp_path, "beale") == [adam, sgd]
    assert former.read_store(tmp_path, "other") == []


def changed(name: str, data: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({name: data})


BAD: dict[str, tuple[Callable[[Members], object], str]] = {
    "no studies": (lambda members: members.pop("studies.jsonl"), "studies.jsonl is missing"),
    "empty": (changed("studies.jsonl", b""), "studies.jsonl is missing or empty"),
    "no runs": (lambda members: members.pop("runs.jsonl"), "runs.jsonl is missing"),
    "no JSON": (changed("runs.jsonl", b"{\n"), "runs.jsonl, line 1: .*Invalid JSON"),
    "NaN": (changed("runs.jsonl", lines({**run(0, 0.5), "result": {"test": float("nan")}})),
            "line 1: result.test"),
    "absurd": (changed("runs.jsonl", lines(run(0, 1e200))), "line 1: result.test"),
    "an id": (changed("runs.jsonl", lines({**run(0, 0.5), "id": "../x"})), "line 1: id"),
    "deep": (changed("runs.jsonl", b"[" * 100_000 + b"\n"), "line 1: "),
    "another ruleset": (changed("studies.jsonl", lines(study("beale", "my_opt", [], ruleset=2))),
                        "line 1: ruleset"),
    "a slug": (changed("studies.jsonl", lines(study("../x", "my_opt", []))), "line 1: task.slug"),
    "another task": (changed("studies.jsonl", lines(study("other", "my_opt", []))),
                     "a file called other--my_opt-v2"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_damaged_is_one_clear_error(tmp_path: Path, name: str) -> None:
    change, expected = BAD[name]
    members = members_of()
    change(members)
    path = written(tmp_path, members)
    with pytest.raises(BundleError, match=expected) as caught:
        former.read_bundle(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_the_name_is_the_content(tmp_path: Path) -> None:
    path = old_bundle("beale", "my_opt", tmp_path)
    members = {**read_archive(path.read_bytes()), "source/method.py": b"x = 1\n"}
    path.write_bytes(write_archive(members))
    with pytest.raises(BundleError, match="it was changed or renamed"):
        former.read_bundle(path)
    with pytest.raises(BundleError, match="cannot be read"):
        former.read_bundle(tmp_path / "none.zip")
