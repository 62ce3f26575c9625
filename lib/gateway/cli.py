"""The commands of `python -m lib gateway`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lib.core import paths, profile
from lib.core.sections import Profile

app = typer.Typer(help="The one OpenAI-compatible address.", no_args_is_help=True)
key_app = typer.Typer(help="Keys of clients: shown once, stored as hashes.", no_args_is_help=True)
app.add_typer(key_app, name="key")

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="A profile of runbook/profiles.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: --set gateway.port=8080")
]
FileOption = Annotated[Path | None, typer.Option("--file", help="File of keys; default: the profile's.")]


@app.command()
def serve(profile_name: ProfileOption = "embedded", overrides: SetOption = None) -> None:
    """Serve until interrupted. Engines without an address are started and stopped with it."""
    from lib.gateway import serve as serving

    serving.run(_profile(profile_name, overrides), typer.echo)


@app.command()
def clients(
    folder: Annotated[Path, typer.Argument(help="Where the files are written.")],
    profile_name: ProfileOption = "embedded",
    url: Annotated[str, typer.Option(help="Address that clients use; default: the profile's.")] = "",
    overrides: SetOption = None,
) -> None:
    """Write configurations for IDE plug-ins, Obsidian, n8n, Open WebUI and LangChain. No key stands in them."""
    from lib.gateway import clients as configurations

    for path in configurations.write(_profile(profile_name, overrides), folder, url):
        typer.echo(paths.short(path))


@key_app.command("create")
def key_create(
    name: Annotated[str, typer.Argument(help="Who holds it, for example laptop.")],
    roles: Annotated[str, typer.Option(help="Roles it may ask for, commas between; * is all.")] = "*",
    days: Annotated[float | None, typer.Option(min=0.01, help="How long it holds; default: until revoked.")] = None,
    per_minute: Annotated[int, typer.Option(min=0, help="Requests a minute; 0: no limit.")] = 0,
    profile_name: ProfileOption = "embedded",
    file: FileOption = None,
) -> None:
    """Make a key and print it, this once."""
    from lib.gateway import keys

    wanted = [role.strip() for role in roles.split(",") if role.strip()]
    key, secret = keys.create(_file(profile_name, file), name, wanted, days=days, requests_per_minute=per_minute)
    typer.echo(f"key {key.id} of {key.name}; it is shown only now:", err=True)
    typer.echo(secret)


@key_app.command("list")
def key_list(profile_name: ProfileOption = "embedded", file: FileOption = None) -> None:
    """List keys, what each may, and whether it holds."""
    from lib.gateway import keys

    table = Table("id", "name", "roles", "state", "a minute", "created", "expires", box=None)
    for key in keys.load(_file(profile_name, file)):
        limit = str(key.requests_per_minute or "any")
        table.add_row(key.id, key.name, ",".join(key.roles), key.state(), limit, key.created, key.expires or "never")
    Console(soft_wrap=True).print(table)


@key_app.command("revoke")
def key_revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    profile_name: ProfileOption = "embedded",
    file: FileOption = None,
) -> None:
    """End a key now; a running gateway sees it with the next request."""
    from lib.gateway import keys

    key = keys.revoke(_file(profile_name, file), key_id)
    typer.echo(f"key {key.id} of {key.name} is revoked")


@key_app.command("rotate")
def key_rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    overlap: Annotated[float, typer.Option(min=0, help="Hours that the old key still holds.")] = 0,
    profile_name: ProfileOption = "embedded",
    file: FileOption = None,
) -> None:
    """Make a new key with the same rights and print it, this once; the old one ends."""
    from lib.gateway import keys

    key, secret = keys.rotate(_file(profile_name, file), key_id, overlap_hours=overlap)
    typer.echo(f"key {key.id} of {key.name}; it is shown only now:", err=True)
    typer.echo(secret)


def _profile(name: str, overrides: list[str] | None) -> Profile:
    return profile.load(name, dict(profile.parse_override(text) for text in overrides or []))


def _file(profile_name: str, file: Path | None) -> Path:
    from lib.gateway import keys

    return file or keys.place(profile.load(profile_name).gateway.keys)
