"""What a method is held against, asked of a real worker: with files that no run gets."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from assay.checking import parity
from assay.checking.parity import check_parity, report_parity
from assay.engine import pool as pools
from assay.engine.pool import Pool
from assay.plugins.registry import find_method, method_entries, method_ref

from tests.assay.commands.conftest import assay  # noqa: F401  (a fixture)


def test_equations_and_the_base_reach_the_worker(pool: Pool) -> None:
    found = list(check_parity(pool, method_entries()["adam_half_lr"]))
    assert {one.check for one in found} == {"parity"}
    assert all(one.claimed for one in found)
    told = [f"{one.status} {one.detail}" for one in found]
    assert told[0].startswith("ok its equations: the numbers of equations.py")
    assert any(text.endswith("it is adam at half the learning rate") for text in told)
    assert told[-1].startswith("ok no difference and no fault: clearing gradients, tensors of one")


def test_a_card_that_is_contradicted_fails(pool: Pool, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    adam = method_entries()["adam"].source
    (folder / "method.py").write_bytes(adam.read_bytes())
    (folder / "equations.py").write_text(
        "def steps(problem, w, h):\n    while True:\n        yield w"
    )
    card = 'slug = "mine"\ntitle = "Mine"\n[parity]\n'
    (folder / "card.toml").write_text(f'{card}library = "torch.optim.SGD"\n')
    failed = [one for one in check_parity(pool, find_method(str(folder))) if one.status == "failed"]
    assert [one.detail.partition(":")[0] for one in failed] == ["its equations", "a library"]
    (folder / "card.toml").write_text(f'{card}base = "adamm"\n')
    (only,) = check_parity(pool, find_method(str(folder)))
    assert (only.status, "adamm" in only.detail, "adam" in only.detail) == ("failed", True, True)


def test_the_rows_of_many_are_written_as_data(
    pool: Pool,
    assay: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "Pool", lambda **options: contextlib.nullcontext(pool))
    path = tmp_path / "deep" / "parity.json"
    said = assay("parity", "sgd", "cross_entropy", "--write", str(path))
    assert (said.code, said.out.splitlines()[0]) == (0, "sgd")
    written = json.loads(path.read_text())
    (method,) = written["methods"]  # a loss has no rows
    assert method["code_hash"] == method_ref(method_entries()["sgd"]).code_hash
    assert {row["name"]: row["status"] for row in method["rows"]}["library"] == "ok"
    assert set(written["versions"]) == {"torch", "pytorch_optimizer"}
    (tmp_path / "file").write_text("")
    said = assay("parity", "cross_entropy", "--write", str(tmp_path / "file" / "x.json"))
    assert (said.code != 0, "choose another with --write" in said.err) == (True, True)


def test_one_that_cannot_be_loaded_is_told_among_the_others(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("from assay import Method\nclass B(Method):\n    x = 1 / 0\n")
    seen: list[parity.MethodParity] = []
    made = report_parity(pool, [find_method(str(path))], seen.append)
    assert made.methods == seen
    (row,) = made.methods[0].rows
    assert (row.status, "ZeroDivisionError" in row.detail) == ("failed", True)
