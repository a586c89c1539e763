"""What a worker gets of a method: its code and declared data, and nothing else of its folder."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from assay.engine.clients import READABLE, _copy, _for_worker
from assay.plugins.registry import worker_files

CARD = '# words\nslug = "mine"\ntitle = "Mine"\ndata = ["table.bin"]\n'
FILES = {
    "card.toml": CARD,
    "method.py": '"""Words."""\nx = 1  # words\n',
    "helper.py": "y = 2\n",
    "table.bin": "data",
    "notes.txt": "words",
    ".hidden.py": "words",
    "folder/words.py": "words",
    "__pycache__/method.cpython-311.pyc": "words",
}


def test_nothing_else_of_a_folder_reaches_a_worker(tmp_path: Path) -> None:
    own, got = tmp_path / "mine", tmp_path / "inbox"
    for name, content in FILES.items():
        path = own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o700)
        os.utime(path, (1, 1))
    files, modules = worker_files(own / "method.py", "")
    _copy(files, got, _for_worker)
    assert modules == {}
    assert {path.name: path.read_text() for path in got.iterdir()} == {
        "card.toml": "",
        "method.py": '""\nx = 1  \n',
        "helper.py": "y = 2\n",
        "table.bin": "data",
    }
    for path in got.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == READABLE
        assert path.stat().st_mtime > time.time() - 3600
        assert not os.listxattr(path)
