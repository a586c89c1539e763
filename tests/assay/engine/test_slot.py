"""A node's side of a cluster: runs as by the local pool, or in one line why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from assay.engine.clients import ChildDied
from assay.engine.executors import luggage
from assay.engine.executors import slot as slot_module
from assay.engine.executors.slot import ERRORS, RunAnswer, Slot, SlotSetup, Unfit
from assay.engine.pool import Pool
from assay.errors import PluginError, StorageError
from assay.plugins.registry import find_method, task_entries
from assay.records.schema import Compute
from assay.sandbox import mechanisms


def test_a_run_is_done_from_the_files_that_were_sent_as_by_the_local_pool(
    make_cell: Any, pool: Pool
) -> None:
    cell = make_cell(task_entries()["beale"], find_method("sgd"))
    (spec, *_) = cell.specs.values()
    slot = Slot(SlotSetup(Compute()))
    slot._pool = pool
    answer = slot.run(luggage.pack_cell(cell.job(spec)), spec, "the command")
    assert isinstance(answer, RunAnswer) and answer.record is not None, answer
    there, here = answer.record, pool.run(cell.job(spec), "the command")
    assert there.spec == spec and there.reproduce == "the command"
    for name in ("status", "result", "weights_sha256", "isolation", "environment"):
        assert getattr(there, name) == getattr(here, name), name


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PluginError("no such hook"), RunAnswer(error=(ERRORS.index(PluginError), "no such hook"))),
        (StorageError("the disk is full"), Unfit("the disk is full")),
        (OSError(28, "No space left"), Unfit("files cannot be written: [Errno 28] No space left")),
    ],
)
def test_an_error_of_a_run_is_told_and_one_of_the_node_refuses_it(
    error: Exception, expected: Any, make_cell: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class FailingPool:
        folder = tmp_path

        def run(self, *_: object) -> Any:
            raise error

    cell = make_cell(task_entries()["beale"], find_method("sgd"))
    (spec, *_) = cell.specs.values()
    slot = Slot(SlotSetup(Compute()))
    slot._pool = FailingPool()  # type: ignore[assignment]
    assert slot.run(luggage.pack_cell(cell.job(spec)), spec, "") == expected


def test_a_process_that_is_killed_while_it_starts_may_be_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class DyingPool:
        def __init__(self, **_: object) -> None:
            pass

        def __enter__(self) -> None:
            raise ChildDied("assay.worker.serve ended (exit code 137); its log:\nabc", killed=True)

    monkeypatch.setattr(slot_module, "Pool", DyingPool)
    answer = Slot(SlotSetup(Compute())).introduce()
    assert answer == Unfit("assay.worker.serve ended (exit code 137); its log: abc", passing=True)


def test_a_node_without_a_sandbox_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanisms, "bubblewrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(mechanisms, "landlock_problem", lambda: "the kernel has no Landlock")
    answer = Slot(SlotSetup(Compute())).introduce()
    assert isinstance(answer, Unfit) and not answer.passing
    assert "no sandbox works here: bubblewrap is not installed" in answer.reason
    assert len(answer.reason.splitlines()) == 1


def test_a_node_whose_processor_is_too_old_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slot_module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(slot_module.Path, "exists", lambda path: True)
    monkeypatch.setattr(slot_module.Path, "read_text", lambda path: "flags : fpu sse2")
    answer = Slot(SlotSetup(Compute(isa="avx2"))).introduce()
    assert answer == Unfit(
        "its processor lacks avx2; give --isa native, whose results are another class"
    )
