"""Methods that look around in the sandbox and say what they found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from assay.cards import SubmissionCard
from assay.engine.outcomes import Refused
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.messages.worker import Describe, Description
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import RunRecord, RunSpec
from assay.ruleset import RULESET
from assay.sandbox import bubblewrap, mechanisms
from assay.space import Space

needs_bubblewrap = pytest.mark.skipif(
    bubblewrap.bubblewrap_problem() is not None, reason=str(bubblewrap.bubblewrap_problem())
)
needs_landlock = pytest.mark.skipif(
    mechanisms.landlock_problem() is not None, reason=str(mechanisms.landlock_problem())
)


def seen(pool: Pool, folder: Path, source: str, seconds: float = 30.0) -> Any:
    """The value of `found` after `source` ran as a method's module in a worker's child."""
    with pytest.raises(Refused) as refused:
        pool.answer(asked(looks(folder, source), seconds), Description)
    return told(str(refused.value))


def asked(method: Path, seconds: float = 30.0) -> Describe:
    return Describe(method=method, families=[], seconds=seconds)


def looks(folder: Path, source: str) -> Path:
    """A method's module that says what `found` is after `source` ran."""
    path = folder / "looks.py"
    path.write_text(f"{source}\nimport json\nraise RuntimeError('FOUND' + json.dumps(found))\n")
    return path


def told(text: str) -> Any:
    assert "FOUND" in text, text
    return json.JSONDecoder().raw_decode(text.partition("FOUND")[2])[0]


def tries(*expressions: str) -> str:
    """Source that evaluates each expression; `found` has the name of each one's exception."""
    return f"""
found = []
for text in {list(expressions)!r}:
    try:
        exec(text)
        found.append("worked")
    except BaseException as error:
        found.append(type(error).__name__)
"""


def run_module(
    pool: Pool, task: TaskEntry, folder: Path, source: str, slug: str = "bomb"
) -> RunRecord:
    path = folder / f"{slug}.py"
    path.write_text(source)
    method = MethodEntry(SubmissionCard(slug=slug, title=slug), path)
    spec = RunSpec(
        ruleset=RULESET.version, task=task_ref(task), method=method_ref(method),
        hyperparameters={}, repetition=0, point=0,
    )  # fmt: skip
    return pool.run(Job(spec, task, method, Space()), "assay run")
