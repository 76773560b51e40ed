"""``mild models``: which models there are, under which licence; fetch, check, remove."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild.app.cli import options, output, progress
from mild.errors import MildError, UsageError

if TYPE_CHECKING:
    from mild.models.assets import AssetStatus
    from mild.models.spec import ModelSpec


def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="Only these. `good` with --fetch: the recommended set."),
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch what is missing; alone: what finds people.")] = False,
    given: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="With --fetch: take it from here, no download.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Hash the installed files again.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Delete from this machine.")] = False,
    probe: Annotated[
        Path | None, typer.Option("--probe", metavar="FILE", help="Find out how an unknown ONNX inpainter is called.")
    ] = None,
    say: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="With --probe: what the test cannot tell; kept beside FILE."),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", metavar="FILE", help="Allow this TorchScript file, which runs code of its own."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Say yes to sizes and licences.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the models: what each is for, its licence, whether it is installed and whether it is used unasked."""
    if fetch + check + remove + (probe is not None) + (trust is not None) > 1:
        raise UsageError("Say one of --fetch, --check, --remove, --probe and --trust.")
    if say and probe is None:
        raise UsageError("--set goes with --probe.")
    if trust is not None:
        from mild.models.nets import trust as trusted

        typer.echo(f"trusted: {trust} (sha256 {trusted(trust)})")
        return
    if probe is not None:
        _probe(probe, say or [], as_json)
        return
    if given is not None and not (fetch and names and len(names) == 1):
        raise UsageError("--from goes with --fetch and one name.")
    chosen = _named(names or (), good=fetch)
    if fetch:
        if chosen:
            _fetch(chosen, given, yes, quiet=as_json)
        else:
            _fetch_finder(quiet=as_json)
    if remove:
        _remove(chosen, yes)
    if check:
        _check(chosen, as_json)
    else:
        _list(chosen, as_json)


def _named(names: Sequence[str], *, good: bool = False) -> list[ModelSpec]:
    from mild.models.registry import GOOD, REGISTRY

    found = []
    for name in names:
        if good and name == GOOD:
            found += [known for known in REGISTRY.values() if known.good]
        elif name in REGISTRY:
            found.append(REGISTRY[name])
        else:
            raise UsageError(f"There is no model {name!r}; the known ones are {', '.join(REGISTRY)}.")
    return list({known.name: known for known in found}.values())


def _fetch(chosen: list[ModelSpec], given: Path | None, yes: bool, *, quiet: bool) -> None:
    from mild.models import assets

    missing = [known for known in chosen if given is not None or assets.locate(known.name) is None]
    asked = [known for known in missing if known.must_accept or known.commercial is not True]
    if len(chosen) > 1 or asked:
        _agreed(missing if len(chosen) > 1 else asked, yes)
    for known in missing:
        with progress.bar(quiet=quiet) as report:

            def tell(fraction: float, name: str = known.name, report: progress.Report | None = report) -> None:
                if report:
                    report(f"fetching {name}", fraction)

            tell(0.0)
            assets.fetch(known.name, given, tell)


def _fetch_finder(*, quiet: bool) -> None:
    from mild.models import assets

    with progress.bar(quiet=quiet) as report:
        notes = assets.fetch_finder(lambda part: report("fetching the finder's nets", part) if report else None)
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _agreed(wanted: list[ModelSpec], yes: bool) -> None:
    """Say what is to come, and ask once."""
    if not wanted:
        return
    for known in wanted:
        size = f"{known.size / 1e6:.0f} MB" if known.size else "size unknown"
        typer.echo(f"{known.name}: {size}, {known.licence}{_use(known)}. {known.data}", err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"Say --yes to fetch {', '.join(known.name for known in wanted)} under these licences.")
    if not typer.confirm("Fetch?", err=True):
        raise MildError("Nothing was fetched.")


def _use(known: ModelSpec) -> str:
    if known.commercial is None:
        return " (whether commercial use is allowed is unclear)"
    return "" if known.commercial else " (no commercial use)"


def _remove(chosen: list[ModelSpec], yes: bool) -> None:
    from mild.models import assets

    if not chosen:
        raise UsageError("Name the models to remove.")
    shared = [known.name for known in chosen if known.snapshot is not None and assets.locate(known.name)]
    if shared and not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"Other programs share the hub's cache of {', '.join(shared)}: say --yes to delete there.")
        if not typer.confirm(f"Other programs share the hub's cache of {', '.join(shared)}. Delete?", err=True):
            raise MildError("Nothing was removed.")
    for known in chosen:
        assets.remove(known.name)


def _check(chosen: list[ModelSpec], as_json: bool) -> None:
    from mild.models import assets

    # What is there but altered counts as not installed, so look for the files, too.
    there = [
        known
        for known in chosen or _named(list(_registry()))
        if known.runtime != "embedded" and (assets.locate(known.name) or (assets.cache_dir() / known.name).is_dir())
    ]
    faults = {known.name: assets.check(known.name) for known in there}
    if as_json:
        output.print_json({name: {"right": not wrong, "wrong": wrong} for name, wrong in faults.items()})
    else:
        for name, wrong in faults.items():
            typer.echo(f"{name}: {'wrong: ' + ', '.join(wrong) if wrong else 'right'}")
    bad = [name for name, wrong in faults.items() if wrong]
    if bad:
        raise MildError(f"Files are missing or altered; run `mild models --fetch {' '.join(bad)}`.")


def _probe(path: Path, said: list[str], as_json: bool) -> None:
    """Show what the test card tells of a file; ask for what it cannot tell, or take it from ``said``, and keep it."""
    import json

    from mild.models import fill_nets
    from mild.models.contracts import FillContract
    from mild.models.probe import probe

    fields: dict[str, Any] = {}
    for one in said:
        name, sign, value = one.partition("=")
        if not sign:
            raise UsageError(f"--set takes FIELD=VALUE, not {one!r}.")
        fields[name] = _value(value)
    found = probe(fill_nets.bare(path))
    contract = found.contract
    doubts = {name: values for name, values in found.doubts.items() if name not in fields}
    if doubts and sys.stdin.isatty() and not as_json:
        for name, values in list(doubts.items()):
            shown = " or ".join(json.dumps(v) for v in values)
            fields[name] = _value(typer.prompt(f"The card cannot tell {name}: {shown}?", err=True))
            del doubts[name]
    contract = FillContract.from_json({**contract.to_json(), **fields})
    if fields and not doubts:
        # What was said is tested before it is kept.
        fill_nets.with_contract(path, contract)
        typer.echo(f"kept: {fill_nets.keep_contract(path, contract)}", err=True)
    if as_json:
        output.print_json({"contract": contract.to_json(), "known_error": found.error, "doubts": doubts})
        return
    for name, value in contract.to_json().items():
        others = " or ".join(json.dumps(v) for v in doubts.get(name, [])[1:])
        typer.echo(f"{name}: {json.dumps(value)}" + (f"  (or {others}: say it with --set)" if others else ""))


def _value(text: str) -> Any:
    """``0,1`` or ``[0, 1]`` is a range, ``true`` a switch, ``3`` a number, anything else a word."""
    import json

    for form in (text, f"[{text}]"):
        try:
            return json.loads(form)
        except ValueError:
            continue
    return text


def _registry() -> dict[str, ModelSpec]:
    from mild.models.registry import REGISTRY

    return REGISTRY


def _list(chosen: list[ModelSpec], as_json: bool) -> None:
    from mild.models import assets

    wanted = {known.name for known in chosen}
    shown = [one for one in assets.status() if not wanted or one.name in wanted]
    if as_json:
        output.print_json([_fields(one) for one in shown])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("task")
    table.add_column("model", no_wrap=True)
    for heading in ("size", "installed", "default"):
        table.add_column(heading)
    # Folded, never shortened: a licence with an ellipsis in it tells nothing.
    table.add_column("licence of the weights", overflow="fold")
    task = ""
    for one in shown:
        known = one.spec
        size = one.size or known.size
        table.add_row(
            known.task if known.task != task else "", one.name, f"{size / 1e6:.0f} MB" if size >= 1e6 else "?",
            "yes" if one.installed else "no", "yes" if known.default else "no", known.licence + _use(known),
        )  # fmt: skip
        task = known.task
    console = Console(highlight=False, markup=False)
    console.print(table)
    if not chosen:
        from mild.people.find import resolve
        from mild.request import Finder

        backend = resolve(Finder())
        console.print(f"People are found by: {backend.name} ({backend.summary}).")
        console.print("`mild models NAME` says more; `mild models --fetch good` fetches the recommended set.")
        return
    for one in shown:
        for line in _details(one):
            console.print(line, soft_wrap=True)


def _details(one: AssetStatus) -> list[str]:
    known = one.spec
    return [
        f"{known.name}: {known.purpose}",
        f"  {known.data}",
        f"  weights {known.licence}{_use(known)}; code {known.code_licence or 'unknown'}; run by {known.runtime}",
        f"  from {known.source}",
        f"  in {one.path}" if one.path else f"  not on this machine; `mild models --fetch {known.name}` fetches it",
    ]


def _fields(one: AssetStatus) -> dict[str, Any]:
    known = one.spec
    return {
        "name": one.name,
        "task": known.task,
        "purpose": known.purpose,
        "runtime": known.runtime,
        "installed": one.installed,
        "bytes": one.size or known.size,
        "source": known.source,
        "licence": known.licence,
        "code_licence": known.code_licence,
        "data": known.data,
        "commercial": known.commercial,
        "default": known.default,
        "good": known.good,
        "path": None if one.path is None else str(one.path),
    }
