"""Mutated bundles, cards, logs and weights: an AssayError or a sound value, never anything else.

A quick share runs with the other tests. All of it, minutes on a free core:

    ASSAY_FUZZ=20000 pytest tests/assay/untrusted/test_fuzz_formats.py
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from assay.cards import SubmissionCard, TaskCard, read_card
from assay.errors import AssayError, BadWeights, BundleError, CardError, LogError
from assay.identity import canonical_json, sha256
from assay.paths import ROOT
from assay.plugins.registry import method_entries
from assay.publication import verify as verify_
from assay.publication.verify import verify
from assay.records import log
from assay.records.bundle import parse_bundle, read_bundle
from assay.untrusted.weights import Layout, read_snapshot, snapshot_bytes
from assay.untrusted.zip_archive import read_archive, write_archive

N = int(os.environ.get("ASSAY_FUZZ", "1500"))
"""Mutations over all formats."""
CASE_SECONDS = 20.0
"""No single one may take longer, on however busy a machine."""

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**24, 0.5, -0.0, 1e-320, 1e308),
    *("", "x", "=1+1", "../../x", "/etc/passwd", "\x00", "\x1b[31m", "\u202e", "\u200b", "\ud7ff"),
    *("<script>", "javascript:alert(1)", "9" * 30, "nan", "a" * 100_000, "é", "\U0001f600"),
    *([], {}, [[]], [None], {"": None}, [[[[[[]]]]]], {"kind": "run"}, [0] * 1000),
]
ODD_BYTES = [
    *(b"", b"\0", b"\xff", b"\n", b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"NaN", b"null"),
    *(b"1e999", b"-1", b"9" * 5000, b"[" * 5000, b'{"a":' * 3000, b"\\ud800", b"\xed\xa0\x80"),
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"../", b"'''", b"# coding: rot13\n", b"\r\n"),
]


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Fail a case that hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {CASE_SECONDS:g} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, CASE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Some bytes flipped, cut, repeated, moved or replaced."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at = draw.randrange(len(out) + 1)
        n = draw.choice((1, 2, 4, 8, 64, 1000))
        match draw.randrange(7):
            case 0:
                out[at : at + 1] = bytes([draw.randrange(256)])
            case 1 if at < len(out):
                out[at] ^= 1 << draw.randrange(8)
            case 2:
                del out[at : at + n]
            case 3:
                out[at:at] = draw.choice(ODD_BYTES)
            case 4:
                out[at : at + n] = draw.choice(ODD_BYTES)
            case 5:
                part = out[at : at + n]
                other = draw.randrange(len(out) + 1)
                out[other:other] = part
            case _:
                out[at : at + 4] = struct.pack("<L", draw.choice((0, 1, 2**16, 2**31, 2**32 - 1)))
    return bytes(out)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in JSON-like `value`."""
    yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def changed(value: Any, draw: random.Random) -> Any:
    """The value with one to three of its parts replaced, removed, added or swapped."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        *outer, key = draw.choice([p for p in places(value) if p] or [(None,)])
        if key is None:
            return draw.choice(ODD_VALUES)
        holder = value
        for step in outer:
            holder = holder[step]
        match draw.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw.choice(("x", "", "kind", "schema_version", "\u202e"))] = holder[key]
            case 2 if isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
                factor = draw.choice((-1, 0, 2, 1e10, 1 + 1e-12, 1e300))
                holder[key] = holder[key] * factor
            case 3:
                holder[key] = json.loads(json.dumps(draw.choice(ODD_VALUES)))
            case _:
                holder[key] = [holder[key]] if draw.random() < 0.5 else {"a": holder[key]}
    return value


class Bundles:
    """Three depths: bytes of the file; members, repacked; values of the runs' columns."""

    def __init__(self, originals: dict[str, Path], folder: Path) -> None:
        self.originals = [path.read_bytes() for path in originals.values()]
        self.names = [path.name for path in originals.values()]
        self.folder = folder
        self.verified = 0

    def case(self, draw: random.Random) -> None:
        which = draw.choice((0, 0, 0, 1))
        data, name = self.originals[which], self.names[which]
        depth = draw.randrange(4)
        if depth == 0:
            data = mutated(data, draw)
        else:
            members = read_archive(data)
            chosen = draw.choice(sorted(members))
            if depth == 1:
                members[chosen] = mutated(members[chosen], draw)
            else:
                self._change(members, draw)
            try:
                data = write_archive(members)
            except BundleError:
                return
        if draw.random() < 0.95:
            name = name[:-20] + sha256(data)[:16] + ".zip"
        path = self.folder / name
        try:
            bundle = parse_bundle(data, path)
        except BundleError as error:
            assert len(str(error)) < 2000
            return
        self.verified += 1
        for finding in verify(bundle, [bundle]):
            assert finding.severity in ("error", "flag")
            assert len(finding.message) < 2000

    def _change(self, members: dict[str, bytes], draw: random.Random) -> None:
        name = draw.choice(["runs.json"] * 6 + sorted(members))
        if name.startswith("source/"):
            members[name] = mutated(members[name], draw)
            return
        value = json.loads(members[name])
        if name == "runs.json" and draw.random() < 0.8:
            column = draw.choice(list(value))  # most places are in the middle of curves
            part = changed({"a": value[column]}, draw)
            value[column] = part.get("a", []) if isinstance(part, dict) else part
        else:
            value = changed(value, draw)
        members[name] = json.dumps(value).encode()


class Cards:
    """Text of every card of this checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kinds: list[tuple[Any, list[Path]]] = [
            (TaskCard, sorted((ROOT / "tasks").glob("*/card.toml"))),
            (SubmissionCard, sorted((ROOT / "submissions").glob("*/card.toml"))),
        ]

    def case(self, draw: random.Random) -> None:
        model, paths = draw.choice(self.kinds)
        original = draw.choice(paths)
        path = self.folder / original.parent.name / "card.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mutated(original.read_bytes(), draw))
        try:
            read_card(path, model)
        except CardError as error:
            assert error.problems and all(error.problems)


LAYOUT: Layout = {"bias": ("F32", (3,)), "weight": ("F32", (2, 3)), "count": ("I64", ())}


class Weights:
    """Headers and bodies of snapshots."""

    def __init__(self) -> None:
        tensors = {
            "bias": torch.arange(3.0),
            "weight": torch.arange(6.0).reshape(2, 3),
            "count": torch.tensor(7),
        }
        self.original = snapshot_bytes(tensors)

    def case(self, draw: random.Random) -> None:
        length = int.from_bytes(self.original[:8], "little")
        header, body = self.original[8 : 8 + length], self.original[8 + length :]
        match draw.randrange(3):
            case 0:
                data = mutated(self.original, draw)
            case 1:
                header = mutated(header, draw)
                data = struct.pack("<Q", len(header)) + header + body
            case _:
                header = json.dumps(changed(json.loads(header), draw)).encode()
                data = struct.pack("<Q", len(header)) + header + body
        try:
            state, _ = read_snapshot(data, LAYOUT)
        except BadWeights:
            return
        assert {k: tuple(t.shape) for k, t in state.items()} == {
            k: shape for k, (_, shape) in LAYOUT.items()
        }
        assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())


class Logs:
    """A results log of three entries, its hashes sometimes made right again."""

    def __init__(self, originals: dict[str, Path], folder: Path) -> None:
        self.folder = folder / "published"
        self.folder.mkdir()
        for path in originals.values():
            shutil.copy(path, self.folder)
            log.append(self.folder, "publish", path)
        log.append(self.folder, "retract", path, note="a test")
        self.path = self.folder / log.LOG
        self.original = self.path.read_bytes()

    def case(self, draw: random.Random) -> None:
        lines = self.original.rstrip(b"\n").split(b"\n")
        if draw.random() < 0.5:
            data = mutated(self.original, draw)
        else:
            at = draw.randrange(len(lines))
            value = changed(json.loads(lines[at]), draw)
            with contextlib.suppress(ValueError):  # an overflow has no canonical form
                if isinstance(value, dict) and draw.random() < 0.7:
                    value.pop("hash", None)
                    value["hash"] = sha256(canonical_json(value))
            lines[at] = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
            data = b"\n".join([*lines, b""])
        self.path.write_bytes(data)
        head = json.loads(self.original.splitlines()[-1])["hash"]
        problems = log.check(self.folder, head)
        assert data == self.original or problems
        with contextlib.suppress(LogError):
            log.standings(log.read(self.folder))


def everything_under(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


SHARES = {"bundles": 0.25, "cards": 0.35, "weights": 0.3, "logs": 0.1}


@pytest.mark.parametrize("kind", SHARES)
def test_mutations_end_in_an_error_of_ours_or_a_sound_value(
    kind: str, bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    monkeypatch.chdir(outside)
    few = dict(list(method_entries().items())[:3])  # whose source every bundle's is compared with
    monkeypatch.setattr(verify_, "method_entries", lambda: few)
    makers: dict[str, Callable[[], Any]] = {
        "bundles": lambda: Bundles(bundles, target),
        "cards": lambda: Cards(target),
        "weights": Weights,
        "logs": lambda: Logs(bundles, target),
    }
    fuzzer = makers[kind]()
    watched = [outside, *{path.parent for path in bundles.values()}]
    before = [everything_under(folder) for folder in watched]
    n = round(N * SHARES[kind])
    for seed in range(n):
        try:
            with limited():
                fuzzer.case(random.Random(f"{kind} {seed}"))
        except AssayError as error:
            pytest.fail(f"{kind} {seed}: an error of another kind: {error!r}")
        except Exception as error:
            error.add_note(f"the case is: {kind} {seed}")
            raise
    assert [everything_under(folder) for folder in watched] == before
    if kind == "bundles":
        assert fuzzer.verified > n / 20  # enough get past the reader to try what lies behind
        assert all(read_bundle(path) for path in bundles.values())
