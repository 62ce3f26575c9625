"""One repository of restic: its address, its secrets by file, and what restic is told because of them."""

import os
import re
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.sections import Profile
from lib.core.sections.backup import BackupTarget
from lib.resilience.backup.items import folder, resolved

PASSED_ON = (
    *("PATH", "HOME", "LANG", "TMPDIR", "SSH_AUTH_SOCK"),
    *("SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
)
LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
KIB = 1024


class Repository(NamedTuple):
    """A target of the profile, ready for restic.

    Parameters
    ----------
    name : str
        As the profile calls it.
    settings : BackupTarget
        What the profile says of it.
    place : Path
        The backup's own folder.
    """

    name: str
    settings: BackupTarget
    place: Path

    @property
    def cache(self) -> Path:
        """Where restic keeps copies of the repository's lists."""
        return self.place / "restic" / self.name

    @property
    def ssh_log(self) -> Path:
        """Where ssh writes down why it gave up: restic passes its words on, but may end before it has read them."""
        return self.place / f"ssh-{self.name}.log"

    def address(self) -> str:
        """Return the address; where a file holds it, what it says, without a password."""
        told = self.settings.address or _secret(self.settings.address_file, "address_file").strip()
        return re.sub(r"//([^/@\s:]+):[^/@\s]+@", r"//\1@", told)

    def environment(self) -> dict[str, str]:
        """Return restic's environment. Secrets stay in their files, but for those that S3 and B2 take from here only.

        Raises
        ------
        RunbookError
            A file of secrets is missing, empty, damaged, or others may read it.
        """
        told = self.settings
        _secret(told.password_file, "password_file")
        found = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        found |= {"RESTIC_PASSWORD_FILE": str(resolved(told.password_file)), "RESTIC_CACHE_DIR": str(self.cache)}
        if told.address_file:
            _secret(told.address_file, "address_file")
            found["RESTIC_REPOSITORY_FILE"] = str(resolved(told.address_file))
        else:
            found["RESTIC_REPOSITORY"] = self._local(told.address)
        return found | (_credentials(told.credentials_file) if told.credentials_file else {})

    def options(self) -> list[str]:
        """Return the flags that every command to this repository has."""
        told = self.settings
        flags = [f"--limit-upload={max(1, round(told.upload_mbit_s * 1e6 / 8 / KIB))}"] if told.upload_mbit_s else []
        if told.address.startswith("sftp:") and told.sftp_key:
            flags += ["-o", f"sftp.command={shlex.join(self._ssh())}"]
        return flags

    def _ssh(self) -> list[str]:
        """Return how the target is reached: with one key, known by its own, and never with a question to nobody."""
        host, port = _sftp(self.settings.address)
        known = self.place / "known_hosts"
        words = ["ssh", "-i", str(resolved(self.settings.sftp_key)), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        words += ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=accept-new"]
        words += ["-E", str(self.ssh_log)]
        return [*words, *(["-p", port] if port else []), host, "-s", "sftp"]

    @staticmethod
    def _local(address: str) -> str:
        return address if ":" in address.split("/")[0] else str(resolved(address))


def find(profile: Profile, name: str = "") -> Repository:
    """Return a target of the profile; it need not be named where there is one.

    Raises
    ------
    RunbookError
        The profile has none, several, or not this one.
    """
    targets = profile.backup.targets
    if not targets:
        raise RunbookError(
            f"profile '{profile.name}' names no target for backups",
            where="backup.targets",
            fix='--set \'backup.targets={"nas": {"address": "sftp:backup@192.0.2.5:/srv/backup"}}\'',
        )
    if not name and len(targets) > 1:
        raise RunbookError("which target?", where="--target", fix=f"one of: {', '.join(targets)}")
    wanted = name or next(iter(targets))
    if wanted not in targets:
        near = nearest(wanted, targets)
        raise RunbookError(f"no target '{wanted}'", where="--target", nearest=near, fix=f"one of: {', '.join(targets)}")
    return Repository(wanted, targets[wanted], folder(profile))


def _sftp(address: str) -> tuple[str, str]:
    """Split ``sftp:user@host:/path`` or ``sftp://user@host:port/path`` into host and port."""
    rest = address.removeprefix("sftp:")
    if not rest.startswith("//"):
        return rest.partition(":")[0], ""
    host, _, port = rest.removeprefix("//").partition("/")[0].partition(":")
    return host, port


def _secret(told: str, field: str) -> str:
    path = resolved(told)
    shown = paths.short(path)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        make = f"(umask 077; mkdir -p {paths.short(path.parent)}; head -c 32 /dev/urandom | base64 >{shown})"
        fix = make if field == "password_file" else f"write {shown}, mode 0600"
        raise RunbookError(f"the file of backup's {field} is missing", where=shown, fix=fix) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunbookError(f"the file of backup's {field} cannot be read: {error}", where=shown) from error
    if mode & 0o077:
        raise RunbookError(f"others may read this secret (mode {mode:04o})", where=shown, fix=f"chmod 600 {shown}")
    if not text.strip():
        raise RunbookError(f"the file of backup's {field} is empty", where=shown)
    return text


def _credentials(told: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(_secret(told, "credentials_file").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise RunbookError(
                "not a line of NAME=VALUE",
                where=f"{paths.short(resolved(told))}, line {number}",
                fix="AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…, one line each",
            )
        found[match[1]] = match[2]
    return found
