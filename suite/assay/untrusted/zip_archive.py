"""Small zip files of one exact form: the reader accepts what the writer writes and nothing else.

Members are sorted by name and deflated, with one date, one mode, no comment and no extra field; the
directory at the end repeats them and the file ends there. Any unzip can read such a file. What else
zip allows (links, encryption, duplicates, paths out of the folder, hidden bytes before, between or
after members) is refused by comparison with what the writer would have written. Nothing is
extracted to disk.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from assay.errors import BundleError

MAX_ARCHIVE_BYTES = 8_000_000
MAX_MEMBER_BYTES = 8_000_000
MAX_TOTAL_BYTES = 16_000_000
MAX_MEMBERS = 64
NAME = re.compile(r"(?:[a-z][a-z0-9_-]{0,47}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_DATE = (1 << 5) | 1
"""1 January 1980, the first date that zip can hold: equal members make equal archives."""
_VERSION, _DEFLATED, _MODE, _UNIX = 20, 8, 0o100644, 3


@dataclass(frozen=True)
class _Entry:
    name: bytes
    crc: int
    n_packed_bytes: int
    n_bytes: int
    offset: int

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return self.crc, self.n_packed_bytes, self.n_bytes

    @property
    def local(self) -> bytes:
        """Its header before the data."""
        fixed = (b"PK\x03\x04", _VERSION, 0, _DEFLATED, 0, _DATE)
        return _LOCAL.pack(*fixed, *self._sizes, len(self.name), 0) + self.name

    @property
    def central(self) -> bytes:
        """Its entry in the directory."""
        fixed = (b"PK\x01\x02", _UNIX << 8 | _VERSION, _VERSION, 0, _DEFLATED, 0, _DATE)
        rest = (len(self.name), 0, 0, 0, 0, _MODE << 16, self.offset)
        return _CENTRAL.pack(*fixed, *self._sizes, *rest) + self.name


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """The zip file of `members`; equal members give equal bytes, with one version of zlib.

    Raises:
        BundleError: read_archive would refuse a name or a size.
    """
    if len(members) > MAX_MEMBERS:
        raise BundleError(f"{len(members)} files, expected at most {MAX_MEMBERS}")
    parts: list[bytes] = []
    entries: list[_Entry] = []
    offset = 0
    for name, data in sorted(members.items()):
        if not NAME.fullmatch(name) or len(data) > MAX_MEMBER_BYTES:
            raise BundleError(
                f"{name!r}, {len(data):,} bytes, cannot be packed; expected a plain name and at "
                f"most {MAX_MEMBER_BYTES:,} bytes"
            )
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = squeeze.compress(data) + squeeze.flush()
        entry = _Entry(name.encode(), zlib.crc32(data), len(packed), len(data), offset)
        parts += [entry.local, packed]
        entries.append(entry)
        offset += len(entry.local) + len(packed)
    archive = b"".join([*parts, _directory(entries, offset)])
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise BundleError(f"{len(archive):,} bytes, expected at most {MAX_ARCHIVE_BYTES:,}")
    return archive


def read_archive(data: bytes) -> dict[str, bytes]:
    """The members of an archive that write_archive wrote, in order.

    Raises:
        BundleError: it is anything else, with the first difference.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise BundleError(f"{len(data):,} bytes, expected at most {MAX_ARCHIVE_BYTES:,}")
    members: dict[str, bytes] = {}
    entries: list[_Entry] = []
    offset = total = 0
    while data[offset : offset + 4] == b"PK\x03\x04":
        if len(members) == MAX_MEMBERS:
            raise BundleError(f"more than {MAX_MEMBERS} files in the archive")
        entry = _header(data, offset)
        name = entry.name.decode()
        if entries and entry.name <= entries[-1].name:
            raise BundleError(f"{name}: stands twice, or files are not sorted by name")
        total += entry.n_bytes
        if total > MAX_TOTAL_BYTES:
            raise BundleError(f"its files hold more than {MAX_TOTAL_BYTES:,} bytes together")
        begin = offset + len(entry.local)
        members[name] = _inflated(entry, data[begin : begin + entry.n_packed_bytes])
        entries.append(entry)
        offset = begin + entry.n_packed_bytes
    if not entries:
        raise BundleError("is not a bundle: it does not begin with a file of a zip archive")
    if data[offset:] != (directory := _directory(entries, offset)):
        if len(data) < offset + len(directory):
            raise BundleError("is cut off: the directory at its end is missing or incomplete")
        raise BundleError(
            "its directory is not that of its files: links, modes, dates, comments, extra fields "
            "and bytes before, between or behind the files are refused; make it with: assay pack"
        )
    return members


def _directory(entries: list[_Entry], offset: int) -> bytes:
    lines = b"".join(entry.central for entry in entries)
    n = len(entries)
    return lines + _END.pack(b"PK\x05\x06", 0, 0, n, n, len(lines), offset, 0)


def _header(data: bytes, offset: int) -> _Entry:
    """The file header at `offset`, which must be as the writer makes them."""
    if len(data) < offset + _LOCAL.size:
        raise BundleError("is cut off inside a file's header")
    _, _, flags, method, _, _, crc, n_packed, n_bytes, n_name, n_extra = _LOCAL.unpack_from(
        data, offset
    )
    raw = data[offset + _LOCAL.size : offset + _LOCAL.size + n_name]
    shown = repr(raw[:60].decode("utf-8", "replace"))
    if flags & 1:
        raise BundleError(f"{shown}: is encrypted; a bundle is not")
    if method != _DEFLATED or flags or n_extra:
        raise BundleError(f"{shown}: is stored in a way that bundles do not use")
    try:
        name = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise BundleError(f"{shown}: is no name of a file in a bundle") from error
    if not NAME.fullmatch(name):
        raise BundleError(
            f"{shown}: is no name of a file in a bundle; expected plain names, at most one folder"
        )
    if n_bytes > MAX_MEMBER_BYTES:
        raise BundleError(f"{shown}: {n_bytes:,} bytes, expected at most {MAX_MEMBER_BYTES:,}")
    entry = _Entry(raw, crc, n_packed, n_bytes, offset)
    if data[offset : offset + len(entry.local)] != entry.local:
        raise BundleError(f"{shown}: its header is not the one that assay pack writes")
    if offset + len(entry.local) + n_packed > len(data):
        raise BundleError(f"{shown}: is cut off")
    return entry


def _inflated(entry: _Entry, packed: bytes) -> bytes:
    """The member's bytes; at most one byte more than it declares is decompressed."""
    name = entry.name.decode()
    stream = zlib.decompressobj(-15)
    try:
        found = stream.decompress(packed, entry.n_bytes + 1)
    except zlib.error as error:
        raise BundleError(f"{name}: its compressed bytes are damaged ({error})") from error
    if len(found) != entry.n_bytes or stream.unconsumed_tail:
        raise BundleError(f"{name}: holds another number of bytes than it declares")
    if not stream.eof or stream.unused_data:
        raise BundleError(f"{name}: its compressed bytes are cut off or carry others behind them")
    if zlib.crc32(found) != entry.crc:
        raise BundleError(f"{name}: is damaged (its CRC differs)")
    return found
