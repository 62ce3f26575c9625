"""The commands of `python -m lib watchdog`."""

import signal
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lib.core import profile
from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.engine.models import catalogue
from lib.gateway import keys
from lib.resilience.watchdog import ask, card, heat, table
from lib.resilience.watchdog.engines import Engine, Unit
from lib.resilience.watchdog.journal import Journal
from lib.resilience.watchdog.watch import Watch

app = typer.Typer(help="Watches the engines: asks, restarts, cools, tells.", no_args_is_help=True)
FOLDER = Path("/var/lib/inference-watchdog")
ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="A profile of runbook/profiles.")]


@app.command("run")
def run(
    profile_name: ProfileOption = "embedded",
    folder: Annotated[Path, typer.Option(help="Where it keeps its lines and its state.")] = FOLDER,
) -> None:
    """Watch until told to end. It acts on the units of systemd that serve the profile's engines, as root."""
    chosen = profile.load(profile_name)
    watched = engines(chosen)
    if not watched:
        raise RunbookError(
            "no engine of this profile has a fixed address, so there is nothing to watch",
            where=f"profile {chosen.name}, gateway.engines and serving.port",
            fix="give each engine its url, or serving.port a number",
        )
    watch = Watch(
        chosen.watchdog,
        watched,
        Journal(folder, chosen.power_supply.notify),
        keys.place(chosen.gateway.holds),
        card.of(chosen.hardware),
        {engine.name: ask.of_task(catalogue.get(engine.model).task) for engine in watched},
        reboot=_reboot,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watch.ended.set())
    watch.run()


@app.command("table")
def show(profile_name: ProfileOption = "embedded") -> None:
    """Print the states, what leads from one to the next, and the ladder for heat."""
    for rows in (table.rows(), heat.rows(profile.load(profile_name).watchdog)):
        printed = Table(*rows[0], box=None)
        for row in rows:
            printed.add_row(*row.values())
        Console(soft_wrap=True).print(printed)


def engines(chosen: Profile) -> list[Engine]:
    """Return the units of a profile's engines: those of the gateway that have an address, or the one that is served."""
    found: list[Engine] = [
        Unit(f"vllm-{told.model}.service", told.url, told.model) for told in chosen.gateway.engines.values() if told.url
    ]
    if not found and chosen.serving.port:
        served = chosen.models.served
        found.append(Unit(f"vllm-{served}.service", f"http://127.0.0.1:{chosen.serving.port}", served))
    return found


def _reboot() -> None:
    subprocess.run(["systemctl", "reboot"], check=False)
