"""`assay site build` and `assay site serve`: parsing around library calls."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from assay.commands.options import DEFAULT_RESULTS, AsJson

app = typer.Typer(no_args_is_help=True, help="The leaderboard as a folder of static files.")
MOST_PROBLEMS = 40
"""Most problems that are printed; the log page has them all."""


@app.command()
def build(
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Folder of results; default: those that are published."),
    ] = None,
    with_local: Annotated[
        bool,
        typer.Option(
            "--with-local", help="Also show your own results (ASSAY_RESULTS or assay-results)."
        ),
    ] = False,
    local: Annotated[
        Path,
        typer.Option(
            "--local", envvar="ASSAY_RESULTS", help="With --with-local: where your records lie."
        ),
    ] = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the site.")] = Path("site"),
    sandbox_report: Annotated[
        Path | None,
        typer.Option(help="What `assay sandbox --json` printed; default: RESULTS/sandbox.json."),
    ] = None,
    queue_report: Annotated[
        Path | None,
        typer.Option(help="What `assay queue --json` printed; default: RESULTS/queue.json."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; default: one a core.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Keep nothing and take nothing from earlier builds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the site from the records: all of it, or nothing.

    Records that cannot be read are left out; they are listed at the end and on the log page.
    """
    with _interruptible(out, "" if no_cache else " to continue"), _progress() as say:
        from assay_leaderboard.site.build.build import build as build_site
        from assay_leaderboard.site.build.plan import BuildRequest

        request = BuildRequest(
            out=out,
            results=results,
            local=local if with_local else None,
            scorecard=sandbox_report,
            queue=queue_report,
            jobs=jobs,
            cache=not no_cache,
        )
        started = time.perf_counter()
        built = build_site(request, say)
    seconds = time.perf_counter() - started
    if as_json:
        typer.echo(json.dumps({**vars(built), "out": str(built.out), "seconds": round(seconds, 2)}))
        return
    _complain(built.problems)
    kept = f" ({built.n_kept} of them unchanged)" if built.n_kept else ""
    typer.echo(
        f"{built.out}: {built.n_tasks} tasks{kept}, {built.n_runs:,} runs, {built.n_files:,} "
        f"files, {built.n_bytes / 1e6:.1f} MB in {seconds:.1f} s"
    )
    where = shlex.quote(str(built.out))
    typer.echo(f"open {built.out / 'index.html'}, or: assay site serve --dir {where}")


@app.command()
def serve(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the site.")] = Path("site"),
    port: Annotated[int, typer.Option(help="0 is any free one.")] = 8000,
) -> None:
    """Serve a site to this machine alone, until Ctrl-C."""
    from assay_leaderboard.site.serve import serve as serve_site
    from assay_leaderboard.site.serve import server

    serve_site(server(folder, port), typer.echo)


@contextmanager
def _interruptible(out: Path, purpose: str) -> Iterator[None]:
    """Report Ctrl-C during a build in one line; typer sets the exit code.

    Args:
        out: the site's folder.
        purpose: why to give the same command again, for example " to continue".
    """
    before = _identity(out)
    try:
        yield
    except KeyboardInterrupt:
        # A new folder at `out` means that only the removal of the old one was interrupted.
        now = "is as it was" if _identity(out) == before else "is new and whole"
        typer.echo(f"interrupted: {out} {now}; give the same command again{purpose}", err=True)
        raise


def _identity(folder: Path) -> int | None:
    """The folder's inode, which changes when a new folder takes its place; None without one."""
    return folder.stat().st_ino if folder.exists() else None


@contextmanager
def _progress() -> Iterator[Any]:
    """Yield a function that shows progress on one line of a terminal, and nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    try:
        yield lambda text: print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _complain(problems: Any) -> None:
    from assay_leaderboard.format import plain

    for problem in problems[:MOST_PROBLEMS]:
        typer.echo(f"not shown: {plain(problem)}", err=True)
    if len(problems) > MOST_PROBLEMS:
        more = len(problems) - MOST_PROBLEMS
        typer.echo(f"and {more} more: see log/index.html in the site", err=True)
