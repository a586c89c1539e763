"""Replays of bundles: which runs are drawn, with whose source, on which pools."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from assay.errors import PluginError
from assay.publication import bundle_replays
from assay.publication import replay as replaying
from assay.publication.bundle_replays import KeptPools, sample, unpacked
from hypothesis import given
from hypothesis import strategies as st

CARD = b'slug = "mine"\ntitle = "Mine"\n'


@given(n_all=st.integers(0, 40), n=st.integers(0, 30), k=st.integers(1, 8), seed=st.integers(0))
def test_most_of_a_sample_decides_the_score(n_all: int, n: int, k: int, seed: int) -> None:
    records: list[Any] = [SimpleNamespace(id=f"{number:016x}") for number in range(n_all)]
    deciding = {record.id for record in records[::k]}
    drawn = sample(records, n, seed, deciding)
    assert len({record.id for record in drawn}) == len(drawn) == min(n, len(records))
    assert drawn == sample(records[::-1], n, seed, deciding)
    n_deciding = sum(record.id in deciding for record in drawn)
    assert n_deciding >= min(len(deciding), 0.8 * len(drawn))
    if n_all > n >= 5:  # and any run may be drawn
        assert n_deciding < n or len(deciding) == n_all


@pytest.mark.parametrize(("n_chaotic", "n_replayed"), [(0, 3), (1, 4), (3, 6), (5, 6)])
def test_of_a_bundle_another_run_stands_in_for_each_chaotic_one(
    monkeypatch: pytest.MonkeyPatch, n_chaotic: int, n_replayed: int
) -> None:
    source = {"card.toml": CARD, "method.py": b""}
    manifest = SimpleNamespace(method=SimpleNamespace(slug="mine"))
    bundle: Any = SimpleNamespace(
        runs=[SimpleNamespace(id=f"{number:016x}") for number in range(10)],
        source=source,
        manifest=manifest,
    )
    monkeypatch.setattr(bundle_replays, "deciding", lambda records: set())
    chosen = bundle_replays.draw(bundle, 3, 7)
    assert len({record.id for record in chosen.records}) == len(chosen.records) == 6
    assert chosen == bundle_replays.draw(bundle, 3, 7)

    def replay(records: list[Any], *_: Any, **__: Any) -> Iterator[Any]:
        for number in range(len(records)):
            yield SimpleNamespace(verdict="chaotic" if number < n_chaotic else "identical")

    monkeypatch.setattr(replaying, "replay", replay)
    assert len(list(bundle_replays.replay_sample(chosen))) == n_replayed


def test_a_bundles_source_is_unpacked_for_a_worker_and_gone_afterwards() -> None:
    with unpacked({"card.toml": CARD, "method.py": b"raise SystemExit\n"}, "mine") as entry:
        assert entry.card.title == "Mine"
        assert entry.source.parent.name == "mine"
    assert not entry.source.exists()


@pytest.mark.parametrize("name", ["../up.py", "/tmp/x.py", "a/b.py", ".pth", "", "a\nb"])
def test_a_bundles_source_stays_in_its_folder(name: str) -> None:
    source = {"card.toml": CARD, "method.py": b"", name: b""}
    with pytest.raises(PluginError, match="has a file called"), unpacked(source, "mine"):
        pass


def test_bundles_that_need_the_same_pool_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    @contextlib.contextmanager
    def open_pool(**wanted: Any) -> Iterator[Any]:
        made.append(wanted)
        yield len(made)
        made.append("closed")

    monkeypatch.setattr(bundle_replays, "Pool", open_pool)
    with KeptPools() as pools:
        for isa in ("avx2", "native", "avx2"):
            with pools(n_workers=1, isa=isa) as pool:
                assert pool == (2 if isa == "native" else 1)
        assert [wanted["isa"] for wanted in made] == ["avx2", "native"]
    assert made[2:] == ["closed", "closed"]
