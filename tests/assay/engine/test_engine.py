"""The promises of training and scoring, through real workers."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from assay import Seeds
from assay.commands import run_many, summary
from assay.engine import cells, memory
from assay.engine.cells import make_cells
from assay.engine.clients import ChildDied, ChildProcess, ScorerClient, WorkerClient
from assay.engine.pipeline import Pipeline
from assay.engine.planning import RunRequest
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import MachineError, PluginError, StorageError, WorkerError
from assay.messages import Describe, Description, Prepare, Prepared, Score, ScorerRequest
from assay.plugins.loading import load_task
from assay.plugins.registry import MethodEntry, TaskEntry, find_method, method_ref, task_ref
from assay.records.rounding import rounded
from assay.records.schema import RunRecord, RunSpec
from assay.records.store import Store
from assay.ruleset import RULESET
from assay.sandbox import limits
from assay.space import Space
from pydantic import BaseModel
from safetensors.torch import load_file

STILL = """\
import torch
from torch.optim import SGD
from assay.method import Method


class Still(Method):
    def configure_optimizer(self, model):
        {drawn}
        return SGD(model.parameters(), lr=0.0)
"""
ORDER = """\
import torch
from torch.optim import SGD
from assay.method import Method


class Order(Method):
    def configure_optimizer(self, model):
        return SGD(model.parameters(), lr=0.0)

    def training_step(self, step):
        {drawn}
        step.count_pass()
        seen = torch.cat([step.batch.indices.double(), step.batch.targets.double()])
        seen = torch.cat([seen, step.batch.inputs.flatten().double()])
        with torch.no_grad():
            for parameter in step.model.parameters():
                mark = (seen * torch.arange(1, len(seen) + 1)).sum()
                parameter.copy_(torch.fmod(parameter * 1.25 + mark, 7.0))
"""
GREEDY = "torch.rand(7), torch.rand(5, generator=self.plan.generator)"
KILLS_ITS_WORKER = """\
import os
import signal
from assay.method import Method


class Kills(Method):
    def on_epoch_end(self, model):
        os.kill(os.getppid(), signal.SIGKILL)
"""

KILLS_ITSELF = """\
import os
import signal
from assay.method import Method


class Kills(Method):
    def on_epoch_end(self, model):
        os.kill(os.getpid(), signal.{number})
"""
LEAVES_PIPES = """\
import os
from pathlib import Path
from assay.method import Method


class Leaves(Method):
    def configure_optimizer(self, model):
        folder = Path(os.readlink("/proc/self/fd/1")).parent
        (folder / "output.log").unlink()
        for name in ("output.log", "outcome.json"):
            {make}
        os._exit(0)
"""


def spec_of(task: TaskEntry, method: MethodEntry, **changes: Any) -> RunSpec:
    facts: dict[str, Any] = {"hyperparameters": {}, "repetition": 0, "point": 0}
    return RunSpec(
        ruleset=RULESET.version, task=task_ref(task), method=method_ref(method), **facts | changes
    )


def run(pool: Pool, task: TaskEntry, method: MethodEntry, **changes: Any) -> RunRecord:
    return pool.run(Job(spec_of(task, method, **changes), task, method, Space()), "assay run")


def comparable(record: RunRecord) -> dict[str, Any]:
    """A record without what a clock or a process meter says."""
    kept = record.model_dump(exclude={"created_at", "usage", "environment"})
    for point in kept["curve"]:
        del point["seconds"]
    spent = ("batches", "passes", "examples", "example_passes", "optimizer_state_bytes")
    return {**kept, **{name: getattr(record.usage, name) for name in spent}}


def test_the_same_spec_gives_the_same_weights_and_scores(
    pool: Pool, make_task: Callable[..., TaskEntry]
) -> None:
    task, adam = make_task(), find_method("adam")
    one, again = run(pool, task, adam), run(pool, task, adam)
    assert one.status == "completed", one.message
    assert one.weights_sha256 is not None
    assert comparable(one) == comparable(again)
    other = run(pool, task, adam, hyperparameters={"lr": 0.02})
    assert other.weights_sha256 != one.weights_sha256
    assert (one.usage.batches, one.usage.examples) == (24, 240)
    assert [point.batch for point in one.curve] == [12, 24]


def test_a_umask_that_hides_new_folders_hides_none_from_a_run(
    pool: Pool, make_task: Callable[..., TaskEntry]
) -> None:
    before = os.umask(0o077)
    try:
        record = run(pool, make_task(), find_method("adam"))
    finally:
        os.umask(before)
    assert record.status == "completed", record.message


def test_runs_are_paired_across_methods(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry]
) -> None:
    """One repetition: one split, one start, one order, whatever a method draws for itself."""
    task = make_task()
    for source in (STILL, ORDER):
        quiet = make_method("quiet", source.format(drawn="pass"))
        greedy = make_method("greedy", source.format(drawn=GREEDY))
        records = {
            (method.card.slug, repetition): run(pool, task, method, repetition=repetition)
            for method in (quiet, greedy)
            for repetition in (0, 1)
        }
        assert {record.status for record in records.values()} == {"completed"}
        hashes = {key: record.weights_sha256 for key, record in records.items()}
        assert hashes["quiet", 0] == hashes["greedy", 0] != hashes["quiet", 1]
        assert hashes["quiet", 1] == hashes["greedy", 1]
        other = run(pool, task, quiet, repetition=0, point=3)
        assert other.weights_sha256 == hashes["quiet", 0]


def prepared(pool: Pool, task: TaskEntry, repetition: int) -> Prepared:
    request = Prepare(task=task.folder, repetition=repetition, seed_root=RULESET.seed_root)
    return pool.ask_scorer(request, Prepared)


def test_no_repetition_sees_the_split_or_start_of_another(
    pool: Pool, make_task: Callable[..., TaskEntry]
) -> None:
    task = make_task()
    answers = [prepared(pool, task, number) for number in range(4)]
    for name in ("train", "start0"):
        paths = [a.train if name == "train" else a.starts[0] for a in answers]
        assert len({path.read_bytes() for path in paths}) == len(answers)
    assert prepared(pool, task, 0) == answers[0]


def test_seeds_of_repetitions_are_disjoint_and_those_of_the_control_too() -> None:
    seeds = [
        Seeds(RULESET.seed_root, "digits_mlp", repetition)[name]
        for repetition in (*range(16), *range(100, 116))
        for name in ("split", "init", "noise/train", "noise/val")
    ]
    assert len(set(seeds)) == len(seeds)


NOISY = {"family": "noisy_labels", "recipe": 'noise = "symmetric"\nnoise_rate = 0.4'}


@pytest.mark.parametrize("changes", [{}, NOISY], ids=["clean", "noisy"])
def test_a_worker_gets_nothing_that_is_scored_on(
    pool: Pool, make_task: Callable[..., TaskEntry], changes: dict[str, str]
) -> None:
    task = make_task(**changes)
    answer = prepared(pool, task, 0)
    folder = answer.train.parent
    assert sorted(path.name for path in folder.iterdir()) == ["start0", "train"]
    seeds = Seeds(RULESET.seed_root, "toy", 0)
    problem = load_task(task.folder).prepare(seeds)
    train = load_file(answer.train)
    assert set(train) == set(problem.train)
    assert all(torch.equal(train[name], value) for name, value in problem.train.items())
    data = b"".join(path.read_bytes() for path in folder.iterdir())
    expected = {"val_inputs", "val_targets", "test_inputs", "test_targets"}
    assert set(problem.sealed) == expected | ({"clean_targets"} if changes else set())
    for value in problem.sealed.values():
        assert value.numpy().tobytes() not in data
    given = {row.numpy().tobytes() for row in train["inputs"]}
    for name in ("val_inputs", "test_inputs"):
        assert given.isdisjoint(row.numpy().tobytes() for row in problem.sealed[name])
    if changes:
        wrong = train["targets"] != problem.sealed["clean_targets"]
        assert float(wrong.double().mean()) == pytest.approx(0.4, abs=0.02)


def test_a_worker_is_asked_with_these_words_and_no_others(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[dict[str, Any]] = []
    exchange = WorkerClient.exchange

    def spying(self: WorkerClient, message: BaseModel, seconds: float) -> bytes:
        requests.append(json.loads(message.model_dump_json()))
        return exchange(self, message, seconds)

    monkeypatch.setattr(WorkerClient, "exchange", spying)
    task = make_task()
    record = run(pool, task, find_method("sgd"), repetition=3)
    assert record.status == "completed"
    (request,) = requests
    assert set(request) == {
        "command", "method", "entry_point", "packages", "task", "access", "seconds",
        "cpu_seconds", "visible_gpu", "hyperparameters", "reference", "train", "starts", "seeds",
        "oracle", "thresholds",
    }  # fmt: skip
    (seeds,) = request["seeds"]
    assert set(seeds) == {"order", "augment", "method"}
    sealed = Seeds(RULESET.seed_root, "toy", 3)
    for name in ("split", "init", "noise/train", "noise/val"):
        assert sealed[name] not in seeds.values()


def test_a_run_whose_worker_is_killed_is_done_on_a_fresh_one(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry]
) -> None:
    task, kills = make_task(), make_method("kills", KILLS_ITS_WORKER)
    if pool.mechanism == "bubblewrap":  # nobody inside can kill the first process of a namespace
        assert run(pool, task, kills).status == "completed"
    sgd, told = find_method("sgd"), list[str]()
    dead = pool.workers[0]
    os.killpg(dead._process.pid, signal.SIGKILL)
    for number in range(pool.n_workers):
        job = Job(spec_of(task, sgd, repetition=number), task, sgd, Space())
        assert pool.run(job, "assay run", told.append).status == "completed"
    (line,) = told
    assert line.startswith("sgd on toy (repetition ")
    assert "assay.worker.serve ended unexpectedly" in line
    assert line.endswith("the run was tried once more")
    assert dead not in pool.workers
    assert pool._idle.qsize() == pool.n_workers


def test_a_run_that_loses_two_workers_has_failed(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()

    def dies(*_: object) -> NoReturn:
        raise ChildDied("it ended unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(WorkerClient, "do", dies)
        patch.setattr(Pool, "_replaced", lambda self, worker: worker)
        record = run(pool, task, find_method("sgd"))
        with pytest.raises(PluginError, match="its worker ended twice over it"):
            pool.answer(Describe(method=Path("m.py"), families=[], seconds=1), Description)
        patch.setattr(pool, "_closed", True)
        with pytest.raises(WorkerError):  # Ctrl-C: nothing is recorded
            run(pool, task, find_method("sgd"))
    assert record.status == "failed"
    assert record.message == "its worker ended twice while it ran: it ended unexpectedly"
    assert pool._idle.qsize() == pool.n_workers
    assert run(pool, task, find_method("sgd")).status == "completed"


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_run_whose_process_is_killed_is_tried_once_more(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry],
    monkeypatch: pytest.MonkeyPatch, number: str,
) -> None:  # fmt: skip
    replaced, told = list[WorkerClient](), list[str]()

    def kept(self: Pool, worker: WorkerClient) -> WorkerClient:
        replaced.append(worker)  # a start would take seconds
        return worker

    monkeypatch.setattr(Pool, "_replaced", kept)
    task, kills = make_task(), make_method("kills", KILLS_ITSELF.format(number=number))
    job = Job(spec_of(task, kills), task, kills, Space())
    record = pool.run(job, "assay run", told.append)
    assert record.status == "failed"
    killed = f"was killed by signal {int(getattr(signal, number))} without a result"
    assert record.message == (
        f"its process was killed twice while it ran: the method's process {killed}"
    )
    assert record.usage.cpu_seconds > 0
    assert (len(replaced), len(told)) == (1, 1)
    assert pool._idle.qsize() == pool.n_workers


NEVER_ENDS = """\
from assay.method import Method


class NeverEnds(Method):
    def on_epoch_end(self, model):
        while True:
            pass
"""


def first_process(worker: WorkerClient) -> int | None:
    """The first process of the namespaces of a worker's run, once that has begun."""

    def is_serving(pid: int) -> bool:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return b"assay.worker.serve" in words and not words[0].endswith(b"bwrap")
        return False

    (serving,) = list(filter(is_serving, limits._descendants(worker._process.pid)))[:1]
    begun = (pid for pid in limits._descendants(serving) if any(limits._descendants(pid)))
    return next(filter(is_serving, begun), None)


def test_a_run_that_somebody_outside_kills_twice_has_no_record(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if pool.mechanism != "bubblewrap":
        pytest.skip("without namespaces a method could have done it")
    monkeypatch.setattr(Pool, "_replaced", lambda self, worker: worker)
    task, method = make_task(), make_method("never_ends", NEVER_ENDS)
    job = Job(spec_of(task, method), task, method, Space())
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(pool.run, job, "assay run")
        killed = set[int]()
        while not future.done():
            found = {first_process(worker) for worker in pool.workers} - {None, *killed}
            for pid in found:
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    assert len(killed) == 2, future.exception()
    with pytest.raises(MachineError) as caught:
        future.result()
    assert str(caught.value) == (
        "never_ends on toy (repetition 0, point 0): somebody or something outside the sandbox "
        "killed it; nothing was recorded, the next command tries it again"
    )
    assert pool._idle.qsize() == pool.n_workers


def test_a_run_that_the_kernel_kills_for_want_of_memory_has_no_record(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, task = itertools.count(), make_task()

    def dies(*_: object) -> NoReturn:
        raise ChildDied("it ended unexpectedly")

    monkeypatch.setattr(WorkerClient, "do", dies)
    monkeypatch.setattr(Pool, "_replaced", lambda self, worker: worker)
    monkeypatch.setattr(memory, "oom_kills", lambda: next(counts))
    with pytest.raises(MachineError, match="had no memory left and killed it; run fewer at once"):
        run(pool, task, find_method("sgd"))
    with pytest.raises(MachineError, match="had no memory left"):
        pool.answer(Describe(method=Path("m.py"), families=[], seconds=1), Description)
    assert pool._idle.qsize() == pool.n_workers


@pytest.mark.parametrize("mechanism", ["bubblewrap", "landlock"])
def test_workers_that_somebody_kills_are_no_fault_of_a_method_that_cannot_reach_them(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch,
    mechanism: str,
) -> None:  # fmt: skip
    def dies(*_: object) -> NoReturn:
        raise ChildDied("it ended unexpectedly (exit code -9)", killed=True)

    task = make_task()
    monkeypatch.setattr(WorkerClient, "do", dies)
    monkeypatch.setattr(Pool, "_replaced", lambda self, worker: worker)
    monkeypatch.setattr(pool, "mechanism", mechanism)
    if mechanism == "bubblewrap":
        with pytest.raises(MachineError, match="outside the sandbox killed it"):
            run(pool, task, find_method("sgd"))
    else:
        assert run(pool, task, find_method("sgd")).status == "failed"


@pytest.mark.parametrize(
    ("code", "killed"), [("exec sleep 9", True), ("exit 1", False), ("exit 137", True)]
)
def test_a_child_that_a_signal_ended_is_told_from_one_that_ended_by_itself(
    tmp_path: Path, code: str, killed: bool
) -> None:
    """Bubblewrap, in which a worker runs, exits with 128 + the number of the signal."""
    log = tmp_path / "log"
    log.touch()
    process = subprocess.Popen(
        ["sh", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    if "sleep" in code:
        os.killpg(process.pid, signal.SIGKILL)
    child = ChildProcess(process, log)
    with pytest.raises(ChildDied) as caught:
        child.read_line(20)
    child.close()
    assert caught.value.killed == killed


def test_a_child_that_we_have_to_kill_was_not_killed_from_outside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    process = subprocess.Popen(
        ["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    child = ChildProcess(process, log)
    with pytest.raises(ChildDied) as caught:
        child.read_line(0.0)
    child.close()
    assert not caught.value.killed


def test_kills_for_want_of_memory_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, container = tmp_path / "vmstat", tmp_path / "memory.events"
    machine.write_text("nr_free_pages 5\noom_kill 2\n")
    container.write_text("oom 9\noom_kill 1\noom_group_kill 7\n")
    monkeypatch.setattr(memory, "COUNTERS", (machine, container, tmp_path / "missing"))
    assert memory.oom_kills() == 3


def test_weights_that_kill_the_scorer_fail_their_run_alone(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, replaced = ScorerClient.ask, list[int]()
    errors = iter([ChildDied("it is dead"), WorkerError("KeyError"), PluginError("task toy")])

    def dies(self: ScorerClient, request: ScorerRequest, kind: Any) -> Any:
        if isinstance(request, Score) and (error := next(errors, None)):
            raise error
        return ask(self, request, kind)

    monkeypatch.setattr(ScorerClient, "ask", dies)
    monkeypatch.setattr(Pool, "_replace_scorer", lambda self: replaced.append(1))
    task = make_task()
    record = run(pool, task, find_method("sgd"))
    assert (record.status, record.message) == ("failed", "its weights cannot be scored: KeyError")
    with pytest.raises(PluginError, match="task toy"):  # the task stops, nothing is recorded
        run(pool, task, find_method("sgd"))
    assert run(pool, task, find_method("sgd")).status == "completed"
    assert len(replaced) == 1


@pytest.mark.parametrize(
    "make",
    ["os.mkfifo(folder / name)", '(folder / name).symlink_to("/dev/zero")'],
    ids=["pipes", "links"],
)
def test_pipes_and_links_left_for_the_supervisor_are_a_failed_run(
    pool: Pool,
    make_task: Callable[..., TaskEntry],
    make_method: Callable[..., MethodEntry],
    make: str,
) -> None:
    record = run(pool, make_task(), make_method("leaves", LEAVES_PIPES.format(make=make)))
    assert record.status == "failed"
    assert record.message == "the method's process exited with code 0 without a result"


def test_a_run_that_fails_on_a_full_disk_is_no_result_of_the_method(
    pool: Pool,
    make_task: Callable[..., TaskEntry],
    make_method: Callable[..., MethodEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails = make_method("fails", "raise OSError(28, 'No space left on device')\n")
    task = make_task()
    assert run(pool, task, fails).status == "failed"
    full = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(StorageError, match="the disk is full"):
        run(pool, task, fails)


def test_a_pool_of_two_gives_records_whose_numbers_fit(
    pool: Pool, make_task: Callable[..., TaskEntry], tmp_path: Path
) -> None:
    task, store = make_task(), Store(tmp_path / "results")
    pairs = [(task, find_method(name)) for name in ("sgd", "adam")]
    made = make_cells(pairs, pool, "quick", n_repetitions=2)
    progress = Pipeline(pool, store, None, lambda progress: None).run(made)
    assert progress.problems == []
    assert progress.by_status == {"completed": 16}
    for record in store.runs():
        assert record.result is not None
        best = max(record.curve, key=lambda point: (point.val, point.batch))
        assert record.result.val == best.val
        assert record.result.test == best.test
        assert record.result.test_oracle == max(point.test for point in record.curve)
        assert record.result.test_last == record.curve[-1].test
        assert record == rounded(record)


def test_missing_data_are_one_clear_error_and_the_other_tasks_run(
    pool: Pool, make_task: Callable[..., TaskEntry], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    absent = make_task(
        "absent", dataset="cifar10", split="train = 100\nval = 100", model="resnet8", parameters=""
    )
    monkeypatch.setattr(run_many, "Pool", lambda **_: contextlib.nullcontext(pool))
    request = RunRequest(
        methods=["sgd"],
        tasks=[absent, make_task("present")],
        results=tmp_path / "results",
        preset="quick",
        repetitions=2,
        workers=2,
        mlflow="off",
    )
    assert run_many.run(request) == summary.INCOMPLETE
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if line.startswith("assay: ")]
    assert len(told) == 1, said.err
    assert told[0].startswith("assay: absent: ")
    assert "cifar10" in told[0].lower()
    assert "Traceback" not in said.err
    assert "8 runs done" in said.out
    records = list(Store(request.results).runs())
    assert {record.spec.task.slug for record in records} == {"present"}
    assert len(records) == 8


def test_the_control_runs_each_reference_as_two_methods(
    fake_pool: Callable[..., Any], make_task: Callable[..., TaskEntry], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(run_many, "Pool", lambda **_: contextlib.nullcontext(fake_pool()))
    monkeypatch.setattr(cells, "_spaces", lambda *_: [Space(defaults={"a": 1})] * 2)
    request = RunRequest(
        methods=(),
        tasks=[make_task("one"), make_task("other")],
        results=tmp_path / "results",
        mlflow="off",
        control=True,
    )
    assert run_many.run(request) == 0
    records = list(Store(request.results).runs())
    r = RULESET.r("lite")
    assert {record.spec.method.slug for record in records} == {"sgd"}
    assert sorted((record.spec.task.slug, record.spec.repetition) for record in records) == [
        (task, number) for task in ("one", "other") for number in (*range(r), *range(100, 100 + r))
    ]
    assert capsys.readouterr().out.count("sgd, control") == 2
    assert run_many.run(request) == 0
    assert f"0 runs done ({4 * r} were recorded before)" in capsys.readouterr().out
