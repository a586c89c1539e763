"""The workflows keep what runs strangers' code apart from what may write or holds a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from assay.paths import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EXECUTES = ("ci/gate-run", "assay check", "assay replay", "assay run", "make test", "pytest")
READS = ({}, {"contents": "read"})


def workflows() -> Iterator[tuple[str, dict[Any, Any]]]:
    for path in FILES:
        yield path.name, yaml.safe_load(path.read_text())


JOBS = [
    pytest.param(workflow, job, id=f"{name}:{job_name}")
    for name, workflow in workflows()
    for job_name, job in workflow["jobs"].items()
]


def scripts(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def executes(job: dict[str, Any]) -> bool:
    return any(word in script for script in scripts(job) for word in EXECUTES)


def permissions(workflow: dict[Any, Any], job: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = job.get("permissions", workflow["permissions"])
    return found


def test_there_are_the_four() -> None:
    names = ["ci.yml", "publish.yml", "submission-run.yml", "submission-verify.yml"]
    assert [path.name for path in FILES] == names


@pytest.mark.parametrize(("name", "workflow"), list(workflows()), ids=lambda v: str(v)[:24])
def test_events_give_strangers_no_rights(name: str, workflow: dict[Any, Any]) -> None:
    events = workflow[True]  # YAML reads `on` as a truth value
    assert set(events) <= {"push", "pull_request"}
    assert workflow["permissions"] in READS
    text = (ROOT / ".github" / "workflows" / name).read_text()
    assert not re.search(r"\$\{\{[^}]*secrets", text)
    if "push" in events:
        assert events["push"]["branches"] == ["main"]


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_what_executes_a_plugin_may_only_read(
    workflow: dict[Any, Any], job: dict[str, Any]
) -> None:
    if not executes(job):
        return
    assert permissions(workflow, job) in READS
    assert "env" not in job or "token" not in str(job["env"]).lower()
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert any("apt-get install --yes bubblewrap" in script for script in scripts(job))


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_what_may_write_executes_no_plugin(workflow: dict[Any, Any], job: dict[str, Any]) -> None:
    if "write" in permissions(workflow, job).values():
        assert not executes(job)
        assert "pull_request" not in workflow[True]


def test_one_job_may_write() -> None:
    writers = [job for workflow, job in (p.values for p in JOBS)
               if "write" in permissions(workflow, job).values()]  # type: ignore[arg-type]  # fmt: skip
    assert len(writers) == 1


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_submission_runs_in_a_read_only_checkout_of_its_base(
    workflow: dict[Any, Any], job: dict[str, Any]
) -> None:
    numbers = [n for n, step in enumerate(job["steps"]) if "ci/gate-run" in step.get("run", "")]
    if not numbers:
        return
    before = [step.get("run", "") for step in job["steps"][: numbers[0]]]
    assert "remount,bind,ro" in before[-1]
    checkout = job["steps"][0]["with"]["ref"]
    assert checkout in ("${{ github.event.pull_request.base.sha }}", "${{ github.event.before }}")


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_nothing_from_outside_is_pasted_into_a_script(
    workflow: dict[Any, Any], job: dict[str, Any]
) -> None:
    assert not any("${{" in script for script in scripts(job))


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_actions_are_githubs_own_at_a_version(
    workflow: dict[Any, Any], job: dict[str, Any]
) -> None:
    for step in job["steps"]:
        if "uses" in step:
            assert re.fullmatch(r"actions/(checkout|setup-python)@v\d+", step["uses"])
    assert job["timeout-minutes"] <= 120


def test_scripts_that_are_called_exist_and_can_be_run() -> None:
    called = set()
    for _, workflow in workflows():
        for job in workflow["jobs"].values():
            for script in scripts(job):
                called |= set(re.findall(r"\bci/[a-z-]+", script))
    assert {"ci/gate-run", "ci/gate-verify", "ci/publish", "ci/rebuild", "ci/affected"} <= called
    assert all(os.access(ROOT / name, os.X_OK) for name in called)
