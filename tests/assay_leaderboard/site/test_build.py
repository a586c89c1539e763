"""`assay site build`: all of it or nothing, the same bytes every time, every link alive."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import html5lib
import pytest
from assay.errors import AssayError, LogError, StorageError
from assay.paths import ROOT
from assay.plugins.registry import method_entries, method_ref
from assay.records import log as publog
from assay.records.store import Store
from assay_leaderboard.site.build import build as building
from assay_leaderboard.site.build import plan
from assay_leaderboard.site.build.build import build
from assay_leaderboard.site.build.plan import BuildRequest, Built
from assay_leaderboard.site.commands import app
from assay_leaderboard.site.output import MARKER, OutputFile, write
from typer.testing import CliRunner

from tests.benchmarks import site as simulation

Files = dict[str, bytes]
N_TASKS = 3


def made(out: Path, **options: Any) -> Built:
    return build(BuildRequest(out=out, **{"jobs": 1, "cache": False, **options}))


def files_of(site: Path) -> Files:
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def site(built: Path) -> Files:
    return files_of(built)


@pytest.fixture(scope="module")
def pages(site: Files) -> dict[str, Any]:
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


def test_the_same_records_make_the_same_bytes(site: Files, simulated: Any, tmp_path: Path) -> None:
    """In one process or two, with a cache or without, from parts that were kept."""
    assert made(tmp_path / "again").n_kept == 0
    assert files_of(tmp_path / "again") == site
    assert made(tmp_path / "pool", jobs=2, cache=True).n_kept == 0
    assert files_of(tmp_path / "pool") == site
    assert made(tmp_path / "kept", cache=True).n_kept == N_TASKS
    assert files_of(tmp_path / "kept") == site


def test_one_new_cell_remakes_its_task_alone(simulated: Any, tmp_path: Path) -> None:
    made(tmp_path / "site", cache=True)
    before = files_of(tmp_path / "site")
    simulation.rewrite(simulated.root, "t01")
    assert made(tmp_path / "site", cache=True).n_kept == N_TASKS - 1
    after = files_of(tmp_path / "site")
    assert after["task/t01/index.html"] != before["task/t01/index.html"]
    assert after["run/t00/m003.html"] == before["run/t00/m003.html"]
    made(tmp_path / "scratch")
    assert after == files_of(tmp_path / "scratch")


def test_a_site_is_left_alone_where_nothing_has_changed(
    site: Files, simulated: Any, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    first, folder = made(out, cache=True), out.stat().st_ino
    again = made(out, cache=True)
    assert again == first.model_copy(update={"n_kept": N_TASKS})
    assert out.stat().st_ino == folder
    (out / "log" / "index.html").unlink()
    (out / "mine.html").write_text("of somebody else")
    assert made(out, cache=True) == again
    assert files_of(out) == site and out.stat().st_ino != folder


def test_a_report_that_changes_is_shown(simulated: Any, tmp_path: Path) -> None:
    made(tmp_path / "site", cache=True)
    (simulated.results / "queue.json").write_text("[]")
    made(tmp_path / "site", cache=True)
    assert not (tmp_path / "site" / "queue").exists()
    waiting = {"slug": "new", "state": "open", "tasks": [], "since": "", "next_action": "wait"}
    (simulated.results / "queue.json").write_text(json.dumps([waiting]))
    made(tmp_path / "site", cache=True)
    assert (tmp_path / "site" / "queue" / "index.html").exists()


def spoil_text(part: Path) -> None:
    part.write_text("{", encoding="utf-8")


def spoil_schema(part: Path) -> None:
    part.write_text('{"table": 1}')


def spoil_path(part: Path) -> None:
    files = part.with_name("files.json")
    kept = json.loads(files.read_text())
    kept["files"][0]["path"] = "../../outside.html"
    files.write_text(json.dumps(kept))


def spoil_file(part: Path) -> None:
    page = next(part.parent.rglob("index.html"))
    page.unlink()
    page.write_text("<script>alert(1)</script>")


@pytest.mark.parametrize("spoil", [spoil_text, spoil_schema, spoil_path, spoil_file])
def test_a_damaged_cache_is_as_good_as_none(
    site: Files, simulated: Any, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    made(tmp_path / "first", cache=True)
    spoil(next(tmp_path.glob("cache/site/*/task-t00/*/part.json")))
    assert made(tmp_path / "second", cache=True).n_kept == N_TASKS - 1
    assert files_of(tmp_path / "second") == site
    assert not list(tmp_path.rglob("outside.html"))


def test_a_page_that_was_edited_in_a_site_does_not_come_back(
    site: Files, simulated: Any, tmp_path: Path
) -> None:
    """A site and the cache share files: what is written over in one is written over in both."""
    made(tmp_path / "first", cache=True)
    page = tmp_path / "first" / "task" / "t00" / "index.html"
    with page.open("a") as file:
        file.write("<p>mine")
    assert made(tmp_path / "first", cache=True).n_kept == N_TASKS - 1
    assert files_of(tmp_path / "first") == site


def test_the_bootstraps_that_are_kept_may_be_damaged(simulated: Any, tmp_path: Path) -> None:
    made(tmp_path / "site", cache=True)
    memos = list(tmp_path.glob("cache/site/*/memos/*.memo"))
    assert len(memos) == 4
    for path in memos:
        path.write_bytes(bytes(path.stat().st_size))
    simulation.rewrite(simulated.root, "t01")
    made(tmp_path / "site", cache=True)
    made(tmp_path / "scratch")
    assert files_of(tmp_path / "site") == files_of(tmp_path / "scratch")


def test_the_cache_holds_one_state_of_a_task(simulated: Any, tmp_path: Path) -> None:
    for _ in range(2):
        made(tmp_path / "site", cache=True)
        simulation.rewrite(simulated.root, "t02")
    assert len(list(tmp_path.glob("cache/site/*/task-t02/*"))) == 1


def test_every_link_leads_somewhere(site: Files, pages: dict[str, Any]) -> None:
    ids = {path: set(ids_in(page)) for path, page in pages.items()}
    dead = []
    for path, page in pages.items():
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


def test_pages_are_sound_html_without_anything_inline(pages: dict[str, Any]) -> None:
    assert len(pages) > 30
    for path, page in pages.items():
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


def test_a_folder_of_other_things_is_not_touched(simulated: Any, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("years of work")
    with pytest.raises(AssayError, match="holds other things than a site"):
        made(out)
    assert files_of(out) == {"chapter.txt": b"years of work"}
    (tmp_path / "file").write_text("x")
    with pytest.raises(AssayError, match="is a file"):
        made(tmp_path / "file")


def test_an_empty_folder_and_a_site_are_replaced(simulated: Any, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    made(out)
    (out / "old.html").write_text("of an earlier build")
    made(out)
    assert "old.html" not in files_of(out)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_system_that_cannot_exchange_folders_renames_them(
    simulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay_leaderboard.site.output._exchanged", lambda one, other: False)
    made(tmp_path / "site")
    (tmp_path / "site" / "old.html").write_text("of an earlier build")
    made(tmp_path / "site")
    assert "old.html" not in files_of(tmp_path / "site")


@pytest.mark.parametrize("error", [AssayError("no"), OSError(28, "No space left on device")])
def test_a_build_that_fails_leaves_the_site_as_it_was(
    simulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    out = tmp_path / "site"
    made(out)
    before = files_of(out)

    def fail(*arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(building.json_twins, "manifest", fail)
    with pytest.raises(AssayError):
        made(out)
    assert files_of(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "site"]


def begun(simulated: Any, out: Path) -> subprocess.Popen[str]:
    """`assay site build` in two processes, once it has kept its first task."""
    # A shell that starts a command in the background makes it ignore SIGINT, and so its children.
    program = f"""
import signal
from pathlib import Path
from assay import paths
from assay.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
paths.ROOT, paths.RESULTS = Path({str(simulated.root)!r}), Path({str(simulated.results)!r})
main()
"""
    command = [sys.executable, "-c", program, "site", "build", "--jobs", "2", "--out", str(out)]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not kept_tasks():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    return running


def kept_tasks() -> set[Path]:
    return set(Path(os.environ["ASSAY_CACHE"]).glob("site/*/task-*/[!.]*/part.json"))


@pytest.mark.parametrize("tell", [os.killpg, os.kill], ids=["the group", "the parent alone"])
def test_ctrl_c_is_one_line_and_what_was_finished_is_kept(
    simulated: Any, tmp_path: Path, tell: Callable[[int, int], None]
) -> None:
    out = tmp_path / "place" / "site"
    made(out)
    before = files_of(out)
    running = begun(simulated, out)
    kept = kept_tasks()
    tell(running.pid, signal.SIGINT)
    said = running.communicate(timeout=60)  # which waits for all that could still write
    assert running.returncode == 130, said
    assert said == (
        "", f"interrupted: {out} is as it was; give the same command again to continue\n"
    )  # fmt: skip
    assert files_of(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["site"]
    assert kept <= kept_tasks()
    assert not list(Path(os.environ["ASSAY_CACHE"]).rglob(".writing-*"))


def test_no_process_outlives_a_build_that_was_killed(simulated: Any, tmp_path: Path) -> None:
    running = begun(simulated, tmp_path / "site")
    running.kill()
    running.communicate(timeout=60)  # which waits for all that could still write


def test_ctrl_c_that_comes_too_late_says_that_the_new_site_stands(
    simulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    made(tmp_path / "site")
    monkeypatch.setattr(plan.BuildPlan, "finished", interrupted)
    done = CliRunner().invoke(app, ["build", "--jobs", "1", "--no-cache"])
    assert done.exit_code == 130
    assert done.stderr == "interrupted: site is new and whole; give the same command again\n"


def test_what_a_killed_build_left_is_removed_and_one_at_work_is_not(
    simulated: Any, tmp_path: Path
) -> None:
    dead, alive = (tmp_path / f".site-building-{name}" for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / ".lock").touch()
    with (alive / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made(tmp_path / "site")
    assert alive.exists() and not dead.exists()


def test_a_place_that_cannot_be_written_is_said(simulated: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="--out"):
        made(tmp_path / "file" / "site")


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


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../x", "a//x", ".hidden", "a/.x", "a\\x", "a\nb", "", "é"]
)
def test_names_that_lead_elsewhere_are_never_written(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError):
        write(tmp_path / "root", path, "x")
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_once(tmp_path: Path) -> None:
    first = write(tmp_path, "a/b.html", "x")
    assert first == OutputFile(path="a/b.html", n_bytes=1, sha256=sha256(b"x").hexdigest())
    with pytest.raises(StorageError):
        write(tmp_path, "a/b.html", "y")
