"""Records by somebody who means harm: nothing runs, nothing leaves the folder, all is reported."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
from assay.plugins.registry import method_entries, task_entries
from assay.records.bundle import pack
from assay.records.schema import MAX_COUNT, MAX_SECONDS
from assay.records.store import Store
from assay_leaderboard.site.build.build import build
from assay_leaderboard.site.build.plan import BuildRequest, Built

from tests.benchmarks import site as simulation

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
BIDI = "safe\u202egnp.exe\u2066\u0007\x1e"
FORMULA = '=HYPERLINK("javascript:alert(1)","x")'
LINK = "javascript:alert(document.domain)"


class Attack:
    """The user's own folder beside a sound published one."""

    def __init__(self, simulated: Any, root: Path) -> None:
        self.simulated, self.root = simulated, root
        self.local = root / "assay-results"
        self.runs = simulation.cell("t00", "m003", salt=3)
        for bundle in simulated.results.glob("t00--m003*"):
            bundle.unlink()  # so that the local results are the ones that count

    def store(self, **changes: Any) -> None:
        """Write the runs with `changes`."""
        store = Store(self.local)
        for run in self.runs:
            store.write(run.model_copy(update=changes))

    def spoil(self, place: Path, old: str, new: str) -> None:
        text = place.read_text()
        assert old in text
        place.write_text(text.replace(old, new, 1))

    def build(self) -> Built:
        return build(BuildRequest(out=self.root / "site", local=self.local, jobs=1, cache=False))

    def page(self, path: str) -> Any:
        return parsed(self.root / "site" / path)


@pytest.fixture
def attack(simulated: Any, tmp_path: Path) -> Attack:
    return Attack(simulated, tmp_path)


def parsed(path: Path) -> Any:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(path.read_bytes(), transport_encoding="utf-8")


def check_harmless(site: Path) -> None:
    """Nothing on any page of the attacker, or of the whole board, runs or steers; no cell computes.

    The whole syntax is looked at where harm could be; characters and CSV everywhere.
    """
    folders = ("method/m00[13]", "task/t00", "log", "claims", "method", "task", ".")
    pages = ("run/*/m003.html", *(f"{name}/index.html" for name in folders))
    for path in {found for name in pages for found in site.glob(name)}:
        for element in parsed(path).iter():
            if not isinstance(element.tag, str):
                continue
            assert element.tag not in ("iframe", "object", "embed", "base", "form", "img"), path
            assert element.tag != "script" or (element.get("src") and not element.text), path
            for name, value in element.items():
                assert not str(name).startswith("on") and name != "style", path
                if name in ("href", "src"):
                    assert not value.strip().lower().startswith(("javascript", "vbscript")), path
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert not {"\u202e", "\u2066", "\u0007", "\x1b", "\x1e"} & set(text), path
    for path in site.rglob("*.csv"):
        with path.open(newline="") as file:
            for row in csv.reader(file):
                for cell in row:
                    number = cell.lstrip("-").replace(".", "").replace("e-", "").isdigit()
                    assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), path


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_texts_of_records_run_nowhere(attack: Attack) -> None:
    environment = attack.runs[0].environment.model_copy(
        update={"cpu": EVIL, "platform": LINK, "device": FORMULA, "commit": EVIL}
    )
    attack.store(
        status="failed",
        result=None,
        message=f"{EVIL} {LINK}",
        reproduce=f"{LINK} {EVIL}",
        created_at=FORMULA,
        environment=environment,
    )
    attack.build()
    check_harmless(attack.root / "site")
    page = (attack.root / "site/run/t00/m003.html").read_text()
    assert "&lt;script&gt;alert(1)" in page


def test_names_of_hyperparameters_run_nowhere(attack: Attack) -> None:
    refs = attack.runs[0].spec.task, attack.runs[0].spec.method
    point = {EVIL: FORMULA, LINK: EVIL}
    draw = np.random.default_rng(1)
    attack.runs[1] = simulation.record(refs, point, 0, 1, 0.5, draw)
    attack.store()
    assert not [p for p in attack.build().problems if "m003 on t00" not in p and ".zip" not in p]
    check_harmless(attack.root / "site")
    assert "&lt;script&gt;" in (attack.root / "site/run/t00/m003.html").read_text()


def test_texts_of_cards_run_nowhere(attack: Attack) -> None:
    """A card that was never reviewed: of the submitter's own checkout."""
    card = attack.simulated.root / "submissions" / "m001" / "card.toml"
    text = card.read_text().replace("A. Nobody", EVIL.replace('"', "'"))
    text = text.replace('title = "Simulated method m001"', f"title = '{FORMULA}'")
    text = text.replace('text = "Better', f'text = "{EVIL[2:]} Better').replace("nowhere", LINK)
    paper = f"[paper]\ntitle = '{EVIL}'\nyear = 2020\nidentifier = '{LINK} arXiv:1234.56789'\n"
    card.write_text(text + paper)
    attack.simulated.forget()
    attack.build()
    check_harmless(attack.root / "site")
    page = attack.page("method/m001/index.html")
    addresses = [e.get("href") for e in page.iter("a") if "arxiv" in str(e.get("href"))]
    assert set(addresses) <= {"https://arxiv.org/abs/1234.56789"}


@pytest.mark.parametrize("value", ["1e100", "-1e100", "1e50", "1e-320"])
def test_huge_numbers_overflow_nowhere(attack: Attack, value: str) -> None:
    number = float(value)
    curve = [
        replace(point, val=number, test=number, x=number, y=-number)
        for point in attack.runs[0].curve
    ]
    usage = attack.runs[0].usage.model_copy(
        update={"train_seconds": MAX_SECONDS, "cpu_seconds": MAX_SECONDS, "passes": MAX_COUNT}
    )
    changes: dict[str, Any] = {"curve": curve, "usage": usage}
    if abs(number) < 1:
        score = dict.fromkeys(("val", "test", "test_last", "test_oracle"), number)
        changes["result"] = attack.runs[0].result.model_copy(update=score)
    attack.store(**changes)
    attack.build()
    check_harmless(attack.root / "site")
    for path in (attack.root / "site").rglob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)


def test_scores_that_are_none_are_left_out_and_said(attack: Attack) -> None:
    result = attack.runs[0].result
    attack.store(result=result.model_copy(update={"test": 1e300}))
    built = attack.build()
    named = [problem for problem in built.problems if attack.runs[0].id in problem]
    assert named and all("1e+100" in problem or "result.test" in problem for problem in named)


def test_everything_that_is_wrong_is_reported_in_one_go(attack: Attack) -> None:
    """And what is sound is shown all the same."""
    results, local = attack.simulated.results, attack.local
    attack.store()
    runs = local / "runs" / "t00" / "m003"
    repetitions = [runs / f"{run.id}.json" for run in attack.runs[:8]]
    attack.spoil(repetitions[0], '"train_seconds": ', '"train_seconds": NaN, "was": ')
    attack.spoil(repetitions[1], '"schema_version": 2', '"schema_version": 99')
    repetitions[2].write_text(repetitions[2].read_text()[:200])
    repetitions[3].write_text("[" * 100_000)
    repetitions[4].write_bytes(b"\xff\xfe")
    shutil.copy(repetitions[5], repetitions[6])
    repetitions[7].unlink()
    repetitions[7].mkdir()
    shutil.copy(repetitions[5], runs / "0123456789abcdef.json")
    for name in ("<script>", "..%2f..", "a b"):
        (local / "runs" / "t00" / name).mkdir()
        shutil.copy(repetitions[5], local / "runs" / "t00" / name)
        (local / "runs" / name / "m003").mkdir(parents=True)
        shutil.copy(repetitions[5], local / "runs" / name / "m003")
    bundles = sorted(results.glob("t01*.zip"))
    bundles[0].write_bytes(bundles[0].read_bytes()[:-30])
    bundles[1].write_bytes(b"")
    shutil.copy(bundles[2], results / bundles[2].name.replace("t01", "t02"))
    bundles[3].unlink()
    os.symlink("/etc/passwd", bundles[3])
    built = attack.build()
    expected = [
        *(path.stem for path in repetitions[:5]),
        repetitions[6].stem,
        repetitions[7].stem,
        "0123456789abcdef",
        "<script>",
        "..%2f..",
        "a b",
        bundles[0].name,
        bundles[1].name,
        bundles[2].name.replace("t01", "t02"),
        bundles[3].name,
    ]
    for name in expected:
        assert [problem for problem in built.problems if name in problem], name
    check_harmless(attack.root / "site")
    log = (attack.root / "site" / "log" / "index.html").read_text()
    assert log.count("<li>") >= len(built.problems)
    assert "m003" in (attack.root / "site" / "task" / "t00" / "index.html").read_text()
    assert names_in(attack.root) == {"assay-results", "checkout", "site"}


def test_a_bundle_with_a_hostile_source_is_never_unpacked(attack: Attack) -> None:
    """Nor is its code run: the files of a bundle stay in memory."""
    source = method_entries()["m003"].contents
    name, data = pack(attack.runs, source, task_entries()["t00"].card.metric)
    (attack.simulated.results / name).write_bytes(data)
    built = attack.build()
    assert f"{name}: no entry of the log names it" in built.problems
    assert not list((attack.root / "site").rglob("method.py"))


def test_a_record_that_claims_another_cell_is_left_out(attack: Attack) -> None:
    attack.store()
    own = attack.local / "runs" / "t00"
    (own / "m000").mkdir()
    shutil.copy(own / "m003" / f"{attack.runs[0].id}.json", own / "m000")
    built = attack.build()
    assert any("belongs in" in problem for problem in built.problems)
