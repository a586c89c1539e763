"""Puts text into its record that does something where it is shown."""

from __future__ import annotations

import json
import os

import targets
from assay import Method
from kit import run_folder

TEXT = (
    "\x1b]0;owned\x07\x1b[2J\x1b[8m<script>alert(1)</script> javascript:alert(1) \u202egnp.exe"
    '\u200b\x9b31m\r=HYPERLINK("http://example.org")\x00'
)


class HostileText(Method):
    """A terminal obeys escapes, a page obeys markup, a table obeys formulas."""

    def configure_optimizer(self, model):
        if targets.VARIANT == "error":
            raise RuntimeError(TEXT)
        if targets.VARIANT == "output":
            os.write(1, TEXT.encode())
            os._exit(1)
        claim = {"status": "failed", "message": TEXT}
        (run_folder() / "outcome.json").write_text(json.dumps(claim))
        os._exit(0)
