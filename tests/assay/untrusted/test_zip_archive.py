"""What the archive reader refuses; every case is a file that some unzip program would take."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pytest
from assay.errors import BundleError
from assay.untrusted.zip_archive import MAX_MEMBER_BYTES, MAX_MEMBERS, read_archive, write_archive
from hypothesis import given
from hypothesis import strategies as st

MEMBERS = {"manifest.json": b"{}\n", "source/method.py": b"x = 1\n" * 50}
NAMES = st.from_regex(r"(source/)?[a-z_][a-z0-9_.]{0,9}", fullmatch=True)


@given(members=st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=8))
def test_what_was_written_is_read_and_any_unzip_agrees(members: dict[str, bytes]) -> None:
    data = write_archive(members)
    assert write_archive(dict(reversed(members.items()))) == data
    assert read_archive(data) == members
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members
        assert archive.namelist() == sorted(members)


def zipped(
    names: list[str],
    mode: int = 0o100644,
    content: bytes = b"x",
    method: int = zipfile.ZIP_DEFLATED,
    comment: bytes = b"",
) -> bytes:
    """What Python's own zip writer makes of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            info.external_attr = mode << 16
            archive.writestr(info, content)
        archive.comment = comment
    return buffer.getvalue()


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def flagged(bit: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        central = data.index(b"PK\x01\x02")
        out = bytearray(data)
        out[6] |= bit
        out[central + 8] |= bit
        return bytes(out)

    return change


def bomb() -> bytes:
    """8 kB that inflate to 8 MB and say they hold one byte."""
    data = bytearray(write_archive({"runs.jsonl": b"\0" * MAX_MEMBER_BYTES}))
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, 22, 1)
    struct.pack_into("<L", data, at + 24, 1)
    return bytes(data)


def declared(n_bytes: int) -> bytes:
    data = bytearray(write_archive(MEMBERS))
    struct.pack_into("<L", data, 22, n_bytes)
    return bytes(data)


GOOD = write_archive(MEMBERS)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not a bundle"),
    "text": (b"hello", "is not a bundle"),
    "an empty zip": (zipped([]), "is not a bundle"),
    "zip slip": (zipped(["../../etc/passwd"]), "no name of a file in a bundle"),
    "zip slip inside": (zipped(["source/../../x"]), "no name of a file in a bundle"),
    "an absolute name": (zipped(["/etc/passwd"]), "no name of a file in a bundle"),
    "a drive": (zipped(["C:/x"]), "no name of a file in a bundle"),
    "a backslash": (patched(zipped(["a_b"]), b"a_b", b"..\\"), "no name of a file in a bundle"),
    "a hidden file": (zipped([".bashrc"]), "no name of a file in a bundle"),
    "a folder": (zipped(["source/"], content=b""), "no name of a file in a bundle"),
    "deep folders": (zipped(["a/b/c.py"]), "no name of a file in a bundle"),
    "a null in a name": (patched(zipped(["a_b"]), b"a_b", b"a\0b"), "no name of a file"),
    "a name of another alphabet": (zipped(["m\u0430nifest.json"]), "stored in a way"),
    "a very long name": (zipped(["a" * 5000]), "no name of a file in a bundle"),
    "a symbolic link": (zipped(["manifest.json"], mode=0o120777), "its directory is not"),
    "a device": (zipped(["manifest.json"], mode=0o020666), "its directory is not"),
    "a duplicate": (
        GOOD[: GOOD.index(b"PK\x01\x02")] + GOOD,
        "stands twice, or files are not sorted",
    ),
    "not sorted": (patched(GOOD, b"manifest.json", b"zanifest.json"), "not sorted by name"),
    "encrypted": (flagged(1)(GOOD), "is encrypted"),
    "streamed": (flagged(8)(GOOD), "stored in a way"),
    "stored": (zipped(["a"], method=zipfile.ZIP_STORED), "stored in a way"),
    "bzip2": (zipped(["a"], method=zipfile.ZIP_BZIP2), "stored in a way"),
    "lzma": (zipped(["a"], method=zipfile.ZIP_LZMA), "stored in a way"),
    "a comment": (zipped(["a"], comment=b"hello"), "its directory is not"),
    "bytes before": (b"#!/bin/sh\n" + GOOD, "is not a bundle"),
    "bytes behind": (GOOD + b"\0", "its directory is not"),
    "two archives": (GOOD + GOOD, "its directory is not"),
    "another directory": (
        patched(GOOD, b"source/method.py", b"source/methoX.py").replace(
            b"source/methoX.py", b"source/method.py", 1
        ),
        "its directory is not",
    ),
    "a bomb": (bomb(), "another number of bytes than it declares"),
    "a declared bomb": (declared(2**31), "expected at most"),
    "a longer declaration": (declared(4), "another number of bytes than it declares"),
    "a wrong CRC": (patched(GOOD, struct.pack("<L", zlib.crc32(b"{}\n")), b"abcd"), "CRC"),
    "many": (
        b"".join(
            zip_[: zip_.index(b"PK\x01\x02")]
            for zip_ in (
                write_archive({f"a{n:02}": b"" for n in range(MAX_MEMBERS)}),
                write_archive({"b": b""}),
            )
        ),
        "more than 64 files",
    ),
    "another date": (
        GOOD[:10] + b"\x01" + GOOD[11:],
        "its header is not the one that assay pack writes",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_get_one_clear_error(name: str) -> None:
    data, expected = HOSTILE[name]
    with pytest.raises(BundleError, match=expected) as caught:
        read_archive(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("n", range(1, len(GOOD), 7))
def test_every_truncation_is_refused(n: int) -> None:
    with pytest.raises(BundleError):
        read_archive(GOOD[:n])


def test_every_changed_byte_is_refused_or_changes_nothing() -> None:
    """Two zlib streams may hold the same bytes; every other byte counts."""
    for at in range(len(GOOD)):
        for mask in (1, 0x80):
            changed = bytearray(GOOD)
            changed[at] ^= mask
            try:
                assert read_archive(bytes(changed)) == MEMBERS
            except BundleError:
                continue


def test_a_bomb_takes_no_memory() -> None:
    data = bomb()
    tracemalloc.start()
    with pytest.raises(BundleError):
        read_archive(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_what_cannot_be_read_is_not_written() -> None:
    with pytest.raises(BundleError, match="cannot be packed"):
        write_archive({"../x": b""})
    with pytest.raises(BundleError, match="expected at most"):
        write_archive({f"f{n}": b"" for n in range(MAX_MEMBERS + 1)})
