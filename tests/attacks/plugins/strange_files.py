"""Hands in what is no regular file, or is another one when it is read a second time."""

from __future__ import annotations

import contextlib
import os
import socket

import targets
from assay import Method
from kit import forge
from safetensors.torch import save


class StrangeFiles(Method):
    """A reader that follows links reads for the attacker, with its own rights."""

    def configure_optimizer(self, model):
        forge(model, save, self.replace)

    def replace(self, path):
        path.unlink()
        match targets.VARIANT:
            case "symbolic link":
                path.symlink_to("/etc/passwd")
            case "link to a device":
                path.symlink_to("/dev/zero")
            case "pipe":
                os.mkfifo(path)
            case "sparse":
                with path.open("wb") as file:
                    file.truncate(400 << 20)
            case "folder":
                path.mkdir()
            case "socket":
                listening = socket.socket(socket.AF_UNIX)
                listening.bind(os.path.relpath(path))
            case "hard link":
                with contextlib.suppress(OSError):  # then the file is missing, and no better
                    os.link("/etc/passwd", path)
            case "no rights":
                path.write_bytes(b"x")
                path.chmod(0)
