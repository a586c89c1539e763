"""`assay replay`: run recorded runs once more and compare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.commands.options import DEFAULT_RESULTS, AsJson, Results
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.publication.replay import Replay
    from assay.records.schema import RunRecord

DIFFERS, INCOMPLETE = 1, 4


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(replay)


def replay(
    what: Annotated[
        list[str], typer.Argument(metavar="RUN_ID...|BUNDLE...", help="Ids of runs, or bundles.")
    ],
    n_sample: Annotated[
        int, typer.Option("--sample", min=1, help="Of a bundle: how many random runs.")
    ] = 10,
    seed: Annotated[
        int | None, typer.Option(help="Of a bundle: which sample. Default: drawn, and printed.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Of runs by id: its folder or file, if it is no submission here."),
    ] = None,
    secret: Annotated[
        Path | None,
        typer.Option(help="The organisers' secret file, for an epoch not revealed yet."),
    ] = None,
    allow_weaker: Annotated[
        bool, typer.Option("--allow-weaker", help="Replay without a sandbox; earns no tier.")
    ] = False,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Run recorded runs once more and compare: bit for bit, or within a stated tolerance.

    Of a bundle most of the sample are runs that decide its score. At least 10 earn the tier T2.
    With --json, each bundle is one line.

    Examples:
        assay replay 6624fb14a7bce288 --results assay-results

        assay replay digits_cnn--my_opt-v1--0123456789abcdef.zip --sample 20
    """
    options: dict[str, Any] = {"secret": secret, "allow_weaker": allow_weaker}
    bundles = [Path(name) for name in dict.fromkeys(what) if name.endswith(".zip")]
    if bundles:
        if others := [name for name in what if not name.endswith(".zip")]:
            raise AssayError(
                f"expected bundles alone or ids of runs alone, got {bundles[0]} and {others[0]}"
            )
        if method is not None:
            raise AssayError(f"--method was given with {bundles[0]}; expected no method, as a "
                             "bundle's runs are repeated with the source in it")  # fmt: skip
        codes = set(_replay_bundles(bundles, n_sample, seed, options, as_json))
    else:
        codes = {_replay_runs(what, method, results, options, as_json)}
    if bad := codes - {0}:
        raise typer.Exit(min(bad))


def _replay_runs(
    ids: list[str], method: str | None, results: Path, options: dict[str, Any], as_json: bool
) -> int:
    """Replay runs by id; see _finish."""
    from assay.plugins.registry import find_method
    from assay.publication import replay as replaying

    records = [_record(run_id, results) for run_id in dict.fromkeys(ids)]

    def method_of(ref: Any) -> Any:
        if method is None:
            return replaying.submission_of(ref)
        return replaying.checked_method(find_method(method), ref)

    replays = list(_shown(replaying.replay(records, method_of, **options), as_json))
    return _finish(replays, len(records), {}, as_json)


def _replay_bundles(
    paths: list[Path], n_sample: int, seed: int | None, options: dict[str, Any], as_json: bool
) -> Iterator[int]:
    """Replay a sample of each bundle, one after the other; see _finish.

    One that cannot be replayed at all is named, and the others are replayed: its code is that of
    the error.
    """
    from assay.publication.bundle_replays import KeptPools, draw, replay_sample
    from assay.publication.report import SAMPLE
    from assay.records.bundle import read_bundle

    def replayed(path: Path) -> int:
        bundle = read_bundle(path)
        chosen = draw(bundle, n_sample, seed)
        n, of = chosen.n, len(bundle.runs)
        about = {"bundle": bundle.sha256, "seed": chosen.seed, "sampled": n, "of": of}
        if not as_json:
            typer.echo(f"{path.name}: {n} of {of} runs, seed {chosen.seed}")
        replays = list(_shown(replay_sample(chosen, make_pool=pools, **options), as_json))
        return _finish(replays, n, about, as_json, min(SAMPLE, of))

    with KeptPools() as pools:
        for path in paths:
            try:
                yield replayed(path)
            except AssayError as error:
                typer.echo(f"assay: {error}", err=True)
                yield error.exit_code


def _record(run_id: str, results: Path) -> RunRecord:
    """A record from the results folder or a published bundle.

    Raises:
        RecordError: there is none with this id.
    """
    from assay.errors import RecordError
    from assay.paths import RESULTS
    from assay.publication.verify import readable
    from assay.records.store import Store

    found = Store(results).find_run(run_id) or Store(RESULTS).find_run(run_id)
    if found is not None:
        return found
    for bundle in readable(RESULTS):
        for record in bundle.runs:
            if record.id == run_id:
                return record
    raise RecordError(
        f"no run is called {run_id!r} in {results} or {RESULTS}; expected the 16 digits of an id"
    )


def _shown(replays: Iterator[Replay], as_json: bool) -> Iterator[Replay]:
    """Yield each replay and print it as it comes."""
    for found in replays:
        if not as_json:
            name = f"{found.run_id} {found.method} on {found.task}, repetition {found.repetition}"
            name += "" if found.point is None else f", point {found.point}"
            remark = f": {found.detail}" if found.detail else ""
            took = f" ({found.took_seconds:.1f} s)" if found.took_seconds else ""
            typer.echo(f"{found.verdict:16} {name}{took}{remark}")
        yield found


def _finish(
    replays: list[Replay], wanted: int, about: dict[str, Any], as_json: bool, enough: int = 1
) -> int:
    """Print the summary; the exit code is 1 if the replays contradict the records, 4 if a run could
    not be replayed, else 0.
    """
    from assay.publication.comparison import rule_of
    from assay.publication.replay import summarise

    found = summarise(replays, wanted, enough)
    mean = found.mean_difference
    if as_json:
        runs = [asdict(replay) for replay in replays]
        told: dict[str, Any] = asdict(found)
        told["mean_difference"] = mean.model_dump() if mean else None
        typer.echo(json.dumps({**about, **told, "runs": runs}))
    else:
        if mean is not None:
            typer.echo(f"{mean.n} runs on another kind of machine: mean difference "
                       f"{mean.mean:+.4g}, allowed {mean.allowed:.4g}")  # fmt: skip
        done = {r.task: r.tolerance for r in replays if r.tolerance is not None}
        for task, tolerance in done.items():
            typer.echo(f"{task}: {rule_of(tolerance)}")
        typer.echo(f"tier {found.tier}: {found.why}" if found.tier else f"no tier: {found.why}")
    if found.contradicted:
        return DIFFERS
    return INCOMPLETE if any(replay.verdict == "cannot" for replay in replays) else 0
