"""`python -m lib seal …`: close a run's folder, and keys to sign it with."""

from pathlib import Path
from typing import Annotated

import typer

from lib.core import paths
from lib.report.seal import close as sealing
from lib.report.seal import envelope

app = typer.Typer(help="Seal a run's folder, so that changes to it show.", no_args_is_help=True)
KeyOption = Annotated[Path | None, typer.Option("--key", help="A private key to sign with; none: checksums only.")]


@app.command("close")
def close(run: Annotated[Path, typer.Argument(help="A run's folder.")], key: KeyOption = None) -> None:
    """Write what is in a run's folder, and sign it; `run` closes its own without a signature."""
    closed = sealing.close(run, key)
    for line in closed.told:
        typer.echo(line)
    typer.echo(paths.short(closed.folder))


@app.command("key")
def new_key(file: Annotated[Path, typer.Argument(help="A new file for the private key.")]) -> None:
    """Make a pair of keys: FILE, which stays yours, and FILE.pub for those who verify."""
    typer.echo(paths.short(envelope.new_key(file)))
