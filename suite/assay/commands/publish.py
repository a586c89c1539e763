"""`assay pack`, `assay verify` and `assay log`: from records to published bundles."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from assay import paths
from assay.commands.options import DEFAULT_RESULTS, AsJson, Method, Results

if TYPE_CHECKING:
    from assay.publication.verify import BundleProblem
    from assay.records.log import Entry

Published = Annotated[
    Path | None,
    typer.Option("--published", help="Folder of bundles and log; default: this checkout's."),
]
KINDS = ("publish", "replay", "supersede", "correct", "retract", "archive", "reveal", "refuse")
"""Kinds of entries about bundles; those about epochs are made by `assay epoch`."""
log_app = typer.Typer(no_args_is_help=True, help="The log of published results.")


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(pack)
    app.command()(verify)
    app.add_typer(log_app, name="log")


def pack(
    method: Method,
    results: Results = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option("--out", help="Where the bundles go.")] = Path("bundles"),
    as_json: AsJson = False,
) -> None:
    """Make one bundle for every task on which a method's runs are complete and current."""
    from assay.plugins.registry import find_method
    from assay.publication.pack import pack_method
    from assay.records.store import Store

    done = pack_method(find_method(method), Store(results), out)
    if as_json:
        written = [{"path": str(p), "n_bytes": p.stat().st_size} for p in done.written]
        typer.echo(json.dumps({"written": written, "left_out": done.left_out}, indent=1))
        return
    for path in done.written:
        typer.echo(f"{path}  {path.stat().st_size:,} bytes")
    for reason in done.left_out:
        typer.echo(f"left out: {reason}", err=True)
    typer.echo(f"next: assay verify {shlex.quote(str(out))}/*.zip")


def verify(
    bundles: Annotated[
        list[Path] | None, typer.Argument(metavar="BUNDLE", help="Files made by assay pack.")
    ] = None,
    log: Annotated[
        bool, typer.Option("--log", help="Check the chain of the log and the published files.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(help="With --log: a head that `assay log show` printed before."),
    ] = None,
    extends: Annotated[
        Path | None,
        typer.Option(help="With --log: an earlier log.jsonl, which it must extend."),
    ] = None,
    published: Published = None,
    as_json: AsJson = False,
) -> None:
    """Check bundles without running any of their code (tier T1), or the results log."""
    from assay.errors import AssayError

    folder = published or paths.RESULTS
    if (head is not None or extends is not None) and not log:
        given = "--head" if head is not None else "--extends"
        raise AssayError(f"{given} was given without --log; expected both")
    if not bundles and not log:
        raise AssayError("nothing was given; expected bundles, for example bundles/*.zip, or --log")
    problems = _check_log(folder, head, extends) if log else []
    checked = _check_bundles(bundles or [], folder)
    if as_json:
        shown = [
            {
                "path": str(path),
                "valid": _valid(findings),
                "findings": [vars(finding) for finding in findings],
            }
            for path, findings in checked
        ]
        typer.echo(json.dumps({"bundles": shown, "log": problems if log else None}, indent=1))
    else:
        for path, findings in checked:
            _print_problems(path, findings)
        if log:
            for problem in problems:
                typer.echo(f"log: error: {problem}")
            typer.echo(f"{folder}: {'NOT sound' if problems else 'log and files are sound'}")
    if problems or not all(_valid(findings) for _, findings in checked):
        raise typer.Exit(1)


def _check_log(folder: Path, head: str | None, extends: Path | None) -> list[str]:
    from assay.errors import LogError
    from assay.records import log as publog
    from assay.untrusted.files import read_regular

    if not folder.is_dir():
        raise LogError(f"{folder}: no such folder; expected the one that holds {publog.LOG}")
    try:
        former = read_regular(extends, publog.MAX_LOG_BYTES) if extends else None
    except OSError as error:
        raise LogError(f"{extends}: cannot be read: {error.strerror}") from error
    return publog.check(folder, head, former)


def _check_bundles(paths: list[Path], folder: Path) -> list[tuple[Path, list[BundleProblem]]]:
    """The problems of each bundle, also beside the published ones."""
    from assay.publication.verify import check_file, readable

    published = readable(folder) if paths else []
    return [(path, check_file(path, published)) for path in paths]


def _valid(findings: list[BundleProblem]) -> bool:
    return all(finding.severity != "error" for finding in findings)


def _print_problems(path: Path, findings: list[BundleProblem]) -> None:
    verdict = "valid (tier T1)" if _valid(findings) else "NOT valid"
    n_flags = sum(finding.severity == "flag" for finding in findings)
    typer.echo(f"{_plain(str(path))}: {verdict}" + (f", {n_flags} flag(s)" if n_flags else ""))
    for finding in findings:
        typer.echo(f"  {finding.severity}: {finding.code}: {_plain(finding.message)}")


def _plain(text: str) -> str:
    """`text` with "?" for control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


@log_app.command("show")
def log_show(published: Published = None, as_json: AsJson = False) -> None:
    """Print the log and its head: the hash to keep for `assay verify --log --head`."""
    from assay.records import log as publog

    folder = published or paths.RESULTS
    entries = publog.read(folder)
    head = entries[-1].hash if entries else publog.NOTHING
    if as_json:
        lines = [entry.model_dump(mode="json") for entry in entries]
        typer.echo(json.dumps({"entries": lines, "head": head}, indent=1))
        return
    for entry in entries:
        _print_entry(entry)
    typer.echo(f"{len(entries)} entries, head {head}")


def _print_entry(entry: Entry) -> None:
    tier = f" {entry.tier}" if entry.tier else ""
    typer.echo(f"{entry.n:4} {entry.at[:10]} {entry.kind:12} {entry.file}{tier}")
    if entry.replaces:
        typer.echo(f"     replaces {entry.replaces[:16]}")
    if entry.replays:
        mean = entry.mean_difference
        said = f"; mean difference {mean.mean:+.4g}, allowed {mean.allowed:.4g}" if mean else ""
        typer.echo(f"     {len(entry.replays)} runs replayed{said}")
    if entry.note:
        typer.echo(f"     {entry.note}")


@log_app.command("add")
def log_add(
    kind: Annotated[
        str,
        typer.Argument(
            help="publish, replay, supersede, correct, retract, archive, reveal, refuse."
        ),
    ],
    bundle: Annotated[Path, typer.Argument(help="The bundle it is about.")],
    replaces: Annotated[
        Path | None, typer.Option(help="With supersede and correct: the published bundle.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; shown beside the old value.")] = "",
    report: Annotated[
        Path | None, typer.Option(help="With replay and refuse: what assay replay --json printed.")
    ] = None,
    author: Annotated[
        str | None, typer.Option(help="The account that a new bundle came from, who owns its slug.")
    ] = None,
    published: Published = None,
    as_json: AsJson = False,
) -> None:
    """Publish, correct or withdraw a bundle; the old one and its numbers stay visible.

    Examples:
        assay log add publish bundles/digits_cnn--adam-v1--0123456789abcdef.zip

        assay log add replay NAME.zip --report report.json

        assay log add retract NAME.zip --reason "trained on the validation part"
    """
    from assay.errors import BundleError, UnknownName
    from assay.publication import publish
    from assay.publication.report import ReplayReport, read_report
    from assay.records.log import Kind

    if kind not in KINDS:
        raise UnknownName("kind of entry", kind, KINDS)
    folder = published or paths.RESULTS
    try:
        replayed = read_report(report.read_bytes(), ReplayReport) if report else None
    except OSError as error:
        raise BundleError(f"{report}: cannot be read: {error.strerror}") from error
    entry = publish.add(
        folder,
        cast(Kind, kind),
        bundle,
        replaces=replaces,
        note=reason,
        owner=author,
        report=replayed,
    )
    if as_json:
        typer.echo(entry.model_dump_json(indent=1))
        return
    _print_entry(entry)
    typer.echo(f"head {entry.hash}")
