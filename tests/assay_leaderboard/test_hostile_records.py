"""Records with numbers and texts that nothing honest writes: refused by name, others are shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from assay.errors import RecordError
from assay.plugins import registry
from assay.records.parsing import record_from
from assay.records.schema import Checks, CurvePoint, Isolation, RunRecord, Usage
from assay.records.store import Store
from assay.ruleset import RULESET
from assay_leaderboard.cli import register
from assay_leaderboard.schema.values import MAX_PROBLEM
from typer.testing import CliRunner

from tests.assay_leaderboard.making import Records

HOSTILE = {
    "digits": 10**400,
    "negative": -(10**400),
    "float": 1e308,
    "surrogate": "\ud800",
    "escape": "\x1b[2J",
    "direction": "\u202egnp",
    "line": "a\nb",
    "long": "x" * 100_000,
}
Where = tuple[str | int, ...]
app = typer.Typer()
register(app)


def full(record: RunRecord) -> Any:
    """The JSON of a record in which every field is present."""
    point = CurvePoint(batch=1, passes=1, seconds=0.1, train_loss=1.0, val=0.5, test=0.5, start=0,
                       x=0.0, y=0.0)  # fmt: skip
    result = record.result and record.result.model_copy(update={"secondary": {"log_loss": 0.5}})
    isolation = Isolation(level="L2", mechanism="bubblewrap", profile_hash="0" * 64,
                          probe_hash="0" * 64)  # fmt: skip
    environment = record.environment.model_copy(update={"commit": "0" * 40, "lock_hash": "0" * 64})
    checks = Checks(first_losses=[1.0], reference_first_losses=[1.0], weight_distances=[1.0])
    spec = record.spec.model_copy(update={"epoch": "spring"})
    made = record.model_copy(
        update={
            "id": spec.id, "spec": spec, "result": result, "curve": [point],
            "usage": Usage(batches=1), "isolation": isolation, "environment": environment,
            "checks": checks, "weights_sha256": "0" * 64, "message": "said",
        }
    )  # fmt: skip
    return json.loads(made.model_dump_json())


def leaves(value: Any, where: Where = ()) -> Iterator[Where]:
    """The places of all numbers and texts in a JSON value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from leaves(item, (*where, key))
        else:
            yield (*where, key)


def put(data: Any, where: Where, value: object) -> Any:
    """A copy of a JSON value with another value in one place."""
    copied = json.loads(json.dumps(data))
    place = copied
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return copied


def test_every_value_of_a_record_has_bounds() -> None:
    """As a value and, where a record has names of its own, as a name."""
    made = Records().task("digits")
    made.add("digits", "sgd", [0.9], k=1)
    data = full(made.of("sgd")[0])
    record_from(data, "good.json")
    assert len([*leaves(data)]) > 60
    for value in HOSTILE.values():
        places = [put(data, where, value) for where in leaves(data)]
        if isinstance(value, str):
            for owner in (data["result"]["secondary"], data["spec"]["hyperparameters"]):
                owner[value] = 0.5
                places.append(json.loads(json.dumps(data)))
                del owner[value]
        for place in places:
            with pytest.raises(RecordError) as refused:
                record_from(place, "bad.json")
            said = str(refused.value)
            assert said.startswith("bad.json: ") and "\n" not in said and len(said) < MAX_PROBLEM


def test_a_hostile_file_is_named_and_the_others_are_shown(
    checkout: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every command that reads records; also a file whose very name is hostile."""
    quick = RULESET.model_copy(update={"bootstrap_draws": 50})
    for name in ("queries", "site.build.inputs"):
        monkeypatch.setattr(f"assay_leaderboard.{name}.RULESET", quick)
    store = Store(Path("assay-results"))
    checkout.write(store)
    Path("submissions/unused/card.toml").write_text(
        'slug = "unused"\ntitle = "unused"\n[[claims]]\ntext = "Better."\nsource = "nowhere"\n'
        'metric = "accuracy"\nbetter_than = "sgd"\ntasks = ["digits"]\n'
    )
    registry.method_entries.cache_clear()
    extra = Records(task_ref=checkout.task_ref, method_ref=checkout.method_ref)
    extra.add("digits", "sgd", [0.9], first=12, k=len(HOSTILE))
    for record, value in zip(extra.of("sgd"), HOSTILE.values(), strict=True):
        where: Where = ("curve", 0, "passes") if isinstance(value, int | float) else ("message",)
        data = put(full(record), where, value)
        store.path_of(record).write_text(json.dumps(data))
    folder = os.fsencode(store.path_of(extra.of("sgd")[0]).parent)
    Path(os.fsdecode(folder + b"/\xff\x1b[2J.json")).write_text("{}")
    hostile = [record.id for record in extra.of("sgd")]
    for command in ("board digits", "board digits --json", "compare adam sgd digits",
                    "compare adam sgd digits --json", "claims unused", "claims unused --json",
                    "site build --no-cache --jobs 1 --results assay-results"):  # fmt: skip
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, (command, done.exception, done.output)
        shown = done.stdout + done.stderr
        assert not set(shown) & {"\x1b", "\ud800", "\u202e"}
        assert all(f"/{name}.json: " in done.stderr for name in hostile), command
    problems = json.loads(CliRunner().invoke(app, ["board", "digits", "--json"]).stdout)["problems"]
    assert len(problems) == len(HOSTILE) + 1
    page = Path("site/log/index.html").read_text()
    assert page.count("<li>") > len(HOSTILE) and not set(page) & {"\x1b", "\u202e"}
