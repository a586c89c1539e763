"""What the hash of a task covers: its own files and the suite code that shapes its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from assay import paths
from assay.plugins.registry import find_task, task_ref
from assay.plugins.task_code import shared_code

CLASSIFICATION = {
    "families/classification.py",
    "families/metrics.py",
    "models.py",
    "families/overflow.py",
}


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("from assay import Method, Task", set()),
        ("from assay.cards import TaskCard\nimport assay.data", set()),
        ("from assay.families import metrics", {"families/metrics.py"}),
        ("from assay.families.metrics import accuracy as a", {"families/metrics.py"}),
        ("import assay.families.metrics", {"families/metrics.py"}),
        ("def late():\n    from assay import models", {"models.py"}),
        ("from assay.models import Mlp", {"models.py"}),
        ("from assay.families.classification import Classification", CLASSIFICATION),
        (
            "from assay.families.quantization import Quantization",
            {
                *CLASSIFICATION,
                "families/integer_export.py",
                "families/quantization.py",
                "quantization.py",
            },
        ),
        ("from assay.families.no_such import x", set()),
    ],
)
def test_imports_are_followed(tmp_path: Path, text: str, covered: set[str]) -> None:
    (tmp_path / "task.py").write_text(text)
    found = shared_code([tmp_path / "task.py"])
    assert {str(path.relative_to(paths.PACKAGE)) for path in found} == covered


def test_a_changed_constant_changes_the_hash_and_a_comment_does_not(tmp_path: Path) -> None:
    hashes = []
    for number, text in enumerate(("rate = 1\n", "rate = 1  # a share\n", "rate = 2\n")):
        folder = tmp_path / str(number) / "digits_mlp"
        folder.mkdir(parents=True)
        card = (paths.ROOT / "tasks" / "digits_mlp" / "card.toml").read_bytes()
        (folder / "card.toml").write_bytes(card)
        (folder / "task.py").write_text(text)
        hashes.append(task_ref(find_task(str(folder))).code_hash)
    assert hashes[0] == hashes[1] != hashes[2]
