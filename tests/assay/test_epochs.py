"""Epochs: commitments that hold, secrets that stay, seeds that nobody can guess."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.engine.cells import Cell, make_cells
from assay.engine.pipeline import Pipeline
from assay.engine.pool import Pool
from assay.engine.runs import worker_seeds
from assay.epochs import Epoch, epochs, new_epoch, open_epoch, reveal
from assay.errors import EpochError, StorageError
from assay.messages.worker import Ended, WorkerRequest
from assay.records.parsing import parse_record
from assay.records.schema import RunSpec
from assay.records.store import Store


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return tmp_path / "master"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "epochs"


def test_an_epoch_is_committed_to_then_used_then_revealed(secret: Path, folder: Path) -> None:
    new_epoch("spring", secret, folder)
    assert secret.stat().st_mode & 0o777 == 0o600
    master = secret.read_text().strip()
    published = "".join(path.read_text() for path in folder.iterdir())
    hidden = open_epoch("spring", folder, secret)
    assert master not in published
    assert hidden.seed_root not in published
    assert hidden.seed_root not in repr(hidden)
    with pytest.raises(EpochError, match="not revealed yet"):
        open_epoch("spring", folder)
    reveal("spring", secret, folder)
    secret.unlink()
    assert open_epoch("spring", folder) == hidden
    assert master not in "".join(path.read_text() for path in folder.iterdir())
    (status,) = epochs(folder)
    assert status.revealed is not None


def test_one_master_serves_epochs_that_tell_nothing_of_each_other(
    secret: Path, folder: Path
) -> None:
    made = [new_epoch(name, secret, folder) for name in ("spring", "autumn")]
    assert len({one.commitment for one in made}) == 2
    reveal("spring", secret, folder)
    open_epoch("spring", folder)
    with pytest.raises(EpochError, match="not revealed yet"):
        open_epoch("autumn", folder)
    roots = {open_epoch(name, folder, secret).seed_root for name in ("spring", "autumn")}
    assert len(roots) == 2


def test_another_secret_and_a_changed_key_are_refused(
    secret: Path, folder: Path, tmp_path: Path
) -> None:
    new_epoch("spring", secret, folder)
    other = tmp_path / "other"
    new_epoch("decoy", other, folder)
    with pytest.raises(EpochError, match="is not the secret of the epoch spring"):
        open_epoch("spring", folder, other)
    with pytest.raises(EpochError, match="is not the secret of the epoch spring"):
        reveal("spring", other, folder)
    reveal("spring", secret, folder)
    path = folder / "spring.revealed.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "0" * 64}))
    with pytest.raises(EpochError, match="is not the secret of the epoch spring"):
        open_epoch("spring", folder)
    with pytest.raises(EpochError, match="is not the secret"):
        list(epochs(folder))


def test_what_is_published_is_published_once(secret: Path, folder: Path) -> None:
    new_epoch("spring", secret, folder)
    with pytest.raises(EpochError, match="begun already"):
        new_epoch("spring", secret, folder)
    reveal("spring", secret, folder)
    with pytest.raises(EpochError, match="revealed already"):
        reveal("spring", secret, folder)


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda path: path.chmod(0o640), "chmod 600"),
        (lambda path: path.write_text("short\n"), "hexadecimal"),
        (lambda path: path.write_bytes(b"\xff" * 64), "cannot be read"),
        (lambda path: path.write_bytes(b"0" * 10_000), "cannot be read"),
        (lambda path: (path.rename(path.with_suffix(".real")),
                       path.symlink_to(path.with_suffix(".real"))), "cannot be read"),
        (lambda path: path.unlink(), "no such file"),
    ],
    ids=["readable", "short", "bytes", "long", "link", "gone"],
)  # fmt: skip
def test_a_secret_file_that_is_not_safe_is_refused(
    secret: Path, folder: Path, prepare: Callable[[Path], Any], says: str
) -> None:
    new_epoch("spring", secret, folder)
    prepare(secret)
    with pytest.raises(EpochError, match=says):
        open_epoch("spring", folder, secret)


def test_a_secret_in_a_checkout_is_not_made(folder: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "repo")], check=True)
    place = tmp_path / "repo" / "master"
    with pytest.raises(EpochError, match="outside of one"):
        new_epoch("spring", place, folder)
    assert not place.exists()
    assert not folder.exists()


@pytest.mark.parametrize("begun", [False, True])
def test_a_full_disk_leaves_no_half_file(
    secret: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    if begun:
        new_epoch("spring", secret, folder)
    before = [path.read_bytes() for path in folder.glob("*")]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="the disk is full"):
            (reveal if begun else new_epoch)("spring", secret, folder)
    assert [path.read_bytes() for path in folder.glob("*")] == before
    assert secret.exists() == begun
    (reveal if begun else new_epoch)("spring", secret, folder)


@pytest.mark.parametrize("name", ["", "Spring", "../up", "a.b", "x" * 2000])
def test_an_epochs_name_is_a_slug(name: str, secret: Path, folder: Path) -> None:
    with pytest.raises(EpochError, match="expected a name"):
        new_epoch(name, secret, folder)
    with pytest.raises(EpochError, match="expected a name"):
        open_epoch(name, folder, secret)
    assert not secret.exists()


def test_ids_from_before_there_were_epochs_stay(
    make_cell: Any, make_task: Any, make_method: Any
) -> None:
    cell = make_cell(make_task(), make_method("sgd", "a = 1\n"))
    spec = next(iter(cell.specs.values()))
    assert "epoch" not in spec.model_dump(mode="json")
    hidden = spec.model_copy(update={"epoch": "spring"})
    assert hidden.model_dump(mode="json")["epoch"] == "spring"
    assert hidden.id != spec.id
    assert RunSpec.model_validate(hidden.model_dump(mode="json")) == hidden


def test_an_epoch_has_whole_repetitions_of_its_own_at_the_public_points(
    fake_pool: Any, make_cell: Any, make_task: Any, make_method: Any, tmp_path: Path
) -> None:
    from dataclasses import replace

    store = Store(tmp_path / "results")
    cell = make_cell(make_task(), make_method("sgd", "a = 1\n"))
    Pipeline(fake_pool(), store, None, lambda _: None).run([cell])
    hidden: Cell = replace(cell, epoch="spring")
    pool = fake_pool(epoch=Epoch("spring", "root"))
    progress = Pipeline(pool, store, None, lambda _: None).run([hidden])
    assert progress.done == len(pool.ran) == len(cell.specs)
    records = list(store.runs())
    public = [record.spec for record in records if record.spec.epoch is None]
    own = [record.spec for record in records if record.spec.epoch == "spring"]
    assert len(public) == len(own) == len(cell.specs)
    for specs in (public, own):
        specs.sort(key=lambda spec: (spec.repetition, spec.point))
    assert [spec.model_copy(update={"epoch": None}) for spec in own] == public
    for record in records:
        assert ("--epoch spring" in record.reproduce) == (record.spec.epoch == "spring")
        assert parse_record(record.model_dump_json(), "x") == record


def test_a_worker_gets_seeds_and_never_their_root(
    pool: Pool, make_task: Any, make_method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden repetitions are other problems than public ones, and repeat under the same root."""
    task = make_task()
    method = make_method("mine", "from assay import Method\n\n\nclass M(Method):\n    pass\n")
    root = "f" * 64
    said: list[str] = []
    ask_worker = pool.ask_worker

    def overheard(request: WorkerRequest, folder: Path) -> Ended:
        said.append(request.model_dump_json())
        return ask_worker(request, folder)

    monkeypatch.setattr(pool, "ask_worker", overheard)
    monkeypatch.setattr(pool, "epoch", Epoch("spring", root))
    (cell,) = make_cells([(task, method)], pool, "quick")
    assert cell.epoch == "spring"
    hidden = next(iter(cell.specs.values()))
    public = hidden.model_copy(update={"epoch": None})
    runs = [pool.run(cell.job(spec), "x") for spec in (hidden, public, hidden)]
    with pytest.raises(EpochError, match="hidden seeds of the epoch autumn"):
        pool.run(cell.job(hidden.model_copy(update={"epoch": "autumn"})), "x")
    assert [run.status for run in runs] == ["completed"] * 3
    assert runs[0].weights_sha256 == runs[2].weights_sha256 != runs[1].weights_sha256
    assert len(said) == 4
    assert not any(root in text for text in said)
    given = [json.loads(text).get("seeds") for text in said]
    assert given[1] == given[3] != given[2]
    assert worker_seeds(root, hidden, 0).model_dump() == given[1][0]
