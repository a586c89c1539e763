"""`assay sandbox`: run every known attack against this machine's sandbox."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from assay.commands.options import AsJson

if TYPE_CHECKING:
    from assay.checking.attack_range import Ending
    from assay.records.schema import Isolation

SURPRISED = 1
"""Exit code where an attack gains what the registry does not admit."""


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(sandbox)


def sandbox(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Attacks by name or number; default: all."),
    ] = None,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Print what each attack ran into.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Attack this machine's sandbox in every known way and print how each attack ended.

    Exit code 1 if one of them gains what the registry of attacks does not admit.
    """
    from assay.checking.attack_range import AttackRange, read_registry
    from assay.records.schema import Compute
    from assay.sandbox.mechanisms import REMAINS, choose, describe

    chosen = read_registry(names or ())
    mechanism = choose(compute=Compute(), allow_weaker=False)
    level = describe(mechanism, None, oracle=False)
    if not as_json:
        typer.echo(f"{mechanism}, level {level.level}: {len(chosen)} attacks")
    endings = []
    with AttackRange(mechanism) as against:
        for attack in chosen:
            endings.append(against.run(attack))
            if not as_json:
                _print_ending(endings[-1], evidence=evidence)
    _summary(endings, level, as_json=as_json)
    if not as_json:
        typer.echo(REMAINS[mechanism])
    if any(ending.surprising for ending in endings):
        raise typer.Exit(SURPRISED)


def _print_ending(ending: Ending, *, evidence: bool) -> None:
    mark = "!" if ending.surprising else " "
    typer.echo(
        f"{mark}{ending.number:>3}  {ending.slug:<22} {ending.ended:<9} {ending.seconds:>6.1f} s  "
        f"{ending.stopped_by}"
    )
    if evidence or ending.surprising:
        typer.echo(f"      {ending.evidence}")


def _summary(endings: list[Ending], level: Isolation, *, as_json: bool) -> None:
    counts: Counter[str] = Counter(sorted(ending.ended for ending in endings))
    surprises = [ending.slug for ending in endings if ending.surprising]
    if as_json:
        summary = {"counts": dict(counts), "surprising": surprises}
        attacks = [ending.model_dump(mode="json") for ending in endings]
        isolation = level.model_dump(mode="json", exclude={"probe_hash"})
        typer.echo(json.dumps({**isolation, **summary, "attacks": attacks}, indent=1))
        return
    words = {
        "failed": "failed",
        "no gain": "gained nothing",
        "flagged": "gained and were flagged",
        "open": "open",
        "elsewhere": "shown by other tests",
        "broken": "could not be judged",
    }
    told = ", ".join(f"{n} {words[name]}" for name, n in counts.items())
    typer.echo(f"{told}; {sum(ending.seconds for ending in endings):.0f} s")
    if surprises:
        typer.echo(f"gained what the registry does not admit: {', '.join(surprises)}", err=True)
