"""What `assay replay --json` and ci/gate-run print, read as data by whoever publishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.errors import BundleError
from assay.identity import canonical_json
from assay.records.bundle import Bundle
from assay.records.log import MeanDifference, ReplayedRun, ReplayVerdict
from assay.records.log_entry import MAX_REPLAYS, Score
from assay.records.schema import Hash, Id
from assay.untrusted import strict_json

MAX_BUNDLES = 200
SAMPLE = 10
"""Fewest replayed runs that earn a tier; all runs of a bundle that has fewer."""
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]
Words = Annotated[str, Field(max_length=10_000)]


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class RunReport(_Report):
    """One replayed run."""

    run_id: Id
    verdict: ReplayVerdict
    recorded_test: Score | None
    replayed_test: Score | None
    margins: Score | None = None


class ReplayReport(_Report):
    """The replay of one bundle."""

    bundle: Hash
    tier: Literal["T2"] | None
    why: Words
    contradicted: bool
    mean_difference: MeanDifference | None
    runs: Annotated[list[RunReport], Field(max_length=MAX_REPLAYS)]

    @property
    def logged(self) -> list[ReplayedRun]:
        """Its runs as the results log keeps them."""
        return [
            ReplayedRun(
                run=run.run_id,
                recorded=run.recorded_test,
                replayed=run.replayed_test,
                verdict=run.verdict,
            )
            for run in self.runs
        ]

    def problem(self, bundle: Bundle) -> str | None:
        """Why this report does not confirm `bundle`; None if it does."""
        if self.bundle != bundle.sha256:
            return "the report is of another bundle"
        recorded = {run.id: run.result.test if run.result else None for run in bundle.runs}
        done = {run.run_id: run.recorded_test for run in self.runs}
        confirmed = [run for run in self.runs if run.verdict in ("identical", "within tolerance")]
        if len(done) != len(self.runs) or not done.items() <= recorded.items():
            return "the report names runs that are not in the bundle, or other scores"
        if self.tier is None or self.contradicted:
            return f"the replay did not confirm it: {self.why[:300]}"
        if len(confirmed) < min(SAMPLE, len(recorded)):
            return f"only {len(confirmed)} runs were confirmed, expected {SAMPLE}"
        if any(run.verdict in ("differs", "cannot") for run in self.runs):
            return "a run of the report was not confirmed"
        return None


class GateReport(_Report):
    """What ci/gate-run found about one change."""

    base: Commit
    head: Commit
    slug: Annotated[str, Field(max_length=100)] | None
    author: Annotated[str, Field(max_length=200)] | None
    passed: bool
    problems: list[Words]
    """Of the gate that runs nothing, of `assay check`, and of the replays."""
    replays: Annotated[Mapping[str, ReplayReport], Field(max_length=MAX_BUNDLES)]


AnyReport = TypeVar("AnyReport", ReplayReport, GateReport)


def read_report(data: bytes, model: type[AnyReport]) -> AnyReport:
    """The report in `data`.

    Raises:
        BundleError: it is none; the first problem.
    """
    try:
        value: Any = strict_json.parse(data)
        return model.model_validate_json(canonical_json(value))
    except strict_json.NotStrict as error:
        raise BundleError(f"the report cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:200]
        raise BundleError(f"the report: {where}: {first['msg'][:200]}") from error
