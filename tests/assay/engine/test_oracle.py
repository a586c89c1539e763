"""The oracle as a process: its protocol, hostile questions, and what the scorer makes of marks."""

import io
import os
import random
import socket
import struct
import threading

import pytest
import torch
from assay.engine import oracle as process
from assay.engine.oracle import Account, OracleProcess, serve
from assay.engine.scorer import as_marked
from assay.errors import BadWeights, PluginError
from assay.families import oracle_frames as frames
from assay.families.oracle import GRACE, BudgetSpent, Mark, digest_of
from assay.families.oracle_frames import CHARGE, EVALUATE, MARK, PRODUCT, Layout, Malformed
from assay.families.oracle_model import OracleModel
from assay.families.toys import toy_card, toy_task
from assay.task import Seeds, Snapshot
from assay.worker.oracle_client import OracleConnection, RemoteOracle

TASK = toy_task(toy_card("functions"))
PROBLEM = TASK.prepare(Seeds("test", "toy", 0))
START = PROBLEM.starts[0]
BUDGET = TASK.card.budget.example_passes


def layout():
    return Layout(START, n_starts=1, n_rows=len(PROBLEM.train["inputs"]), budget=BUDGET)


def asking(rows=(3,), operation=EVALUATE, unknowns=None, start=0, dtype=torch.float32):
    unknowns = [START["x"].to(dtype)] if unknowns is None else unknowns
    head = frames.question(operation, start, len(rows), dtype)
    return head + frames.row_bytes(rows) + frames.bytes_of(unknowns)


def read(data):
    return layout().read(io.BytesIO(data))


def test_questions_come_back_as_they_were_asked():
    x = torch.randn(6, dtype=torch.float64)
    asked = read(asking((3, 5), PRODUCT, [x, 2 * x], dtype=torch.float64))
    assert (asked.operation, asked.start, asked.n, list(asked.rows)) == (PRODUCT, 0, 2, [3, 5])
    assert torch.equal(asked.unknowns[0], x)
    assert torch.equal(asked.vectors[0], 2 * x)
    marked = read(frames.question(MARK, 0, 9) + b"d" * 32)
    assert (marked.operation, marked.n, marked.digest) == (MARK, 9, b"d" * 32)
    assert read(frames.question(CHARGE, 0, 2)).n == 2
    assert read(b"") is None


@pytest.mark.parametrize(
    "data",
    [
        b"\1",
        struct.pack("<BBHI", 0, 0, 0, 1),
        struct.pack("<BBHI", 9, 0, 0, 1),
        struct.pack("<BBHI", EVALUATE, 2, 0, 1),
        struct.pack("<BBHI", EVALUATE, 0, 0, 2**32 - 1),
        struct.pack("<BBHI", CHARGE, 1, 0, 1),
        struct.pack("<BBHI", CHARGE, 0, 0, 2**31),
        struct.pack("<BBHI", MARK, 0, 0, 1) + b"short",
        asking(start=1),
        asking(rows=()),
        asking(rows=(64,)),
        asking()[:-1],
    ],
)
def test_a_question_that_breaks_a_rule_is_malformed(data):
    with pytest.raises(Malformed):
        read(data)


@pytest.fixture
def served():
    """A connection to an oracle that is served in a thread, and how that ended."""
    oracle = TASK.oracle(PROBLEM, 0)
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    ended = []
    thread = threading.Thread(
        target=lambda: (ended.append(serve(theirs, [oracle], layout())), theirs.close())
    )
    thread.start()
    yield ours, oracle, ended
    ours.close()
    thread.join(10)
    assert not thread.is_alive()


def test_noise_on_the_line_ends_the_connection_and_nothing_else():
    generator = random.Random(1)
    good = asking()
    for _ in range(200):
        data = bytearray(good * generator.randint(1, 3))
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        data = bytes(data[: generator.randint(1, len(data))])
        oracle = TASK.oracle(PROBLEM, 0)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(data)
            ours.shutdown(socket.SHUT_WR)
            serve(theirs, [oracle], layout())
        assert oracle.example_passes <= BUDGET + GRACE


def test_what_is_not_paid_for_is_not_answered_and_a_flood_of_it_ends(served):
    ours, oracle, ended = served
    remote = RemoteOracle(OracleConnection(ours, START, 64), 0)
    for _ in range(BUDGET + GRACE):
        value, (gradient,) = remote.evaluate([3], [START["x"]])
    direct = TASK.oracle(PROBLEM, 0)
    assert torch.equal(value, direct.evaluate([3], [START["x"]])[0])
    assert torch.equal(gradient, direct.evaluate([3], [START["x"]])[1][0])
    with pytest.raises(BudgetSpent):
        remote.evaluate([3], [START["x"]])
    assert remote.example_passes == oracle.example_passes == BUDGET + GRACE
    with pytest.raises(PluginError, match="ended the connection"):
        for _ in range(process.MAX_REFUSALS):
            with pytest.raises(BudgetSpent):
                remote.charge(1)
    assert ended == ["too many questions were not paid for"]


def test_more_marks_than_evaluation_points_end_the_connection(served):
    ours, oracle, _ = served
    remote = RemoteOracle(OracleConnection(ours, START, 64), 0)
    for _ in range(TASK.card.evaluation.points):
        remote.mark(1, digest_of(START))
    with pytest.raises(PluginError, match="ended the connection"):
        remote.mark(1, digest_of(START))
    assert len(oracle.marks) == TASK.card.evaluation.points


def test_a_process_answers_as_the_function_does_and_leaves_its_account(tmp_path):
    folder = tmp_path / ("a" * 100)  # longer than an address can be
    folder.mkdir()
    started = OracleProcess(TASK, PROBLEM, folder / "oracle")
    os.symlink(folder, tmp_path / "near")
    with socket.socket(socket.AF_UNIX) as connection:
        here = os.getcwd()
        os.chdir(folder)
        connection.connect("oracle")
        os.chdir(here)
        remote = RemoteOracle(OracleConnection(connection, START, 64), 0)
        models = [OracleModel(o, START) for o in (remote, TASK.oracle(PROBLEM, 0))]
        rows = PROBLEM.train["inputs"][:2]
        for model in models:
            model(rows).backward()
        assert torch.equal(models[0].x.grad, models[1].x.grad)
        remote.mark(4, digest_of(START))
        remote.charge(3)
        remote._connection._stream.close()
    (account,) = started.close()
    assert (account.passes, account.example_passes) == (2, 5)
    assert list(account.marks) == [Mark(4, 1, 2, digest_of(START))]
    assert started.close() == [account]
    assert not started.path.exists()


def test_an_oracle_that_no_run_came_to_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COLLECT_SECONDS", 0.05)
    assert OracleProcess(TASK, PROBLEM, tmp_path / "oracle").close() is None


def snapshot(batch, scale=1.0):
    return Snapshot(batch, 999, 999, {"x": scale * START["x"]})


def account(*marks):
    return Account(9, 9, [Mark(b, b, 2 * b, digest_of({"x": s * START["x"]})) for b, s in marks])


def test_snapshots_count_as_they_were_marked():
    ((one, two),) = as_marked([[snapshot(1), snapshot(5)]], [account((1, 1.0), (5, 1.0))])
    assert (one.passes, one.example_passes, two.passes, two.example_passes) == (1, 2, 5, 10)


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        (None, "left no account"),
        ([account((1, 1.0))], "2 snapshots, but 1 were marked"),
        ([account((1, 1.0), (5, 2.0))], "the snapshot of batch 5 is not the one"),
        ([account((1, 1.0), (4, 1.0))], "the snapshot of batch 5 is not the one"),
    ],
)
def test_snapshots_other_than_those_that_were_marked_are_refused(accounts, said):
    with pytest.raises(BadWeights, match=said):
        as_marked([[snapshot(1), snapshot(5)]], accounts)
