"""`assay check` against methods and tasks with one fault each, and against sound ones."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from assay.cards import FAMILIES
from assay.checking import check as testing
from assay.checking.check import check_all, check_method, check_task
from assay.checking.report import CheckReport, CheckResult
from assay.engine.pool import Pool
from assay.families.toys import toy_card, toy_task
from assay.paths import ROOT

PLUGINS = ROOT / "tests" / "plugins"
HEAD = """
from __future__ import annotations
import copy
from dataclasses import replace
import torch
from typing import Annotated
from assay.method import Method
from assay.space import Choice, LogUniform, Uniform
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
        checks = [found.check for found in findings if found.family == family]
        expected = ["runs", "repeatable", "snapshot", "finalize_model", "search space", "cost"]
        assert checks == [*expected, "resume"]
    cost = next(found.detail for found in findings if found.check == "cost")
    ratio = re.match(r"([\d.]+) times the bare task's step of \d+ us .*, 1 passes per batch", cost)
    assert ratio is not None and 0.5 < float(ratio[1]) < 4


FAULTS = {
    "forgets its state": (
        """
class Mine(Method):
    def __init__(self, hyperparameters):
        super().__init__(hyperparameters)
        self.seen = 0.0
    def compute_loss(self, outputs, batch):
        self.seen += 1e-3
        return self.plan.loss(outputs, batch.targets) * (1 + self.seen)
    def configure_optimizer(self, model):
        return torch.optim.SGD(model.parameters(), lr=1e-3)
""",
        {"resume": r"killed after batch 32 and resumed, batch 48 differs: x by up to .*state_dict"},
    ),
    "state that is not plain data": (
        """
class Odd: pass
class Mine(Method):
    def state_dict(self): return {"odd": Odd()}
    def load_state_dict(self, state): pass
""",
        {"resume": r"its checkpoint is not plain data .* keep plain tensors"},
    ),
    "saves but does not load": (
        """
class Mine(Method):
    def state_dict(self): return {}
""",
        {"resume": r"state_dict and load_state_dict must be defined together"},
    ),
    "changes the training model": (
        """
class Mine(Method):
    def finalize_model(self, model, calibration):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.5)
        return model
""",
        {"finalize_model": r"changes the model it is given \(x by up to .*copy\.deepcopy"},
    ),
    "keeps something between runs": (
        """
runs = []
class Mine(Method):
    def configure_optimizer(self, model):
        runs.append(1)
        return torch.optim.SGD(model.parameters(), lr=1e-3 * len(runs))
""",
        {"repeatable": r"two runs with the same seeds differ: after batch 16, x by up to"},
    ),
    "draws from the global generator": (
        """
class Mine(Method):
    def transform_batch(self, batch):
        return replace(batch, inputs=batch.inputs + torch.randn_like(batch.inputs))
""",
        {"repeatable": r"depend on the global random state .* draw from plan\.generator"},
    ),
    "counts no pass": (
        """
class Mine(Method):
    def training_step(self, step):
        step.zero_grad()
        step.loss().backward()
        step.optimizer_step()
""",
        {"runs": r"no forward-backward pass was counted: call step\.backward"},
    ),
    "fails at one value only": (
        """
class Mine(Method):
    class Hyperparameters(Method.Hyperparameters):
        mode: Annotated[str, Choice(("plain", "broken"))] = "plain"
    def compute_loss(self, outputs, batch):
        if self.hyperparameters.mode == "broken":
            raise KeyError("mode")
        return self.plan.loss(outputs, batch.targets)
""",
        {"search space": r"mode='broken': KeyError: 'mode' \(method\.py, line \d+\)"},
    ),
}


@pytest.mark.parametrize("code, expected", FAULTS.values(), ids=FAULTS)
def test_names_the_fault_and_no_other(
    pool: Pool, tmp_path: Path, code: str, expected: dict[str, str]
) -> None:
    found = failures(check_method(pool, submission(tmp_path, code)))
    assert found.keys() == expected.keys()
    for check, pattern in expected.items():
        assert re.search(pattern, found[check]), found[check]


def test_notes_a_gradient_kept_by_reference(pool: Pool, tmp_path: Path) -> None:
    code = """
class Mine(Method):
    def __init__(self, hyperparameters):
        super().__init__(hyperparameters)
        self.previous = None
    def transform_gradients(self, model):
        gradient = model.x.grad
        if self.previous is not None:
            step = gradient - self.previous
            self.previous = gradient
            model.x.grad = gradient + 0.1 * step
        self.previous = gradient
    def state_dict(self): return {"previous": self.previous}
    def load_state_dict(self, state): self.previous = state["previous"]
"""
    findings = list(check_method(pool, submission(tmp_path, code)))
    notes = {found.check: found.detail for found in findings if found.status == "note"}
    assert failures(findings) == {}
    assert "may keep a gradient by reference" in notes["gradients in place"]


def test_says_everything_about_card_and_code_at_once(pool: Pool, tmp_path: Path) -> None:
    code = """
class Mine(Method):
    class Hyperparameters(Method.Hyperparameters):
        low: Annotated[float, Uniform(2.0, 1.0)] = 1.5
        outside: Annotated[float, LogUniform(0.1, 1.0)] = 3.0
    def sampler(self, dataset):
        raise RuntimeError("no batches today")
"""
    card = 'families = ["functions"]\ntrack = "loss"\nlicense = "MIT"\nversion = 0'
    findings = list(check_method(pool, submission(tmp_path, code, card)))
    told = [found.detail for found in findings if found.status == "failed"]
    assert len(told) == 5
    assert told[0].endswith("card.toml:6: version: Input should be greater than or equal to 1 "
                            "(got '0')")  # fmt: skip
    assert told[1].endswith("card.toml:5: license: is not a key of this card")
    assert told[2].startswith("track loss does not allow sampler")
    assert "`low <= high` must hold" in told[3] and "outside: its default 3.0" in told[3]
    assert "RuntimeError: no batches today (method.py, line 15)" in told[4]


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
    monkeypatch.setattr(testing, "METHOD_SECONDS", 3.0)
    findings = list(check_method(pool, PLUGINS / "hangs"))
    assert failures(findings) == {"runs": "did not end within 3 s"}
    assert findings[-1].detail.startswith("not tried in functions")


def test_command_reports_all_and_never_imports_a_plugin(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
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
                          "(my_file.py, line 10)"]  # fmt: skip
    assert details[3] == ["method.py: expected exactly one subclass of Method, found First, Second"]
    assert not any(name.startswith("assay_method_") for name in set(sys.modules) - loaded)


def test_lines_for_people(pool: Pool, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder, report = submission(tmp_path, "class Mine(Method): pass"), CheckReport(as_json=False)
    report.show("method", "mine", check_method(pool, folder))
    report.show("task", "yours", [CheckResult("loss", "failed", "one\ntwo", "functions")])
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "method mine"
    assert any(re.match(r"  ok      resume +functions +from batch 32", line) for line in lines)
    first, second, summary = lines[-3:]
    assert first.index("one") == second.index("two")
    assert first.startswith("  FAILED  loss ")
    assert lines[lines.index("task yours") - 1] == "  passed"
    assert summary == "  1 of 1 findings failed"
    assert report.passed is False


TASK = """
from __future__ import annotations
from dataclasses import replace
import torch
from assay.families.classification import Classification
from assay.task import Problem
class Mine(Classification):
"""


def task_folder(folder: Path, code: str, **changes: str) -> Path:
    folder = folder / "digits_mlp"
    folder.mkdir()
    text = (ROOT / "tasks" / "digits_mlp" / "card.toml").read_text()
    text = re.sub(r"\[\[targets\]\]\n(\w+ = .*\n)+", "", text)
    changes = {"batches": "200", **changes}
    for key, value in changes.items():
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
    (folder / "card.toml").write_text(text)
    (folder / "task.py").write_text(TASK + code)
    return folder


def test_a_sound_task_passes(pool: Pool, tmp_path: Path) -> None:
    findings = list(check_task(pool, task_folder(tmp_path, "    pass\n")))
    assert failures(findings) == {}
    assert [found.check for found in findings] == [
        "card", "loads", "prepare", "sealed", "layout", "loss", "reference", "null", "cost"
    ]  # fmt: skip


TASK_FAULTS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "draws outside its seeds": (
        """
    def prepare(self, seeds):
        problem = super().prepare(seeds)
        noise = torch.rand(1)
        return replace(problem, train={**problem.train, "noise": noise})
""",
        {},
        {"prepare": "same seeds give other tensors .*train.noise"},
    ),
    "gives sealed labels away": (
        """
    def prepare(self, seeds):
        problem = super().prepare(seeds)
        given = {**problem.train, "extra": problem.sealed["test_targets"]}
        return replace(problem, train=given)
""",
        {},
        {"sealed": "test_targets is handed to the worker as train.extra"},
    ),
    "trains on the test set": (
        """
    def prepare(self, seeds):
        problem = super().prepare(seeds)
        train = {name: problem.sealed[f"test_{name}"][:300] for name in ("inputs", "targets")}
        return replace(problem, train={n: t.contiguous() for n, t in train.items()})
""",
        {},
        {"sealed": r"train and test share 100.0% of the smaller"},
    ),
    "loss of the wrong shape": (
        """
    def loss(self, outputs, targets, reduction="mean"):
        return super().loss(outputs, targets)
""",
        {},
        {"loss": r"has shape \(\) and, with reduction='none', \(\); expected \(\) and \(32,\)"},
    ),
    "wrong chance level": ("    pass\n", {"chance": "0.5"}, {"null": "correct metric.chance"}),
    "unknown reference": (
        "    pass\n",
        {"reference": '"sdg"'},
        {"reference": "no method is called 'sdg'. Did you mean sgd"},
    ),
    "says it is deterministic": (
        "    pass\n",
        {"schedule": '"linear"\ndeterministic = true'},
        {"prepare": "differs, but the card says deterministic"},
    ),
}


@pytest.mark.parametrize("code, changes, expected", TASK_FAULTS.values(), ids=TASK_FAULTS)
def test_names_the_fault_of_a_task(
    pool: Pool, tmp_path: Path, code: str, changes: dict[str, str], expected: dict[str, str]
) -> None:
    found = failures(check_task(pool, task_folder(tmp_path, code, **changes)))
    assert found.keys() == expected.keys()
    for check, pattern in expected.items():
        assert re.search(pattern, found[check]), found[check]


def test_targets_must_get_harder(pool: Pool, tmp_path: Path) -> None:
    folder = task_folder(tmp_path, "    pass\n", reference='"sdg"')
    with (folder / "card.toml").open("a") as card:
        for name, value in (("easy", 0.9), ("stretch", 0.8)):
            card.write(f'\n[[targets]]\nname = "{name}"\nvalue = {value}\n')
    found = failures(check_task(pool, folder))
    assert "chance 0.1, easy 0.9, stretch 0.8 to get harder" in found["card"]


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
