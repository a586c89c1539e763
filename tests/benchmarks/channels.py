"""How many bits pass from one run to the next through what namespaces do not cover.

    python tests/benchmarks/channels.py [--bits 64] [--rounds 8]

Two channels, each written in one run and read in one of another pool:
- pages: which pages of a file that all runs may read are in memory, told by page faults. A bit is a
  pair of pages of which one is read; a pair with both or neither in memory is an erasure. The file
  is one that nobody else uses, put out of memory before, as after a start of the machine.
- inodes: the kernel's counter of the numbers of pipes, 4 bits a round.
"""

import argparse
import json
import os
import secrets
import tempfile
from pathlib import Path

from assay.engine.outcomes import Refused
from assay.engine.pool import Pool
from assay.messages.worker import Describe, Description
from assay.records.schema import Compute
from assay.sandbox.bubblewrap import packages

STRIDE = 64
"""Pages between two that are read: more than the kernel reads around a fault."""

PAGES = """
import ctypes, mmap, resource
file = open({path!r}, "rb")
view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
view.madvise(mmap.MADV_RANDOM)
def touch(number):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    view[number * {stride} * mmap.PAGESIZE]
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt == before
"""
WRITE_PAGES = "found = sum(touch(2 * n + bit) for n, bit in enumerate({bits}))\n"
READ_PAGES = "found = ''.join(str(int(touch(n))) for n in range(2 * {n}))\n"

INODES = """
import os
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
def number():
    ends = os.pipe()
    try:
        return os.fstat(ends[0]).st_ino
    finally:
        for end in ends:
            os.close(end)
"""
WRITE_INODE = "while number() >> 12 & 15 != {value} or number() & 4095 > 512: pass\nfound = 0\n"
READ_INODE = "found = number() >> 12 & 15\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, new_pool() as one, new_pool() as other:
        folder = Path(name)
        pages(one, other, folder, options.bits)
        inodes(one, other, folder, options.rounds)


def new_pool():
    return Pool(n_workers=1, compute=Compute(), mechanism="bubblewrap")


def pages(one, other, folder, n_bits):
    path = unused_file(n_bits)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    bits = [secrets.randbits(1) for _ in range(n_bits)]
    source = PAGES.format(path=str(path), stride=STRIDE)
    found(one, folder, source + WRITE_PAGES.format(bits=bits))
    read = found(other, folder, source + READ_PAGES.format(n=n_bits))
    pairs = [read[2 * n : 2 * n + 2] for n in range(n_bits)]
    erased = sum(pair in ("00", "11") for pair in pairs)
    right = sum(pair == ("10", "01")[bit] for bit, pair in zip(bits, pairs, strict=True))
    print(f"pages: {right} of {n_bits} bits read back in another pool, {erased} erased")


def unused_file(n_bits):
    """The largest file among the packages that this process has not mapped."""
    mapped = Path("/proc/self/maps").read_text()
    wanted = 2 * n_bits * STRIDE * os.sysconf("SC_PAGESIZE")
    files = [path for place in packages() for path in place.rglob("*") if path.is_file()]
    path = max((p for p in files if str(p) not in mapped), key=lambda p: p.stat().st_size)
    if path.stat().st_size < wanted:
        raise SystemExit(f"the largest unused file, {path.name}, is too small for that many bits")
    return path


def inodes(one, other, folder, n_rounds):
    right = 0
    for _ in range(n_rounds):
        value = secrets.randbelow(16)
        found(one, folder, INODES.format() + WRITE_INODE.format(value=value))
        right += found(other, folder, INODES.format() + READ_INODE) == value
    print(f"inodes: {right} of {n_rounds} values of 4 bits read back in another pool")


def found(pool, folder, source):
    path = folder / "channel.py"
    path.write_text(f"{source}\nimport json\nraise RuntimeError('FOUND' + json.dumps(found))\n")
    try:
        pool.answer(Describe(method=path, families=[], seconds=60), Description)
    except Refused as refused:
        text = str(refused)
        return json.JSONDecoder().raw_decode(text.partition("FOUND")[2])[0]


if __name__ == "__main__":
    main()
