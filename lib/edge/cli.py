"""The commands of `python -m lib bastion`. Keys of people are those of the gateway: `python -m lib gateway key`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lib.core import paths, profile
from lib.core.errors import Exit, RunbookError
from lib.gateway import keys

app = typer.Typer(help="The way in from outside.", no_args_is_help=True)


client_app = typer.Typer(help="The owner's computers: tunnel, key and settings.", no_args_is_help=True)
app.add_typer(client_app, name="client")

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="A profile of runbook/profiles.")]


@app.command()
def token(
    service: Annotated[str, typer.Argument(help="Who asks with it, for example n8n.")],
    minutes: Annotated[float, typer.Option(help="How long it holds, 15 at most.")] = 10,
    per_minute: Annotated[int, typer.Option(min=1, help="Requests a minute.")] = 60,
    profile_name: ProfileOption = "embedded",
) -> None:
    """Print a short-lived token for a service; the secret it is signed with lies beside the file of keys."""
    from lib.edge import tokens

    store = keys.place(profile.load(profile_name).gateway.keys)
    typer.echo(tokens.token(service, store, minutes, per_minute))


@app.command()
def certificate(
    trust: Annotated[str, typer.Option(help="File of roots; default: the system's.")] = "",
    profile_name: ProfileOption = "embedded",
) -> None:
    """Look at the certificate that every VPS shows; fails where one is not trusted or ends soon."""
    from lib.edge import certificates, served

    bastion = profile.load(profile_name).bastion
    found = [
        certificates.check(gate, served.look(bastion.hostname, gate.address, trust=trust), bastion.acme.alarm_days)
        for gate in bastion.gates
    ]
    for check in found:
        typer.echo(f"{check.status:5}{check.title}: {check.observed}")
        if check.status == "fail":
            typer.echo(f"{'':5}on the VPS: {check.fix}")
    raise typer.Exit(Exit.FAILED if any(check.status == "fail" for check in found) else Exit.GREEN)


@client_app.command("add")
def client_add(
    name: Annotated[str, typer.Argument(help="A name for it, for example laptop.")],
    vps: Annotated[
        list[str] | None, typer.Option(metavar="NAME=KEY", help="WireGuard's public key of a VPS; remembered.")
    ] = None,
    profile_name: ProfileOption = "embedded",
) -> None:
    """Make the tunnel's file and QR code, a key and settings for a computer; secrets go into files only."""
    from lib.edge import computers

    chosen = profile.load(profile_name)
    store = keys.place(chosen.gateway.keys)
    told = dict(_pair(text) for text in vps or [])
    made = computers.add(chosen, store, name, told)
    place = paths.short(computers.folder(store, name))
    typer.echo(f"{made.name} is {made.tunnel} in the tunnel, its key is {made.key_id}; all files are in {place}:")
    typer.echo(f"{computers.TUNNEL_FILE}  for wg-quick (/etc/wireguard), mode 0600")
    typer.echo(f"{computers.PICTURE_FILE}   the same as a QR code, for WireGuard's app")
    typer.echo(
        f"{computers.ENVIRONMENT_FILE}   OPENAI_BASE_URL and the key; {computers.SETTINGS}/ has IDEs, Obsidian, n8n"
    )
    _carry(computers.handover(chosen, store, name))


@client_app.command("list")
def client_list(profile_name: ProfileOption = "embedded") -> None:
    """List computers, where each is in the tunnel, and whether it may come in."""
    from lib.edge import computers

    table = Table("name", "in the tunnel", "key", "state", "created", box=None)
    for one in computers.load(keys.place(profile.load(profile_name).gateway.keys)).computers:
        table.add_row(one.name, one.tunnel, one.key_id, "revoked" if one.revoked else "active", one.created)
    Console(soft_wrap=True).print(table)


@client_app.command("revoke")
def client_revoke(name: Annotated[str, typer.Argument()], profile_name: ProfileOption = "embedded") -> None:
    """End a computer's key, remove its files, and write what keeps it out of the tunnel."""
    from lib.edge import computers

    chosen = profile.load(profile_name)
    store = keys.place(chosen.gateway.keys)
    ended = computers.revoke(chosen, store, name)
    typer.echo(f"{ended.name} is revoked, its key {ended.key_id} and its files are gone")
    _carry(computers.handover(chosen, store, name))


def _pair(text: str) -> tuple[str, str]:
    name, sign, key = text.partition("=")
    if not sign:
        raise RunbookError(f"'{text}' is not NAME=KEY", where="--vps", fix="--vps vps=KEY")
    return name, key


def _carry(commands: list[str]) -> None:
    """Show what is still to be done, on each VPS."""
    from lib.deploy.bastion import files

    typer.echo("then, for every VPS:")
    for command in commands:
        typer.echo(f"  {command}")
    typer.echo(f"and the file of keys, which holds hashes only, to {files.KEYS} of each")
