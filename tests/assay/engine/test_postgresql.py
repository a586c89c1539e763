"""Copies of the records in a PostgreSQL server, which the tests start: writers, faults, secrets."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from assay.engine.cells import Cell
from assay.engine.mirror import Mirror
from assay.engine.studies import Studies
from assay.records.schema import RunRecord
from assay.records.store import Store
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

psycopg = pytest.importorskip("psycopg", reason="the driver of trainassay[postgresql] lacks")
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, at import and at exit

USER, PASSWORD = "keeper", "s3cret%of/keeper"
N_WRITERS = 8


def programs() -> Path | None:
    """The folder of PostgreSQL's programs."""
    found = shutil.which("postgres")
    others = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return Path(found).parent if found else others[-1].parent if others else None


class Server:
    """A PostgreSQL server on loopback, of an unprivileged user, with its data in a folder."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.data, self.bin, self.process = folder / "data", bin, None
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self.port = probe.getsockname()[1]
        self.account: dict[str, Any] = {}
        if os.getuid() == 0:  # which PostgreSQL refuses
            self.account = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody", "nogroup")
        password = folder / "password"
        password.write_text(PASSWORD)
        options = ["-N", "-U", USER, "--pwfile", password, "--auth=scram-sha-256", "-E", "UTF8"]
        subprocess.run(
            [bin / "initdb", "-D", self.data, *options, "--locale=C", "--wal-segsize=1"],
            check=True, capture_output=True, cwd=folder, **self.account,
        )  # fmt: skip

    def start(self, *settings: str) -> None:
        own = ["fsync=off", "unix_socket_directories=", *settings]
        given = [part for setting in own for part in ("-c", setting)]
        command = [self.bin / "postgres", "-D", self.data, "-h", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *given], stderr=subprocess.DEVNULL, cwd=self.data, **self.account
        )
        for _ in range(3000):
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None
                time.sleep(0.05)
        raise AssertionError("PostgreSQL did not start")

    def stop(self) -> None:
        """End it at once, as a power cut would but for what is on its way to the disk."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def connect(self, database: str) -> Any:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database,
            autocommit=True, connect_timeout=5,
        )  # fmt: skip

    def ask(self, database: str, *statements: str) -> None:
        with closing(self.connect(database)) as connection:
            for statement in statements:
                connection.execute(statement)

    def address(self, database: str, password: str | None = PASSWORD) -> str:
        secret = "" if password is None else f":{password.replace('%', '%25').replace('/', '%2F')}"
        return f"postgresql://{USER}{secret}@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if (found := programs()) is None:
        pytest.skip("no PostgreSQL here (Debian package: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="assay-postgresql-"))
    started = Server(folder, found)
    started.start()
    yield started
    if started.process is not None and started.process.poll() is None:
        started.stop()
    shutil.rmtree(folder)


@dataclass
class Bench:
    """A few records of a toy task, two empty databases, and mirrors that copy to them."""

    server: Server
    database: str
    root: Path
    records: list[RunRecord]

    @property
    def mlflow(self) -> str:
        return self.server.address(self.database)

    @property
    def optuna(self) -> str:
        """Both keep the version of their tables in a table of one name."""
        return self.server.address(f"{self.database}_studies")

    def mirror(self, *records: RunRecord, name: str = "results", **to: str) -> Mirror:
        """Records written to a folder and put to its mirror, which is not closed."""
        store = Store(self.root / name)
        to = to or {"mlflow_uri": self.mlflow, "optuna_storage": self.optuna}
        mirror = Mirror(store, **to)  # type: ignore[arg-type]
        for record in records:
            store.write(record)
            mirror.put(record, "maximize")
        return mirror

    def copy(self, *records: RunRecord, **to: str) -> list[str]:
        """The same, to the end; the warnings."""
        mirror = self.mirror(*records, **to)
        mirror.close()
        return mirror.warnings()

    def tracked(self, uri: str | None = None) -> list[str]:
        """Ids of the records that MLflow has, as often as it has them."""
        client = mlflow.MlflowClient(tracking_uri=uri or self.mlflow)
        found = client.get_experiment_by_name("assay/toy")
        runs = client.search_runs([found.experiment_id], max_results=1000)
        tags = [run.data.tags for run in runs if run.info.status == "FINISHED"]
        return sorted(own["assay.record_id"] for own in tags if "assay.record_id" in own)

    def studied(self) -> list[str]:
        """Ids of the records that Optuna has, as often as it has them."""
        storage = optuna.storages.RDBStorage(self.optuna)
        names = optuna.get_all_study_names(storage)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in names]
        found = [trial.user_attrs["run_id"] for study in studies for trial in study.trials]
        storage.remove_session()
        storage.engine.dispose()
        return sorted(found)


def records_of(cell: Cell, pool: Any) -> list[RunRecord]:
    return [pool.run(cell.job(spec), cell.reproduce(spec)) for spec in cell.specs.values()]


def ids(*records: RunRecord) -> list[str]:
    return sorted(record.id for record in records)


@pytest.fixture
def bench(
    server: Server,
    tmp_path: Path,
    make_task: Any,
    make_method: Any,
    make_cell: Any,
    fake_pool: Any,
    request: pytest.FixtureRequest,
) -> Iterator[Bench]:
    database = f"of_{request.node.name[:32].lower()}"
    for name in (database, f"{database}_studies"):
        server.ask("postgres", f'CREATE DATABASE "{name}"')
    cell = make_cell(make_task(), make_method("sgd", "a = 1\n"))
    records = records_of(cell, fake_pool(share_diverged=0))[:3]
    bench = Bench(server, database, tmp_path / "of all", records)
    yield bench
    if (engine := SqlAlchemyStore._engine_map.pop(bench.mlflow, None)) is not None:
        engine.dispose()
    gc.collect()  # connections that MLflow and Optuna leave open warn here, where it is ignored


def test_eight_writers_at_once_leave_one_copy_of_each_record(
    bench: Bench, make_task: Any, make_method: Any, make_cell: Any, fake_pool: Any
) -> None:
    task = make_task()
    own = [
        records_of(make_cell(task, make_method(f"m{n}", f"a = {n}\n")), fake_pool(share_diverged=0))
        for n in range(N_WRITERS)
    ]
    writers = [bench.mirror(*runs[:2], name=f"folder {n}") for n, runs in enumerate(own)]
    for mirror in writers:
        mirror.close()
    assert [line for mirror in writers for line in mirror.warnings()] == []
    everything = [record for runs in own for record in runs[:2]]
    assert bench.tracked() == bench.studied() == ids(*everything)
    assert not [path for path in Path.cwd().iterdir() if path.name == "mlruns"]


def test_of_eight_who_add_the_same_run_to_a_study_one_does(bench: Bench) -> None:
    one, two, _ = bench.records

    def add(_: int) -> None:
        studies = Studies(bench.optuna, bench.root, print)
        for record in (one, two):
            studies.add(record, "maximize")
        studies.close()

    with ThreadPoolExecutor(N_WRITERS) as threads:
        list(threads.map(add, range(N_WRITERS)))
    assert bench.studied() == ids(one, two)


def test_a_server_that_stops_in_the_middle_is_one_line_and_the_next_command_catches_up(
    bench: Bench,
) -> None:
    one, two, three = bench.records
    assert bench.copy(one) == []
    mirror = bench.mirror(two)
    until(lambda: bench.tracked() == ids(one, two))
    bench.server.stop()
    Store(bench.root / "results").write(three)
    mirror.put(three, "maximize")
    mirror.close()
    (said,) = mirror.warnings()
    assert said.startswith("MLflow mirror incomplete (")
    assert said.endswith("the JSON records are safe, and the next command catches up")
    bench.server.start()
    assert bench.copy() == []
    assert bench.tracked() == bench.studied() == ids(one, two, three)


def test_a_server_that_is_started_again_between_two_runs_is_no_matter(bench: Bench) -> None:
    one, two, three = bench.records
    assert bench.copy(one) == []
    mirror = bench.mirror(two)
    until(lambda: bench.tracked() == ids(one, two))
    bench.server.stop()
    bench.server.start()
    Store(bench.root / "results").write(three)
    mirror.put(three, "maximize")
    mirror.close()
    assert mirror.warnings() == []
    assert bench.tracked() == bench.studied() == ids(one, two, three)


NO_SPACE = """CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$"""


def test_a_disk_that_is_full_is_one_line_and_the_next_command_catches_up(bench: Bench) -> None:
    one, two, three = bench.records
    assert bench.copy(one) == []
    places = ((bench.database, "runs"), (f"{bench.database}_studies", "trials"))
    for database, table in places:  # the server answers as it does when its disk is full
        trigger = f"CREATE TRIGGER no_space BEFORE INSERT ON {table} EXECUTE FUNCTION no_space()"
        bench.server.ask(database, NO_SPACE, trigger)
    (said,) = bench.copy(two)
    assert said.count("No space left on device") == 2
    assert "SQL:" not in said
    for database, table in places:
        bench.server.ask(database, f"DROP TRIGGER no_space ON {table}")
    assert bench.copy(three) == []
    assert bench.tracked() == bench.studied() == ids(one, two, three)


END_SESSIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""


def test_a_database_that_may_only_be_read_is_one_line(bench: Bench) -> None:
    one, two, _ = bench.records
    assert bench.copy(one) == []
    named = [f'DATABASE "{name}"' for name in (bench.database, f"{bench.database}_studies")]
    for one_of in named:
        bench.server.ask("postgres", f"ALTER {one_of} SET default_transaction_read_only = on")
    bench.server.ask("postgres", END_SESSIONS)  # which would go on as they began
    (said,) = bench.copy(two)
    assert said.count("read-only transaction") == 2
    assert "SQL:" not in said
    for one_of in named:
        bench.server.ask("postgres", f"ALTER {one_of} RESET default_transaction_read_only")
    bench.server.ask("postgres", END_SESSIONS)
    assert bench.copy() == []
    assert bench.tracked() == bench.studied() == ids(one, two)


def test_a_password_is_in_no_record_file_message_or_list_of_processes(bench: Bench) -> None:
    one, two, _ = bench.records
    wrong = bench.server.address(bench.database, "wr0ng/one%")
    (refused,) = bench.copy(one, mlflow_uri=wrong, optuna_storage=wrong)
    assert refused.count(f'password authentication failed for user "{USER}"') == 2
    assert bench.copy(two) == []
    for path in bench.root.rglob("*"):
        if path.is_file():
            assert not secrets(path.read_bytes()), path
    listed = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    for text in (refused.encode(), *listed):
        assert not secrets(text)


def secrets(text: bytes) -> list[str]:
    known = (PASSWORD, "s3cret%25of%2Fkeeper", "wr0ng/one%", "wr0ng%2Fone%25")
    return [one for one in known if one.encode() in text]


def test_the_password_may_be_in_the_environment_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    tracked = bench.server.address(bench.database, None)
    studied = bench.server.address(f"{bench.database}_studies", None)
    assert bench.copy(bench.records[0], mlflow_uri=tracked, optuna_storage=studied) == []
    assert bench.studied() == ids(bench.records[0])


def test_a_tracking_server_on_postgresql_gets_the_runs(bench: Bench, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    one, two, _ = bench.records
    assert bench.copy(one) == []
    uri = f"http://127.0.0.1:{port}"
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    own = {"MLFLOW_BACKEND_STORE_URI": bench.mlflow, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *options, "--artifacts-destination", tmp_path],
        env={**os.environ, **own},
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or answers(f"{uri}/health"), 1500)
        assert process.poll() is None
        draw = {"a.svg": "<svg/>"}
        mirror = Mirror(
            store := Store(bench.root / "by server"),
            mlflow_uri=uri, optuna_storage=bench.optuna, draw=lambda run: draw,
        )  # fmt: skip
        store.write(two)
        mirror.put(two, "maximize")
        mirror.close()
        assert mirror.warnings() == []
        assert bench.tracked(uri) == bench.tracked() == bench.studied() == ids(one, two)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            assert not path.exists() or not secrets(path.read_bytes())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def until(true: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            if true():
                return
        time.sleep(0.05)
    raise AssertionError("it never came true")
