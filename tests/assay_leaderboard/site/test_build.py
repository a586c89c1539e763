"""`assay site build`: what a site holds, every link alive, and what the command says."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import html5lib
import pytest
from assay.errors import AssayError, LogError
from assay.paths import ROOT
from assay.plugins.registry import method_entries, method_ref
from assay.records import log as publog
from assay.records.store import Store
from assay_leaderboard.site.commands import app
from assay_leaderboard.site.output import MARKER
from typer.testing import CliRunner

from tests.assay_leaderboard.site.conftest import Files, made
from tests.benchmarks import site as simulation


@pytest.fixture(scope="module")
def trees(site: Files) -> dict[str, Any]:
    """The tree of every page; an error of syntax is an exception."""
    return {
        path: html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(
            data, transport_encoding="utf-8"
        )
        for path, data in site.items()
        if path.endswith(".html")
    }


def test_every_file_is_in_the_manifest_with_its_size_and_hash(site: Files) -> None:
    listed = json.loads(site["data/v1/manifest.json"])["files"]
    found = {file["path"]: (file["n_bytes"], file["sha256"]) for file in listed}
    wanted = {
        path: (len(data), sha256(data).hexdigest())
        for path, data in site.items()
        if path not in (MARKER, "data/v1/manifest.json")
    }
    assert found == wanted


def test_home_counts_the_runs_of_the_long_table(site: Files) -> None:
    n_runs = len(site["data/v1/results.csv"].splitlines()) - 1
    assert f"<strong>{n_runs:,}</strong> runs" in site["index.html"].decode()


def test_replays_tries_data_and_seeds_are_shown(site: Files) -> None:
    run = site["run/t00/m001.html"].decode()
    assert "3 runs repeated by others: 3 bit for bit" in run and "T2 L2, ranked" in run
    assert run.count("<td>identical</td>") == 3
    method = site["method/m001/index.html"].decode()
    assert 'id="repeated"' in method and "allowed without a flag" in method
    assert "ranks stand on public seeds" in site["task/t00/index.html"].decode()
    rules = site["how/index.html"].decode()
    assert "nothing ranks below T2" in rules and "No epoch of hidden seeds has begun" in rules
    board = json.loads(site["data/v1/board.json"])
    assert board["view"] == "published" and board["tasks"][0]["seeds"]["epoch"] is None
    row = board["tasks"][0]["rows"][0]
    assert (row["replay"]["n"], row["tries"], row["refused"]) == (3, 1, 0)


def test_every_link_leads_somewhere(site: Files, trees: dict[str, Any]) -> None:
    ids = {path: set(ids_in(page)) for path, page in trees.items()}
    dead = []
    for path, page in trees.items():
        for address in addresses(page):
            parts = urlsplit(address)
            if parts.scheme:
                assert parts.scheme in ("http", "https", "data"), address
                continue
            target = (
                os.path.normpath(Path(path).parent / unquote(parts.path)) if parts.path else path
            )
            if target not in site:
                dead.append((path, address))
            elif "=" not in parts.fragment and parts.fragment not in {"", *ids.get(target, ())}:
                dead.append((path, address))  # a fragment with = is a state of the page
    assert not dead


def test_pages_are_sound_html_without_anything_inline(trees: dict[str, Any]) -> None:
    assert len(trees) > 30
    for path, page in trees.items():
        doubled = [name for name, n in Counter(ids_in(page)).items() if n > 1]
        assert not doubled, path
        policies = [
            e.get("content")
            for e in page.iter("meta")
            if e.get("http-equiv") == "Content-Security-Policy"
        ]
        assert len(policies) == 1 and "unsafe" not in policies[0], path
        for element in page.iter():
            if not isinstance(element.tag, str):
                continue
            assert not {a for a in element.attrib if a == "style" or a.startswith("on")}, path
            assert element.tag != "style", path
            assert element.tag != "script" or (element.get("src") and not element.text), path


def test_every_row_leads_to_its_runs(site: Files) -> None:
    board = json.loads(site["data/v1/board.json"])
    rows = [(table["task"], row) for table in board["tasks"] for row in table["rows"]]
    assert len(rows) == 12
    for task, row in rows:
        page = site[f"run/{task}/{row['method']}.html"].decode()
        n_runs = sum(row["runs"][name] for name in ("completed", "diverged", "failed"))
        assert page.count('<section class="run"') == n_runs == 96
        assert page.count("assay run ") > n_runs


def ids_in(page: Any) -> list[str]:
    return [e.get("id") for e in page.iter() if isinstance(e.tag, str) and e.get("id")]


def addresses(page: Any) -> list[str]:
    found = []
    for element in page.iter():
        if isinstance(element.tag, str):
            found += [v for k, v in element.items() if k in ("href", "src")]
    return found


def test_a_broken_log_stops_the_build(simulated: Any, tmp_path: Path) -> None:
    log = simulated.results / publog.LOG
    log.write_bytes(log.read_bytes().replace(b'"n":2', b'"n":3', 1))
    with pytest.raises(LogError):
        made(tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_nothing_to_show_is_said(simulated: Any, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(AssayError, match="no results in"):
        made(tmp_path / "site", results=tmp_path / "none")


def test_local_results_stand_beside_published_ones(simulated: Any, tmp_path: Path) -> None:
    local = tmp_path / "assay-results"
    for record in simulation.cell("t00", "m003", salt=7):
        spec = record.spec.model_copy(update={"repetition": record.spec.repetition + 12})
        if spec.repetition < 14:  # two repetitions more than are published
            Store(local).write(record.model_copy(update={"spec": spec, "id": spec.id}))
    made(tmp_path / "published")
    made(tmp_path / "both", local=local)
    page = (tmp_path / "both" / "task" / "t00" / "index.html").read_text()
    assert "16 of 112 runs are local" in page
    runs = (tmp_path / "both" / "run" / "t00" / "m003.html").read_text()
    assert runs.count('<span class="tag local">local</span>') == 16
    raw = (tmp_path / "both/data/v1/runs/t00/m003.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in raw}) == 16
    banner = "<strong>local</strong>"
    assert banner in page and banner not in (tmp_path / "published/index.html").read_text()
    rows = json.loads((tmp_path / "both" / "data" / "v1" / "board.json").read_text())
    found = {row["method"]: (row["trust"], row["tuned"]["n"]) for row in rows["tasks"][0]["rows"]}
    others = dict.fromkeys(("m000", "m001", "m002"), ("T2", 12))
    assert found == {**others, "m003": ("T0", 14)}


def test_a_run_leads_to_its_bundle_record_source_and_entry(site: Files) -> None:
    page = site["run/t00/m001.html"].decode()
    bundle = re.search(r'href="(../../data/v1/bundles/[^"]+)" download', page)
    entry = re.search(r'href="../../log/index.html#(entry\d+)"', page)
    assert bundle and entry
    assert bundle[1].removeprefix("../../") in site
    assert f'id="{entry[1]}"' in site["log/index.html"].decode()
    assert 'href="../../method/m001/source.txt"' in page
    assert "SCALE = 1" in site["method/m001/source.txt"].decode()
    assert "bit for bit as recorded" in page and "may differ by ±2.0 %" in page


def test_results_of_ruleset_1_are_listed_and_ranked_nowhere(simulated: Any, tmp_path: Path) -> None:
    """Here one that was published then."""
    bundle = next((ROOT / "tests" / "assay" / "records" / "ruleset1").glob("*.zip"))
    folder = tmp_path / "former"
    folder.mkdir()
    shutil.copy(bundle, folder)
    card = ROOT / "tasks" / "digits_mlp"
    shutil.copytree(card, simulated.root / "tasks" / "digits_mlp")
    simulated.forget()
    publog.append(folder, "publish", folder / bundle.name)
    made(tmp_path / "site", results=folder)
    home = (tmp_path / "site" / "index.html").read_text()
    page = (tmp_path / "site" / "task" / "digits_mlp" / "index.html").read_text()
    assert "Results of ruleset 1, kept for reference: 1, listed" in home
    assert "Nothing is ranked yet under ruleset 2" in home
    assert "<h3>Ruleset 1</h3>" in page and "n=12" in page
    assert "No results under ruleset 2 yet." in page
    board = json.loads((tmp_path / "site" / "data" / "v1" / "board.json").read_text())
    (task,) = board["tasks"]
    assert task["rows"] == [] and task["pairs"] is None
    assert task["former"][0]["method"] == "cross_entropy" and board["families"][0]["rows"] == []


def test_the_command_prints_what_it_did_and_all_problems(simulated: Any, tmp_path: Path) -> None:
    bundles = sorted(simulated.results.glob("*.zip"))
    bundles[0].write_bytes(bundles[0].read_bytes()[:-100])
    (simulated.results / bundles[1].name.replace("m001", "m009")).write_bytes(b"")
    done = CliRunner().invoke(app, ["build", "--jobs", "1", "--no-cache"])
    assert done.exit_code == 0, done.output
    assert "3 tasks" in done.stdout and "assay site serve" in done.stdout
    problems = [line for line in done.stderr.splitlines() if line.startswith("not shown: ")]
    assert len(problems) == 2
    log = Path("site/log/index.html").read_text()
    for problem in problems:
        assert problem.split(": ")[1] in log
    assert str(tmp_path) not in log + done.stderr


def test_the_command_prints_json(simulated: Any) -> None:
    done = CliRunner().invoke(app, ["build", "--jobs", "1", "--no-cache", "--json"])
    said = json.loads(done.stdout)
    assert (said["n_tasks"], said["problems"]) == (3, [])
    listed = json.loads(Path("site/data/v1/manifest.json").read_text())["files"]
    assert said["n_files"] == len(listed) + 1


def test_reports_of_other_commands_must_be_what_they_print(simulated: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    for text in ("[1]", "{}", '{"attacks": "many"}', '[{"slug": 1}]'):
        report.write_text(text)
        with pytest.raises(AssayError, match="is not the report that was expected"):
            made(tmp_path / "site", scorecard=report)
        with pytest.raises(AssayError, match="is not the report that was expected"):
            made(tmp_path / "site", queue=report)
    report.write_text('{"counts": {}, "counts": {}}')
    with pytest.raises(AssayError, match="stands twice"):
        made(tmp_path / "site", scorecard=report)
    with pytest.raises(AssayError, match="No such file"):
        made(tmp_path / "site", scorecard=tmp_path / "none.json")


def test_reports_are_shown(simulated: Any, tmp_path: Path) -> None:
    waiting = [
        {"slug": "my_opt", "state": "open", "tasks": ["digits"], "since": "2026-01-01",
         "age_days": 1.5, "next_action": "review it"}
    ]  # fmt: skip
    attack = {"slug": "frame_walk", "does": "walks", "ended": "failed", "expected": "failed",
              "stopped_by": "a process", "evidence": "none", "seconds": 1.0}  # fmt: skip
    card = {"level": "L2", "mechanism": "bubblewrap", "counts": {"failed": 1}, "attacks": [attack]}
    files = {}
    for name, value in (("queue", waiting), ("scorecard", card)):
        files[name] = tmp_path / f"{name}.json"
        files[name].write_text(json.dumps(value))
    refs = {slug: method_ref(entry) for slug, entry in method_entries().items()}
    known, other = sorted(refs)[:2]
    row = {"name": "equations", "label": "its equations", "status": "ok", "detail": "equal",
           "numbers": {"difference": 0.0}}  # fmt: skip
    compared = [
        {"slug": known, "version": 1, "code_hash": refs[known].code_hash, "rows": [row]},
        {"slug": other, "version": 1, "code_hash": "0" * 64, "rows": [row]},
    ]
    report = {"versions": {"torch": "9.9"}, "methods": compared}
    (simulated.root / "leaderboard/results/parity.json").write_text(json.dumps(report))
    made(tmp_path / "site", **files)
    shown = {slug: (tmp_path / f"site/method/{slug}/index.html").read_text() for slug in refs}
    assert [slug for slug, text in shown.items() if "its equations" in text] == [known]
    assert "my_opt" in (tmp_path / "site/queue/index.html").read_text()
    assert "frame_<wbr>walk" in (tmp_path / "site/sandbox/index.html").read_text()
