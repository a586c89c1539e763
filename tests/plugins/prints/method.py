"""Writes junk to stdout and stderr, also past Python's buffers, and what looks like an answer."""

from __future__ import annotations

import os
import sys

from assay import Batch, Method


class Prints(Method):
    def transform_batch(self, batch: Batch) -> Batch:
        sys.stdout.write('{"status": "completed", "test": 1.0}\n')
        sys.stderr.write("\x1b[2J\x00 not text \udcff".encode("utf-8", "replace").decode() + "\n")
        os.write(1, b"\xff\xfe raw bytes\n")
        os.write(2, b"\xff\xfe raw bytes\n")
        return batch
