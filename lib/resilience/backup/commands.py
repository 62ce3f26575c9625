"""`python -m lib backup …`: the commands of the owner's backups."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from lib.core import paths
from lib.core import profile as profiles
from lib.core.errors import Exit
from lib.core.evidence import Check
from lib.core.sections import Profile

app = typer.Typer(help="Backups: consistent copies sent away, read back, restored and compared.", no_args_is_help=True)

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="A profile of runbook/profiles.")]
TargetOption = Annotated[str, typer.Option("--target", help="A target of backup.targets; not needed if there is one.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field.")]
MOMENTS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"]
SnapshotOption = Annotated[str, typer.Option("--snapshot", help="The beginning of an id, as `backup list` shows it.")]


@app.command()
def now(profile_name: ProfileOption = "embedded", target: TargetOption = "", overrides: SetOption = None) -> None:
    """Make a backup now: copy, send what is new, let go of what is too old."""
    from lib.resilience.backup import work

    work.now(_profile(profile_name, overrides), target, typer.echo)


@app.command("list")
def list_(profile_name: ProfileOption = "embedded", target: TargetOption = "", overrides: SetOption = None) -> None:
    """List the snapshots at a target, newest last, and what is backed up and what is made again."""
    from lib.resilience.backup import items, repository, restic

    profile = _profile(profile_name, overrides)
    for row in items.rows(profile):
        typer.echo(f"{row['What']:14} {row['How']}  {row['Where']}".rstrip())
    found = repository.find(profile, target)
    for one in restic.snapshots(found):
        typer.echo(f"{one.id[:8]}  {one.time.astimezone():%Y-%m-%d %H:%M:%S}  {one.host}  {' '.join(one.tags)}")


@app.command()
def verify(profile_name: ProfileOption = "embedded", target: TargetOption = "", overrides: SetOption = None) -> None:
    """Read every byte at a target, and hold its history against what this host has seen."""
    from lib.resilience.backup import verify as verification
    from lib.resilience.backup import work

    profile = _profile(profile_name, overrides)
    found = verification.verify(profile, target)
    work.publish(profile)
    raise _end(found)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that is empty or not there yet.")],
    snapshot: SnapshotOption = "latest",
    profile_name: ProfileOption = "embedded",
    target: TargetOption = "",
    overrides: SetOption = None,
) -> None:
    """Restore into an empty folder, compare every file, and say how to put it into its place."""
    from lib.resilience.backup import restore as restoring

    done = restoring.restore(_profile(profile_name, overrides), folder, target, snapshot)
    typer.echo(
        f"{len(done.contents.files)} files of {done.contents.made:%Y-%m-%d %H:%M:%S} UTC in {done.seconds:.1f} s"
    )
    for line in done.wrong:
        typer.echo(f"WRONG {line}")
    for line in restoring.moves(done):
        typer.echo(line)
    raise typer.Exit(Exit.FAILED if done.wrong else Exit.GREEN)


@app.command()
def drill(profile_name: ProfileOption = "embedded", target: TargetOption = "", overrides: SetOption = None) -> None:
    """Restore the newest snapshot aside, start memory and gateway from it, compare their answers; then delete it."""
    from lib.resilience.backup import drill as drilling
    from lib.resilience.backup import work

    profile = _profile(profile_name, overrides)
    told = drilling.drill(profile, target, typer.echo)
    work.publish(profile)
    raise _end(told.checks)


@app.command()
def rewind(
    moment: Annotated[datetime, typer.Argument(formats=MOMENTS, help="Local time, before the damage.")],
    do: Annotated[bool, typer.Option("--do", help="Do it; without this it is only told.")] = False,
    profile_name: ProfileOption = "embedded",
    target: TargetOption = "",
    overrides: SetOption = None,
) -> None:
    """Bring a bucket back to what its names showed at a moment: after somebody deleted or wrote over the history.

    The bucket must keep versions; with object lock nobody can have taken them away. Nothing is lost by it either.
    """
    from lib.resilience.backup import bucket, repository

    there = bucket.Bucket(repository.find(_profile(profile_name, overrides), target))
    steps = bucket.steps(there.versions(), moment.astimezone())
    for step in steps:
        what = "hide" if step.hides else "write the old version again" if step.copied else "show again"
        typer.echo(f"{what:28} {step.key}")
        if do:
            there.take(step)
    typer.echo(f"{len(steps)} names {'brought back' if do else 'differ from that moment; --do brings them back'}")


@app.command()
def paper(
    file: Annotated[Path, typer.Argument(help="A new file, HTML, mode 0600; print it and delete it.")],
    profile_name: ProfileOption = "embedded",
    target: TargetOption = "",
    overrides: SetOption = None,
) -> None:
    """Write the page that outlives this house: the repository's password as text and QR code. It is the secret."""
    from lib.resilience.backup import paper as page
    from lib.resilience.backup import repository

    page.write(repository.find(_profile(profile_name, overrides), target), file)
    typer.echo(f"{paths.short(file)}: print it, put it where fire and thieves do not come, delete the file")


def _profile(name: str, overrides: list[str] | None) -> Profile:
    return profiles.load(name, dict(profiles.parse_override(text) for text in overrides or []))


def _end(found: list[Check]) -> typer.Exit:
    for check in found:
        typer.echo(f"{check.status:5} {check.title}: {check.observed}")
        if check.status in ("fail", "warn"):
            typer.echo(f"      expected {check.expected}\n      do       {check.fix}")
    return typer.Exit(Exit.FAILED if any(check.status == "fail" for check in found) else Exit.GREEN)
