"""Opens descriptors until there are no more."""

from __future__ import annotations

import os

from assay import Method
from kit import Denied, Reached

MANY = 100_000


class DescriptorBomb(Method):
    """The table of open files is one for the whole machine."""

    def configure_optimizer(self, model):
        opened = []
        try:
            while len(opened) < MANY:
                opened.append(os.dup(0))
        except OSError as error:
            raise Denied(f"DENIED after {len(opened)} descriptors: {error.strerror}") from None
        raise Reached(f"REACHED {MANY} open descriptors")
