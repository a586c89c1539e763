from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from assay import data
from assay.data import catalogue, loading
from assay.errors import DataError
from assay.paths import TEXTS

from tests.assay.data.conftest import cifar10_contents, cifar_batch, images, publish


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys; from assay import data; data.status('digits'); "
        "print([name for name in ('torch', 'numpy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_digits_and_breast_cancer_need_no_files() -> None:
    digits = data.load("digits")
    assert digits["inputs"].shape == (1797, 1, 8, 8)
    assert (digits["inputs"].min(), digits["inputs"].max()) == (0, 16)
    assert digits["targets"].bincount().tolist()[:3] == [178, 182, 177]
    tumours = data.load("breast_cancer")
    assert tumours["inputs"].shape == (569, 30)
    assert tumours["targets"].bincount().tolist() == [357, 212]


def test_windows_of_the_text_are_followed_by_their_targets_and_occur_once() -> None:
    found = data.load("python_reference")
    text = " ".join((TEXTS / "python_reference.txt").read_text().split())
    alphabet = " abcdefghijklmnopqrstuvwxyz"
    assert found["inputs"].dtype == torch.int32
    seen = set()
    for row in range(0, len(found["targets"]), 97):
        place = int(found["places"][row])
        window = "".join(alphabet[code] for code in found["inputs"][row].tolist())
        assert window + alphabet[found["targets"][row]] == text[place : place + 17]
        assert text.count(window, 0, len(text) - 1) == 1
        seen.add(window)
    assert len(seen) > 400
    assert len(found["inputs"].unique(dim=0)) == len(found["inputs"])


def test_modular_addition_has_every_pair_and_its_sum() -> None:
    found = data.load("modular_addition")
    pairs = [tuple(pair) for pair in found["inputs"].tolist()]
    sums = dict(zip(pairs, found["targets"].tolist(), strict=True))
    assert len(sums) == 31 * 31
    assert (sums[3, 4], sums[30, 30], sums[1, 30]) == (7, 29, 0)


def test_tables_have_the_rarer_class_as_1(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {
        "mammography": b"0.5,1,'-1'\n0.25,2,'1'\n0.5,1,'-1'\n",
        "pima": b"6,148,1\n1,85,0\n",
    }
    for name, content in contents.items():
        publish(data_dir, monkeypatch, name, {f"{name}.csv": content})
    assert data.load("mammography")["inputs"].tolist() == [[0.5, 1], [0.25, 2]]
    assert data.load("mammography")["targets"].tolist() == [0, 1]
    assert data.load("pima")["targets"].tolist() == [1, 0]


def test_cifar10_keeps_the_published_order(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents(7))
    found = data.load("cifar10")
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "inputs": (35, 3, 32, 32),
        "targets": (35,),
        "test_inputs": (7, 3, 32, 32),
        "test_targets": (7,),
    }
    assert found["inputs"][8].flatten().tolist() == images(7, seed=1)[1].tolist()
    assert found["test_inputs"][2].flatten().tolist() == images(7, seed=5)[2].tolist()


def test_cifar100_has_fine_labels(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {
        f"cifar-100-python/{name}": cifar_batch(9, seed=seed, key=b"fine_labels", n_classes=100)
        for seed, name in enumerate(("train", "test"))
    }
    publish(data_dir, monkeypatch, "cifar100", contents)
    found = data.load("cifar100")
    assert found["targets"].max() > 9
    assert found["test_inputs"].shape == (9, 3, 32, 32)


def test_human_labels_come_beside_cifar10(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents(7))
    clean = data.load("cifar10")["targets"].numpy()
    human = (clean + 1) % 10
    file = data_dir / "human.pt"

    def publish_human(clean: numpy.ndarray) -> None:
        torch.save({"clean_label": clean, "worse_label": human}, file)
        publish(data_dir, monkeypatch, "cifar10n", {"cifar-n/h.pt": file.read_bytes()})

    publish_human(clean)
    found = data.load("cifar10n")
    assert found["human_targets"].tolist() == human.tolist()
    assert found["inputs"].shape == (35, 3, 32, 32)
    publish_human(clean[::-1].copy())
    with pytest.raises(DataError, match="order"):
        data.load("cifar10n")


def test_the_cache_serves_without_the_published_files(
    data_dir: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents())
    before = data.load("cifar10")["inputs"].clone()
    (data_dir / "cifar-10-batches-py/data_batch_1").unlink()
    assert data.load("cifar10")["inputs"].equal(before)
    assert only(folders / "cache").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_cache_is_rebuilt(
    data_dir: Path, folders: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents())
    expected = int(data.load("cifar10")["inputs"].sum())
    cached = only(folders / "cache")
    whole = cached.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    damaged = {"truncated": whole[:-9], "flipped": flipped, "emptied": b""}[damage]
    cached.unlink()  # another file under the name: this process still maps the old one
    cached.write_bytes(damaged)
    loading._mapped.cache_clear()  # as in a new process
    assert int(data.load("cifar10")["inputs"].sum()) == expected
    assert only(folders / "cache").read_bytes() == whole


def test_a_cache_that_cannot_be_written_says_so(
    data_dir: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents())
    (folders / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="ASSAY_CACHE"):
        data.load("cifar10")


def test_other_published_files_have_another_cache(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents(3))
    assert len(data.load("cifar10")["targets"]) == 15
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents(4))
    assert len(data.load("cifar10")["targets"]) == 20


def poisoned(path: Path) -> dict[str, torch.Tensor]:
    """What a run without a sandbox could write: every test label is 0, in a sound file."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    tensors["test_targets"] = torch.zeros_like(tensors["test_targets"])
    path.unlink()
    save_file(tensors, path, {"sha256": loading.digest(tensors)})
    return tensors


@pytest.mark.parametrize("pinned", [True, False])
def test_a_poisoned_cache_is_decoded_again(
    data_dir: Path, folders: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents())
    sound = data.load("cifar10")["test_targets"].clone()
    cached = only(folders / "cache")
    if pinned:
        monkeypatch.setitem(catalogue.DECODED, cached.stem, loading._DECODED_HERE[cached])
    wrong = poisoned(cached)["test_targets"]
    monkeypatch.setattr(loading, "_DECODED_HERE", {})  # as in a new process
    loading._mapped.cache_clear()
    found = data.load("cifar10")["test_targets"]
    assert found.equal(sound)
    assert not found.equal(wrong)
    assert loading._mapped(cached, loading.digest(data.load("cifar10"))) is not None


def test_installed_data_that_were_changed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = loading._digits()
    changed = {**sound, "targets": (sound["targets"] + 1) % 10}
    monkeypatch.setattr(loading, "_digits", lambda: changed)
    with pytest.raises(DataError, match="not those of the published files"):
        data.load("digits")
