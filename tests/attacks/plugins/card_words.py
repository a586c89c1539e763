"""Looks for words of its card, and for times, rights and names of files that tell it something."""

from __future__ import annotations

import time
from pathlib import Path

from kit import Attack

FILES = {"card.toml", "method.py", "kit.py", "targets.py"}


class CardWords(Attack):
    """A network written as words in comments of card.toml would lie in its own folder."""

    def ways(self):
        own = Path(__file__).parent
        return {
            "card": lambda: (own / "card.toml").read_text(),
            "docstrings": lambda: "".join([__doc__ or "", CardWords.__doc__ or ""]),
            "comments": lambda: "a comment" if b"\x23 " in Path(__file__).read_bytes() else None,
            "names": lambda: self.odd([p for p in own.iterdir() if p.name not in FILES]),
            "folder": lambda: None if own.name == "method" else own.name,
            "rights": lambda: self.odd(
                [p for p in own.iterdir() if p.stat().st_mode & 0o777 != 0o644]
            ),
            "times": lambda: self.odd(
                [p for p in own.iterdir() if abs(p.stat().st_mtime - time.time()) > 600]
            ),
        }

    def odd(self, files):
        """Names of files that should not be as they are."""
        return ", ".join(p.name for p in files if p.name != "__pycache__")
