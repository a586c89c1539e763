"""Every attack of the registry, in the sandbox and, where that does no harm, without one."""

from __future__ import annotations

import ast
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from assay.checking import attack_judge, attack_range
from assay.checking.attack_judge import Attack, AttackJudge, Judgement
from assay.checking.attack_range import AttackRange, Ending, read_registry
from assay.checking.canaries import Canaries, plant
from assay.errors import AssayError, RunHung, UnknownName, WorkerError
from assay.plugins.registry import find_task
from assay.records.schema import Usage
from assay.sandbox.bubblewrap import bubblewrap_problem
from assay.sandbox.mechanisms import ADVICE, run_user
from typer.testing import CliRunner

from tests.assay.conftest import make_record

REGISTRY = read_registry()
HERE = [attack for attack in REGISTRY if attack.runs_here]
HARMLESS = [attack for attack in HERE if attack.unsandboxed]
GAINED, NOTHING = ("flagged", "open"), ("failed", "no gain")
STOPPED = [attack for attack in HARMLESS if attack.expected not in GAINED]
"""Those that gain nothing in the sandbox; the others are shown there to be no duds."""


@pytest.fixture(scope="module")
def sandboxed() -> Iterator[AttackRange]:
    problem = bubblewrap_problem()
    if problem:  # an attack that was not tried is not one that failed
        pytest.fail(f"attacks are judged in the full sandbox: {problem}; {ADVICE}")
    with AttackRange("bubblewrap") as against:
        yield against


@pytest.fixture(scope="module")
def unsandboxed() -> Iterator[AttackRange]:
    with AttackRange("subprocess") as against:
        yield against


@pytest.mark.parametrize("attack", HERE, ids=lambda attack: attack.slug)
def test_an_attack_ends_in_the_sandbox_as_the_registry_says(
    attack: Attack, sandboxed: AttackRange
) -> None:
    ending = sandboxed.run(attack)
    # Whether a run fails or ends for nothing may depend on what comes first.
    same = ending.ended == attack.expected or {ending.ended, attack.expected} <= set(NOTHING)
    assert same, f"{ending.ended}: {ending.evidence}"


@pytest.mark.parametrize("attack", STOPPED, ids=lambda attack: attack.slug)
def test_an_attack_is_no_dud(attack: Attack, unsandboxed: AttackRange) -> None:
    """What the sandbox stops gains without it; what the engine's design stops never does."""
    if attack.slug == "train_on_val" and run_user("subprocess") is not None:
        pytest.skip("the user nobody, whom root's runs become, cannot list a pool's folder")
    ending = unsandboxed.run(attack)
    wanted = GAINED if attack.unsandboxed == "gains" else NOTHING
    assert ending.ended in wanted, ending.evidence


def test_the_registry_covers_the_table_and_every_plugin() -> None:
    assert {attack.number for attack in REGISTRY} >= set(range(1, 49))
    slugs = [attack.slug for attack in REGISTRY]
    assert len(set(slugs)) == len(slugs)
    plugins = {path.stem for path in (attack_range.folder() / "plugins").glob("*.py")}
    assert plugins == {attack.slug for attack in HERE} | set(attack_range.BASELINES)
    assert all(attack.shown_by for attack in REGISTRY if not attack.runs_here)


def test_only_a_resource_bomb_or_a_key_is_not_tried_without_a_sandbox() -> None:
    untried = {attack.slug for attack in HERE} - {attack.slug for attack in HARMLESS}
    assert {slug for slug in untried if not slug.endswith("_bomb")} == {
        "keyring", "past_deadline", "interrupt_worker", "hidden_children",
    }  # fmt: skip


def test_what_gains_in_the_sandbox_is_said_to_gain_without_it() -> None:
    gaining = {attack.unsandboxed for attack in HERE if attack.expected in GAINED}
    assert gaining == {"gains"}


def test_attacks_say_what_they_do() -> None:
    for attack in HERE:
        source = (attack_range.folder() / "plugins" / f"{attack.slug}.py").read_bytes()
        assert ast.get_docstring(ast.parse(source)), attack.slug


@pytest.mark.parametrize(
    ("ended", "expected", "surprising"),
    [
        ("failed", "failed", False),
        ("no gain", "failed", False),
        ("flagged", "failed", True),
        ("open", "failed", True),
        ("open", "flagged", True),
        ("flagged", "open", False),
        ("open", "open", False),
        ("not judged", "failed", False),
        ("elsewhere", "failed", False),
    ],
)
def test_a_gain_beyond_the_registry_is_a_surprise(
    ended: attack_judge.AttackResult, expected: attack_judge.Expected, surprising: bool
) -> None:
    assert ending_of("x", ended, expected).surprising is surprising


def ending_of(
    slug: str, ended: attack_judge.AttackResult, expected: attack_judge.Expected
) -> Ending:
    return Ending(
        number=1, slug=slug, does="a", ended=ended, expected=expected, stopped_by="b",
        evidence="c", seconds=1.0, mechanism="bubblewrap",
    )  # fmt: skip


def test_canaries_lie_where_the_attacks_look_and_are_gone_afterwards(tmp_path: Path) -> None:
    before = dict(os.environ)
    with plant(tmp_path) as canaries:
        targets = canaries.targets
        found = {Path(str(targets["RESULTS"]), "secret").read_text(), os.environ["ASSAY_CANARY"]}
        with socket.create_connection(("127.0.0.1", int(targets["TCP_PORT"])), 5) as connection:
            found.add(connection.recv(4096).decode())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.settimeout(5)
            plain.sendto(b"?", ("127.0.0.1", int(targets["UDP_PORT"])))
            found.add(plain.recv(4096).decode())
        for address in (str(targets["NAMED_SOCKET"]), f"\0{targets['ABSTRACT_SOCKET']}"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(address)
                found.add(connection.recv(4096).decode())
        assert len(found) == 6
        assert found <= canaries.tokens
        assert not any(token in repr(dict(targets)) for token in canaries.tokens)
        os.kill(int(targets["BYSTANDER"]), 0)
    assert dict(os.environ) == before
    with pytest.raises(ProcessLookupError):
        os.kill(int(targets["BYSTANDER"]), 0)


@pytest.mark.parametrize(
    "error", [RunHung("it did not end"), WorkerError("the sandbox is not as it should be")]
)
def test_an_attack_that_did_not_run_is_not_judged(
    monkeypatch: pytest.MonkeyPatch, error: AssayError
) -> None:
    def hang(*_: object) -> None:
        raise error

    monkeypatch.setattr(AttackRange, "_variant", hang)
    judged = AttackRange("landlock")._tried(read_registry()[0], "")
    assert (judged.ended, judged.evidence) == ("not judged", str(error))


def test_a_gain_of_one_variant_is_told_though_another_did_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = {"a": "not judged", "b": "open", "c": "failed"}
    monkeypatch.setattr(AttackRange, "_baseline", lambda *_: {})
    monkeypatch.setattr(
        AttackRange,
        "_tried",
        lambda self, attack, variant: Judgement(ended=ends[variant], evidence=variant),
    )
    attack = HERE[0].model_copy(update={"variants": ("a", "b", "c")})
    assert AttackRange("landlock").run(attack).ended == "open"
    rest = attack.model_copy(update={"variants": ("a", "c")})
    assert AttackRange("landlock").run(rest).ended == "not judged"


IMPORT = "method.py cannot be imported: PermissionError: [Errno 13] Permission denied"


@pytest.mark.parametrize("honest", [True, False], ids=["sound", "broken"])
@pytest.mark.parametrize("attack", HERE, ids=lambda attack: attack.slug)
def test_an_attack_whose_probe_did_not_run_could_not_be_judged(
    attack: Attack, honest: bool, tmp_path: Path
) -> None:
    """As where no plugin can be read: neither "gained" nor held."""
    failed = make_record(
        status="failed", message=IMPORT, result=None, curve=[], usage=Usage(), weights_sha256=None
    )
    canaries = Canaries(frozenset({"token"}), {}, tmp_path)
    task = find_task(str(attack_range.folder() / "tasks" / attack.task))
    other = make_record() if honest else failed
    judge = AttackJudge(attack, canaries, other, task, "no-such-serial", 1.0)
    assert judge.judge([failed] * attack.n_runs)[0] is None


def test_an_unknown_attack_is_told_with_its_likes() -> None:
    with pytest.raises(UnknownName, match="frame_walk"):
        read_registry(["frame_walks"])
    assert [attack.slug for attack in read_registry(["gc_scan", "27"])] == [
        "gc_scan", "ptrace_kill", "outlive",
    ]  # fmt: skip


@pytest.mark.parametrize(("ended", "code"), [("failed", 0), ("open", 1), ("not judged", 4)])
def test_the_scorecard_is_printed_and_a_surprise_is_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, ended: attack_judge.AttackResult, code: int
) -> None:
    from assay.cli import app
    from assay.sandbox import mechanisms

    class Fake(contextlib.AbstractContextManager["Fake"]):
        def __init__(self, mechanism: str) -> None: ...

        def __exit__(self, *_: object) -> None: ...

        def run(self, attack: Attack) -> Ending:
            return ending_of(attack.slug, ended, "failed")

    monkeypatch.setattr(attack_range, "AttackRange", Fake)
    monkeypatch.setattr(mechanisms, "choose", lambda **_: "bubblewrap")
    said = CliRunner().invoke(app, ["sandbox", "frame_walk"])
    assert said.exit_code == code
    assert "frame_walk" in said.output
    told = CliRunner().invoke(app, ["sandbox", "frame_walk", "--json"])
    assert told.exit_code == code
    assert f'"ended": "{ended}"' in told.stdout
    assert ("could not be judged: frame_walk" in said.output) is (code == 4)
    assert ("gained what the registry" in said.output) is (code == 1)
