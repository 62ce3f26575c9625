"""The gate before a real host: a green rehearsal of the same digest, and the host's name, typed."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.core import fingerprint, paths
from lib.core.errors import RefusedError, RunbookError, nearest
from lib.core.sections import Profile

REHEARSALS = paths.RUNS / "rehearsals"
Tier = str


def digest(profile: Profile) -> str:
    """Return 12 hexadecimal digits for what a rehearsal rests on: the profile, the deploy's code, its templates.

    The lab's code is not part of it: it decides where a rehearsal takes place, not what is applied.
    """
    files = [*(paths.ROOT / "lib" / "deploy").rglob("*.py"), *(path for path in paths.TEMPLATES.rglob("*.j2"))]
    content = {paths.short(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
    return fingerprint.digest({"profile": profile.model_dump(mode="json"), "files": content})


def remember(profile: Profile, tier: Tier, seconds: float, folder: Path | None = None, known: str = "") -> Path:
    """Note a green rehearsal; return its file.

    Parameters
    ----------
    known : str
        The digest when it began: what changed meanwhile was not rehearsed. Empty: the digest of now.
    """
    folder = folder or REHEARSALS
    folder.mkdir(parents=True, exist_ok=True)
    known = known or digest(profile)
    path = folder / f"{known}.json"
    noted = {"digest": known, "profile": profile.name, "tier": tier, "seconds": round(seconds, 1)}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(noted | {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}, indent=1))
    fresh.replace(path)
    return path


def rehearsed(profile: Profile, folder: Path | None = None) -> dict[str, Any] | None:
    """Return the green rehearsal of exactly this profile, code and templates, or None."""
    path = (folder or REHEARSALS) / f"{digest(profile)}.json"
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def need_rehearsal(profile: Profile, folder: Path | None = None) -> dict[str, Any]:
    """Return the green rehearsal.

    Raises
    ------
    RefusedError
        There is none: profile, code or templates changed since, or it never took place.
    """
    found = rehearsed(profile, folder)
    if found is None:
        raise RefusedError(
            f"nothing is applied that was not rehearsed: there is no green rehearsal of {digest(profile)}",
            where=f"profile {profile.name}, the code in lib/deploy and runbook/templates as they are now",
            fix=f"make rehearse PROFILE={profile.name}",
        )
    return found


def need_name(host: str, ask: Callable[[str], str] = input, confirmed: str | None = None) -> None:
    """Let the host's name be typed, or take it from CONFIRM, which may name several: CONFIRM=home,vps.

    Raises
    ------
    RefusedError
        Another name, or nobody is there to type it.
    """
    said = os.environ.get("CONFIRM") if confirmed is None else confirmed
    if said is None and not sys.stdin.isatty() and ask is input:
        raise RefusedError(
            f"host '{host}' is changed only when its name is typed, and nobody is at the terminal",
            fix=f"CONFIRM={host} before the same command",
        )
    typed = ask(f"type the host's name to change it ({host}): ").strip() if said is None else said
    if host not in (typed.split(",") if said is not None else [typed]):
        raise RefusedError(f"'{typed}' is not the host's name", where="CONFIRM" if said else "typed", nearest=host)


def find(profile: Profile, host: str) -> str:
    """Return the name of the host to change; with one host in the profile it need not be said.

    Raises
    ------
    RunbookError
        The profile has no hosts, or none of that name.
    """
    names: Sequence[str] = list(profile.hosts)
    if not names:
        raise RunbookError(
            f"profile '{profile.name}' names no hosts",
            where=f"runbook/profiles/{profile.name}.yml, hosts",
            fix="hosts: {home: {role: home, address: 192.0.2.10, user: root, key: ~/.ssh/id_ed25519}}",
        )
    if not host and len(names) == 1:
        return names[0]
    if host not in names:
        raise RunbookError(
            f"unknown host '{host}'" if host else "which host?",
            where="--host",
            nearest=nearest(host, names),
            fix=f"one of: {', '.join(names)}",
        )
    return host
