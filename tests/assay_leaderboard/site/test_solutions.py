"""Which diagnoses a build of the site shows: those of code that is still the same."""

from __future__ import annotations

from typing import Any

from assay.identity import sha256
from assay.records import diagnosis
from assay.records.schema import MethodRef
from assay_leaderboard.site.build.inputs import read_inputs
from assay_leaderboard.site.build.keys import CacheKeys
from assay_leaderboard.site.build.task_part import compared_networks

from tests.assay.conftest import make_diagnosis, make_point, make_spec


def test_diagnoses_of_current_code_are_compared_and_damaged_ones_named(simulated: Any) -> None:
    inputs = read_inputs([simulated.results], with_local=False)
    slug, (card, task) = next(iter(inputs.catalogue.tasks.items()))
    one, two, *_ = sorted(inputs.catalogue.methods)
    problems: list[str] = []
    assert compared_networks(card, inputs, problems) is None
    before = CacheKeys(inputs).task(slug)

    def diagnosed(method: MethodRef, repetition: int) -> Any:
        spec = make_spec(task=task, method=method, repetition=repetition)
        made = make_diagnosis(method.slug, repetition, [make_point(1, 1.0)], spec=spec)
        diagnosis.write(simulated.results, made)
        return diagnosis.path_of(simulated.results, spec)

    refs = [inputs.catalogue.methods[method][1] for method in (one, two)]
    for ref in refs:
        diagnosed(ref, 0)
    assert CacheKeys(inputs).task(slug) != before
    diagnosed(refs[0].model_copy(update={"code_hash": sha256("edited")}), 1)
    diagnosed(MethodRef(slug="local", version=1, code_hash=sha256("local")), 0)
    path = diagnosed(refs[0], 2)
    path.write_text("{")
    found = compared_networks(card, inputs, problems)
    assert found and found.repetitions == [0]
    assert [row.method for row in found.matched] == sorted([one, two, "local"])
    assert len(problems) == 1 and str(path) in problems[0]
