"""The commands `lab` and `deploy` of `python -m lib`."""

import subprocess
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from lib.core import paths, profile
from lib.core.errors import Exit
from lib.core.evidence import Check, count
from lib.core.sections import Profile

lab_app = typer.Typer(help="Disposable twins of the hosts: virtual machines that reach nothing.", no_args_is_help=True)
deploy_app = typer.Typer(help="Set up the hosts that the profile names.", no_args_is_help=True)

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="A profile of runbook/profiles.")]
HostOption = Annotated[str, typer.Option("--host", help="A host of the profile; not needed where there is one.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field.")]
TwinsArgument = Annotated[list[str] | None, typer.Argument(help="home, vps, client; none: all")]
_console = Console(highlight=False, soft_wrap=True)


def _say(line: str) -> None:
    _console.print(line, markup=False)


@lab_app.command("up")
def lab_up(twins: TwinsArgument = None) -> None:
    """Start twins; the first time their image is built and booted. They stay until `lab down`."""
    from lib.lab import settings
    from lib.lab.twins import Lab

    wanted = [settings.role(name) for name in twins or settings.ROLES]
    running = Lab(say=_say).up(wanted)
    for twin in running.values():
        _say(f"{twin.role}: python -m lib lab ssh {twin.role}")


@lab_app.command("down")
def lab_down() -> None:
    """End all twins and remove what they left."""
    from lib.lab.twins import Lab

    was_up = Lab().down()
    _say(f"down: {', '.join(was_up)}" if was_up else "no twin was up")


@lab_app.command("status")
def lab_status() -> None:
    """Show which twins are up."""
    from lib.lab.twins import Lab

    running = Lab().status()
    for twin in running.values():
        _say(f"{twin.role}  up, ssh on 127.0.0.1:{twin.port}")
    if not running:
        _say("no twin is up")


@lab_app.command("ssh", context_settings={"ignore_unknown_options": True})
def lab_ssh(
    twin: Annotated[str, typer.Argument(help="home, vps or client")],
    words: Annotated[list[str] | None, typer.Argument(help="A command; none: a shell.")] = None,
) -> NoReturn:
    """Open a shell in a twin, or run a command there."""
    from lib.lab import settings, ssh
    from lib.lab.twins import Lab

    lab, role = Lab(), settings.role(twin)
    argv = ssh.command(lab.port(role), *(words or []))
    raise typer.Exit(subprocess.run(argv, cwd=lab.folder / role, check=False).returncode)


@deploy_app.command("plan")
def deploy_plan(profile_name: ProfileOption = "embedded", host: HostOption = "", overrides: SetOption = None) -> None:
    """Show a diff of every file and every command. Changes nothing."""
    from lib.chapters import rehearsal
    from lib.deploy import gate

    chosen = _profile(profile_name, overrides)
    found = rehearsal.planned(chosen, gate.find(chosen, host))
    for difference in found:
        _say(difference.diff() + "\n")
    _say(f"{len(found)} changes")


@deploy_app.command("rehearse")
def deploy_rehearse(profile_name: ProfileOption = "embedded", overrides: SetOption = None) -> None:
    """Play everything on fresh twins; only a green rehearsal opens `apply`."""
    from lib.chapters import rehearsal
    from lib.deploy import gate

    chosen = _profile(profile_name, overrides)
    folder = gate.REHEARSALS / gate.digest(chosen)
    work = rehearsal.rehearse(chosen, folder, _say)
    _say(f"transcript: {paths.short(folder / 'transcript.txt')}")
    raise _end([record for record in work.records if isinstance(record, Check)])


@deploy_app.command("apply")
def deploy_apply(profile_name: ProfileOption = "embedded", host: HostOption = "", overrides: SetOption = None) -> None:
    """Change a host: what was rehearsed, after its name was typed (or CONFIRM=NAME)."""
    from lib.chapters import rehearsal
    from lib.deploy import gate

    chosen = _profile(profile_name, overrides)
    done, found = rehearsal.apply(chosen, gate.find(chosen, host), _say)
    _say(f"{len(done)} changes")
    raise _end(found)


@deploy_app.command("undo")
def deploy_undo(profile_name: ProfileOption = "embedded", host: HostOption = "", overrides: SetOption = None) -> None:
    """Take back everything that was applied to a host, byte for byte."""
    from lib.chapters import rehearsal
    from lib.deploy import gate

    chosen = _profile(profile_name, overrides)
    restored = rehearsal.undo(chosen, gate.find(chosen, host), _say)
    _say(f"{len(restored)} restored")


def _profile(name: str, overrides: list[str] | None) -> Profile:
    return profile.load(name, dict(profile.parse_override(text) for text in overrides or []))


def _end(found: list[Check]) -> typer.Exit:
    for check in found:
        if check.status == "fail":
            _say(f"fail {check.name}: expected {check.expected}; {check.observed}")
    _say(", ".join(f"{number} {status}" for status, number in count(found).items()))
    return typer.Exit(Exit.FAILED if count(found)["fail"] else Exit.GREEN)
