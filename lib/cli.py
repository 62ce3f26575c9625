"""The commands of `python -m lib`. Each is a few lines over the rooms below; errors become messages and exit codes."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lib import cli_report
from lib.cli_deploy import deploy_app, lab_app
from lib.core import notebook, paths, profile
from lib.core.chapter import MODES, Mode
from lib.core.errors import Exit, RunbookError, nearest
from lib.core.evidence import Check, count
from lib.core.sections import Profile
from lib.edge.cli import app as bastion_app
from lib.gateway.cli import app as gateway_app
from lib.memory import commands as memory
from lib.report.language.commands import app as language_app
from lib.report.review import commands as review
from lib.report.seal.cli import app as seal_app
from lib.resilience.backup import commands as backup
from lib.resilience.watchdog.cli import app as watchdog_app

app = typer.Typer(
    name="python -m lib",
    help="The inference runbook: checks, serves, measures and documents a private LLM server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
host_app = typer.Typer(help="Record a machine, so that somebody else can audit it.", no_args_is_help=True)
models_app = typer.Typer(help="The model catalogue and the model store.", no_args_is_help=True)
app.add_typer(host_app, name="host")
app.add_typer(models_app, name="models")
power_app = typer.Typer(help="The power limit of the card.", no_args_is_help=True)
app.add_typer(power_app, name="power")
app.add_typer(gateway_app, name="gateway")
app.add_typer(bastion_app, name="bastion")
app.add_typer(lab_app, name="lab")
app.add_typer(deploy_app, name="deploy")
app.add_typer(memory.app, name="memory")
app.add_typer(review.app, name="review")
app.add_typer(language_app, name="language")
app.add_typer(watchdog_app, name="watchdog")
app.add_typer(backup.app, name="backup")
app.add_typer(seal_app, name="seal")

for command in (cli_report.report, cli_report.verify, cli_report.compare, cli_report.reference):
    app.command()(command)

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="A profile of runbook/profiles.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: --set batching.repeats=5")
]
RunsOption = Annotated[Path, typer.Option("--runs", help="Folder of runs.", show_default="runbook/runs")]
StoreOption = Annotated[str | None, typer.Option(help="Folder of models; default: the profile's.")]
RecordedOption = Annotated[Path | None, typer.Option("--host", help="A recorded host instead of this machine.")]


@app.command()
def run(
    profile_name: ProfileOption = "embedded",
    only: Annotated[str, typer.Option(metavar="05,06", help="These chapters and what they need.")] = "",
    start: Annotated[str, typer.Option("--from", metavar="05", help="This chapter and those after it.")] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Execute every chapter, reuse nothing.")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="The profile's full sweeps instead of short ones.")
    ] = False,
    mode: Annotated[str, typer.Option(help="plan, rehearse (on twins) or apply; plan changes nothing.")] = "plan",
    overrides: SetOption = None,
    runs: RunsOption = paths.RUNS,
) -> None:
    """Run the chapters and render the document."""
    from lib.core.run import Run
    from lib.report.language import choice

    choice.chosen()  # a wrong one is said before hours of work, not after
    values = profile.thorough(profile_name) if thorough else {}
    values |= dict(profile.parse_override(text) for text in overrides or [])
    chosen = profile.load(profile_name, values)
    chapters = [chapter for chapter in only.replace(" ", "").split(",") if chapter]
    work = Run(chosen, _mode(mode, chosen), values, chapters, start, fresh, runs)
    work.progress.say(f"profile [bold]{chosen.name}[/], mode {mode}, {len(work.sources)} to go through")
    code = work.execute()
    _close(work.folder, code)


@app.command()
def audit(profile_name: ProfileOption = "embedded", recorded: RecordedOption = None) -> None:
    """Look at a machine, this one or a recorded one, and print every check. Changes nothing."""
    from lib.host import audit as hardware
    from lib.host import driver, probe, tuning

    chosen = profile.load(profile_name)
    machine = probe.RecordedHost(recorded) if recorded else probe.current()
    found = [*hardware.hardware(machine, chosen), *driver.checks(machine, chosen), *tuning.checks(machine, chosen)]
    _print_checks(found)
    raise typer.Exit(Exit.FAILED if count(found)["fail"] else Exit.GREEN)


@app.command()
def chapters() -> None:
    """List the chapters, what each needs, and the time it is expected to take."""
    table = Table("chapter", "title", "needs", "about", box=None)
    for source in notebook.sources():
        meta = source.metadata
        table.add_row(source.id, source.title, ", ".join(meta.needs) or "-", f"{meta.minutes:g} min")
    Console().print(table)


@app.command()
def profiles() -> None:
    """List the profiles."""
    table = Table("profile", "title", "hardware", "serves", box=None)
    for name in profile.names():
        known = profile.load(name)
        table.add_row(name, known.title, known.hardware, known.models.served)
    Console().print(table)


@host_app.command("capture")
def host_capture(folder: Annotated[Path, typer.Argument(help="A new folder for the recording.")]) -> None:
    """Record what the audit looks at on this machine; serial numbers and addresses are masked."""
    from lib.host.capture import capture
    from lib.host.probe import LiveHost

    for line in capture(LiveHost(), folder):
        typer.echo(line)


@models_app.command("list")
def models_list(profile_name: ProfileOption = "embedded", store: StoreOption = None) -> None:
    """List the catalogue: weights, what a token costs in the KV cache, and what is in the store."""
    from lib.engine.models import catalogue, fetch, sizes

    there = fetch.present(_store(profile_name, store))
    table = Table(
        Column("model", no_wrap=True), "task", "format", "weights", "KV cache a token", "in the store", box=None
    )
    for name, model in catalogue.load().items():
        weights = f"{sizes.weight_bytes(model) / 2**30:.2f} GiB"
        token = f"{sizes.kv_token_bytes(model) / 1024:.0f} KiB" if model.task == "chat" else ""
        table.add_row(name, model.task, model.format, weights, token, "yes" if name in there else "")
    Console(soft_wrap=True).print(table)


@models_app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="A model of the catalogue; none: all of the profile's.")] = "",
    profile_name: ProfileOption = "embedded",
    store: StoreOption = None,
) -> None:
    """Fetch models, verified by checksum; what is there and whole stays, what was cut short goes on."""
    from lib.engine.models import fetch

    chosen = profile.load(profile_name).models
    for wanted in [name] if name else [chosen.served, *chosen.others]:
        folder = fetch.ensure(wanted, _store(profile_name, store), repair=True, report=typer.echo)
        typer.echo(f"{wanted} is in {paths.short(folder)}")


@models_app.command("import")
def models_import(
    name: Annotated[str, typer.Argument(help="A model of the catalogue.")],
    folder: Annotated[Path, typer.Argument(help="Where it lies, on a disk that was carried here for instance.")],
    profile_name: ProfileOption = "embedded",
    store: StoreOption = None,
) -> None:
    """Copy a model from a folder into the store and verify it."""
    from lib.engine.models import fetch

    typer.echo(paths.short(fetch.import_from(name, folder, _store(profile_name, store), report=typer.echo)))


@models_app.command("verify")
def models_verify(
    name: Annotated[str, typer.Argument(help="A model of the store; none: all that are there.")] = "",
    profile_name: ProfileOption = "embedded",
    store: StoreOption = None,
) -> None:
    """Read every byte of models in the store and compare with what was recorded."""
    from lib.engine.models import fetch

    place = _store(profile_name, store)
    found = [fetch.verify(wanted, place) for wanted in ([name] if name else fetch.present(place))]
    _print_checks(found)
    raise typer.Exit(Exit.FAILED if count(found)["fail"] else Exit.GREEN)


@power_app.command("restore")
def power_restore() -> None:
    """Give back a power limit that a killed run left changed; nothing else is changed."""
    from lib.host import power_limit

    given = power_limit.restore()
    typer.echo("no power limit was left changed" if given is None else f"{given:g} W are set again")


def main() -> None:
    """Run the command line; every known error becomes its message and exit code."""
    try:
        app()
    except RunbookError as error:
        _fail(error, error.exit_code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        where = str(error.filename or "")
        _fail(
            RunbookError(f"{os.strerror(error.errno)}", where=where, fix="df -h . ; then run the same command again"),
            Exit.BAD_INPUT,
        )


def _store(profile_name: str, store: str | None) -> str:
    return store or profile.load(profile_name).models.store


def _fail(error: RunbookError, code: Exit) -> NoReturn:
    typer.echo(str(error), err=True)
    sys.exit(code)


def _mode(text: str, chosen: Profile) -> Mode:
    """Return the mode; `apply` needs a green rehearsal of exactly this profile, code and templates."""
    for mode in MODES:
        if text == mode:
            if mode == "apply":
                from lib.deploy import gate

                gate.need_rehearsal(chosen)
            return mode
    raise RunbookError(f"unknown mode '{text}'", where="--mode", nearest=nearest(text, MODES), fix="--mode plan")


def _close(folder: Path, code: Exit) -> NoReturn:
    """Render the document whatever became of the run, and end with the run's exit code."""
    from lib.core.state import read_state
    from lib.report.render import render
    from lib.report.seal import close

    document = render(folder)
    try:
        close.close(folder, environment=True)
    except RunbookError as error:  # the run's own result counts; its folder can be sealed later
        typer.echo(f"not sealed: {error}", err=True)
    state = read_state(folder)
    counts = ", ".join(f"{number} {status}" for status, number in state.checks.items())
    typer.echo(f"checks: {counts}")
    typer.echo(f"document: {paths.short(document)}")
    raise typer.Exit(code)


def _print_checks(found: list[Check]) -> None:
    """Print one line a check, and below what is not green what was expected and what to do."""
    styles = {"pass": "green", "warn": "yellow", "fail": "red", "skip": "dim"}
    console = Console(highlight=False, soft_wrap=True)
    for check in found:
        style = styles[check.status]
        console.print(f"[{style}]{check.status:5}[/]{escape(check.name):34} {escape(check.observed)}")
        if check.status != "pass":
            console.print(f"[dim]{'':5}expected[/] {escape(check.expected)}")
            for line in check.fix.splitlines():
                console.print(f"[dim]{'':5}do      [/] {escape(line)}")
    counts = count(found)
    console.print(", ".join(f"{number} {status}" for status, number in counts.items()))
