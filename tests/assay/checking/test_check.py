"""`assay check` of methods: what is tried, where, and how results are told."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from assay.cards import FAMILIES
from assay.checking import check, trials
from assay.checking.check import check_all
from assay.checking.method_check import check_method
from assay.checking.report import CheckReport, CheckResult, printed, told_once
from assay.commands import check as command
from assay.engine.pool import Pool
from assay.errors import AssayError, UnknownName
from assay.families.toys import toy_card, toy_task
from assay.paths import ROOT
from assay.plugins.registry import find_task

PLUGINS = ROOT / "tests" / "plugins"
HEAD = """
from __future__ import annotations
import torch
from typing import Annotated
from assay.method import Method
from assay.space import LogUniform, Uniform
"""


def submission(folder: Path, code: str, card: str = 'families = ["functions"]') -> Path:
    folder = folder / "mine"
    folder.mkdir()
    (folder / "card.toml").write_text(f'slug = "mine"\ntitle = "Mine"\n{card}\n')
    (folder / "method.py").write_text(HEAD + code)
    return folder


def failures(findings: Iterable[CheckResult]) -> dict[str, str]:
    return {found.check: found.detail for found in findings if found.status == "failed"}


def test_a_sound_method_passes_every_check(pool: Pool) -> None:
    findings = list(check_method(pool, PLUGINS / "ema"))
    assert failures(findings) == {}
    for family in ("classification", "functions", "noisy_labels", "class_imbalance"):
        checks = [found.check for found in findings if found.where == family]
        expected = ["runs", "repeatable", "snapshot", "finalize_model", "search space", "cost"]
        assert checks == expected
    assert re.fullmatch(r"trains and exports on (\d+) of \1 tasks", findings[-1].detail)
    cost = next(found.detail for found in findings if found.check == "cost")
    ratio = re.match(r"([\d.]+) times the bare task's step of \d+ us .* 1 passes per batch", cost)
    assert ratio is not None and 0.5 < float(ratio[1]) < 4
    assert len(list(told_once(findings))) <= 16


def test_a_mistake_is_told_once_with_its_places(pool: Pool, tmp_path: Path) -> None:
    code = """
class Mine(Method):
    def compute_loss(self, outputs, batch):
        return self.plan.loss(outputs, batch.targets, reduction="none")
"""
    card = 'families = ["classification", "noisy_labels", "class_imbalance"]'
    found = [
        result
        for result in told_once(check_method(pool, submission(tmp_path, code, card)))
        if result.status == "failed"
    ]
    assert [(result.check, result.where, result.also_in) for result in found] == [
        ("runs", "classification", ("noisy_labels", "class_imbalance"))
    ]


def test_a_failure_on_one_task_alone(pool: Pool, tmp_path: Path) -> None:
    code = """
class Mine(Method):
    def configure_optimizer(self, model):
        if self.plan.n_examples > 300:
            raise ValueError("too many")
        return torch.optim.SGD(model.parameters(), lr=0.1)
"""
    folder = submission(tmp_path, code, 'families = ["classification"]')
    findings = list(check_method(pool, folder, [find_task("digits_mlp")]))
    (only,) = [found for found in findings if found.status == "failed"]
    assert (only.check, only.where) == ("tasks", "digits_mlp")
    assert only.detail == "ValueError: too many (method.py, line 11, in Mine.configure_optimizer)"


def test_diverging_on_a_task_is_a_note(pool: Pool, tmp_path: Path) -> None:
    code = """
class Mine(Method):
    def compute_loss(self, outputs, batch):
        loss = self.plan.loss(outputs, batch.targets)
        return loss * float("nan") if self.plan.n_examples > 300 else loss
"""
    folder = submission(tmp_path, code, 'families = ["classification"]')
    findings = list(check_method(pool, folder, [find_task("digits_mlp")]))
    assert failures(findings) == {}
    assert findings[-1].where == "digits_mlp"
    assert findings[-1].detail.startswith("diverges with its defaults: the loss was not finite")


def test_tasks_that_cannot_be_tried_are_named(pool: Pool, tmp_path: Path) -> None:
    folder = submission(tmp_path, "class Mine(Method): pass", 'families = ["classification"]')
    wanted = [find_task(slug) for slug in ("digits_mlp", "cifar10_compact", "rosenbrock")]
    findings = list(check_method(pool, folder, wanted))
    assert failures(findings) == {}
    notes = {found.where: found.detail for found in findings if found.status == "note"}
    assert notes["rosenbrock"] == "not tried: mine does not enter the family functions"
    assert notes["cifar10_compact"].startswith("not tried: ")
    assert "assay data" in notes["cifar10_compact"]
    assert findings[-1].detail == "trains and exports on 1 of 1 tasks"
    found = failures(check_method(pool, folder, [find_task("rosenbrock")]))
    assert found == {"tasks": "it may enter none of the tasks that were asked for"}


def test_what_a_method_prints_is_shown(pool: Pool, tmp_path: Path) -> None:
    code = """
import sys
print("imported")
class Mine(Method):
    def configure_optimizer(self, model):
        print("\\033[31mred\\033[0m\\a")
        print("to stderr", file=sys.stderr)
        for n in range(1000):
            print("line", n)
        return torch.optim.SGD(model.parameters(), lr=1e-3)
"""
    findings = list(check_method(pool, submission(tmp_path, code), [find_task("rosenbrock")]))
    assert failures(findings) == {}
    loading, trying = [found.detail for found in findings if found.check == "printed"]
    assert loading == "when it is imported:\nimported"
    lines = trying.split("\n")
    assert lines[:4] == ["imported", "red\ufffd", "to stderr", "line 0"]
    assert len(lines) == 21 and lines[-1] == "..."


def test_printed_text_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 10_000 + b"\xff\x00")
    assert printed(tmp_path / "log") == "x" * 2000 + "\n..."
    assert printed(tmp_path / "missing") == ""


def test_says_everything_about_card_and_code_at_once(pool: Pool, tmp_path: Path) -> None:
    code = """
class Mine(Method):
    class Hyperparameters(Method.Hyperparameters):
        low: Annotated[float, Uniform(2.0, 1.0)] = 1.5
        outside: Annotated[float, LogUniform(0.1, 1.0)] = 3.0
    def sampler(self, dataset):
        raise RuntimeError("no batches today")
    def on_epoch_ends(self, model): pass
"""
    card = 'families = ["functions"]\ntrack = "loss"\nlicense = "MIT"\nversion = 0'
    findings = list(check_method(pool, submission(tmp_path, code, card), [find_task("beale")]))
    told = [found.detail for found in findings if found.status == "failed"]
    assert len(told) == 6
    assert told[0].endswith("card.toml:6: version: expected a number greater than or equal to 1 "
                            "(got '0')")  # fmt: skip
    assert told[1].endswith("card.toml:5: license: is not a key of this card")
    assert told[2].startswith("track loss does not allow sampler")
    assert told[3] == "on_epoch_ends is never called: did you mean on_epoch_end?"
    assert "`low <= high` must hold" in told[4] and "outside: its default 3.0" in told[4]
    assert "RuntimeError: no batches today (method.py, line 13, in " in told[5]


def test_card_names_what_does_not_exist_or_may_not_run(pool: Pool, tmp_path: Path) -> None:
    card = """families = ["functions"]
access = ["noise_rate"]
[[claims]]
text = "better"
source = "nowhere"
metric = "anytime"
better_than = "adan"
tasks = ["rosenbrock"]"""
    folder = submission(tmp_path, "class Mine(Method): pass", card)
    found = failures(check_method(pool, folder))
    wrong = "claims[0].better_than: no method is called 'adan'. Did you mean adam"
    assert found["card"].startswith(wrong)
    assert "it may enter none: mine needs noise_rate" in found["tasks"]


def test_a_hang_is_caught_in_the_act(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "TOY_SECONDS", 3.0)
    monkeypatch.setattr(trials, "FIT_SECONDS", 3.0)
    findings = list(check_method(pool, PLUGINS / "hangs"))
    assert failures(findings) == {"runs": "did not end within 3 s"}
    assert findings[-1].detail.startswith("not tried in functions")


def test_command_reports_all_and_never_imports_a_plugin(
    pool: Pool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "Pool", lambda **_: contextlib.nullcontext(pool))
    single = tmp_path / "my_file.py"
    single.write_text(HEAD + "class Mine(Method): pass\nraise ValueError('at import')\n")
    loaded = set(sys.modules)
    names = ["difgrad", str(tmp_path), str(single), str(PLUGINS / "two_methods")]
    assert check_all(names, as_json=True, allow_weaker=True) is False
    answer = json.loads(capfd.readouterr().out)
    assert answer["passed"] is False
    details = [
        [found["detail"] for found in checked["findings"] if found["status"] == "failed"]
        for checked in answer["checked"]
    ]
    assert "Did you mean diffgrad" in details[0][0]
    assert "expected a folder with card.toml and method.py or task.py" in details[1][0]
    assert details[2] == ["my_file.py cannot be imported: ValueError: at import "
                          "(my_file.py, line 8)"]  # fmt: skip
    assert details[3] == ["method.py: expected exactly one subclass of Method, found First, Second"]
    assert not any(name.startswith("assay_method_") for name in set(sys.modules) - loaded)


FORGES = """
import gc, os
from pathlib import Path
class Mine(Method):
    def configure_optimizer(self, model):
        folder = Path(os.readlink("/proc/self/fd/1")).parent
        for found in folder.rglob("findings.jsonl"):
            with found.open("a") as file:
                {forgery}
        {end}
"""
CHEAP = 'file.write(\'{"check":"cost","status":"ok","detail":"\\\\u001b[2Jcheap"}\\n\')'
ALL = (
    'file.write("".join(\'{"begun":"%s"}\\n{"check":"%s","status":"ok","detail":"fine"}\\n\''
    ' % (n, n) for n in ("repeatable", "snapshot")))'
)
LEAVE = '(folder / "outcome.json").write_text("{}"); os._exit(0)'


@pytest.mark.parametrize(
    ("forgery", "end", "said"),
    [
        (CHEAP, LEAVE, "its process left malformed findings: line 2: no check 'cost' has begun"),
        (ALL, LEAVE, "its process ended without this check: finalize_model"),
        (
            'file.write("[[[" + chr(10))',
            "os.kill(os.getpid(), 9)",
            "malformed findings: it is not JSON",
        ),
        ("pass", '(folder / "shared").rename(folder / "x"); os._exit(3)', "exited with code 3"),
        ("pass", '(folder / "outcome.json").write_text("[" * 99); os._exit(0)', "malformed answer"),
    ],
    ids=["escape", "incomplete", "garbage", "moved", "answer"],
)
def test_forged_findings_fail_and_the_next_method_is_checked(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    forgery: str, end: str, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(check, "Pool", lambda **_: contextlib.nullcontext(pool))
    evil = submission(tmp_path, FORGES.replace("{forgery}", forgery).replace("{end}", end))
    other = tmp_path / "other.py"
    other.write_text("raise ValueError('at import')\n")
    names = [str(evil), str(other)]
    assert check_all(names, as_json=False, tasks=[find_task("beale")]) is False
    told = capfd.readouterr().out
    assert said in told
    assert "cheap" not in told
    assert "\x1b" not in told
    assert "ValueError: at import" in told


def test_command_chooses_tasks() -> None:
    def chosen(names: list[str] | None, families: list[str] | None) -> list[str]:
        return [entry.card.slug for entry in command._chosen(names, families) or []]

    assert command._chosen(None, None) is None
    assert chosen(["rosenbrock", "cifar10_compact"], None) == ["cifar10_compact", "rosenbrock"]
    assert "rosenbrock" in chosen(None, ["functions", "classification"])
    assert "cifar10_compact" not in chosen(None, ["functions", "classification"])
    assert chosen(["digits_mlp", "rosen*"], ["functions"]) == ["rosenbrock"]
    assert chosen([str(ROOT / "tasks" / "beale")], None) == ["beale"]
    with pytest.raises(AssayError, match="no task fits both"):
        chosen(["rosenbrock"], ["classification"])
    with pytest.raises(UnknownName, match="Did you mean functions"):
        chosen(None, ["function"])


def test_results_alike_are_merged() -> None:
    results = [
        CheckResult("card", "ok", "a"),
        CheckResult("cost", "ok", "1.5 times of 100 us", "functions"),
        CheckResult("runs", "failed", "shape (16, 10) (method.py, line 3)", "functions"),
        CheckResult("cost", "ok", "0.9 times of 100 us", "quantization"),
        CheckResult("tasks", "failed", "shape (8,) (method.py, line 3)", "rosenbrock"),
        CheckResult("tasks", "ok", "b"),
    ]
    assert list(told_once(results)) == [
        results[0],
        CheckResult("cost", "ok", "0.9 to 1.5 times of 100 us", "functions", ("quantization",)),
        CheckResult("runs", "failed", results[2].detail, "functions", ("rosenbrock",)),
        results[5],
    ]


def test_lines_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    report = CheckReport(as_json=False)
    runs = [CheckResult("runs", "ok", f"{n} batches", family) for n, family in enumerate(FAMILIES)]
    report.show("method", "mine", runs)
    wrong = [CheckResult("loss", "failed", "one\ntwo", name) for name in "abcdef"]
    report.show("task", "yours", wrong)
    assert capfd.readouterr().out.splitlines() == [
        "method mine",
        "  ok      runs               5 families      0 to 4 batches",
        "  passed",
        "task yours",
        "  FAILED  loss               a               one",
        "                                             two",
        "                                             (also in b, c, d and 2 more)",
        "  1 of 1 findings failed",
    ]
    assert report.passed is False


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_toy(family: str, binary: bool) -> None:
    card = toy_card(family, binary=binary)  # type: ignore[arg-type]
    task = toy_task(card)
    assert task.card.family == family
    assert card.budget.batches == 64


def test_a_toy_takes_the_first_value_that_is_required() -> None:
    card = toy_card("quantization", requires={"weight_bits": [1, 2], "unknown": [3]})
    assert card.recipe["weight_bits"] == 1
    assert "unknown" not in card.recipe
