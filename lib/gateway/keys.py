"""Keys of clients: a file of hashes, mode 0600, written atomically. Standard library only; the bastion reads it too.

`keys.json`: `{"schema": 1, "keys": [{"id", "name", "sha256", "roles", "created", "expires", "revoked",
"requests_per_minute"}]}`. A key is `rb_<id>_<43 url-safe characters>`: 256 random bits, so one round of SHA-256 is
enough. The key itself is shown once, when it is made, and stored nowhere.
"""

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lib.core import paths
from lib.core.errors import RunbookError, nearest

SCHEMA = 1
ALL_ROLES = "*"
FORM = re.compile(r"rb_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
ROLE = re.compile(r"\*|[a-z0-9][a-z0-9._/-]{0,63}")


@dataclass(frozen=True)
class Key:
    """What is known of a key; never the key itself.

    Parameters
    ----------
    id, name : str
        Its number, which is part of the key, and who holds it.
    sha256 : str
        Of the whole key, hexadecimal.
    roles : tuple of str
        What it may ask for; `*` is everything.
    created, expires, revoked : str or None
        Moments, ISO 8601 with UTC.
    requests_per_minute : int
        0: no limit.
    """

    id: str
    name: str
    sha256: str
    roles: tuple[str, ...]
    created: str
    expires: str | None = None
    revoked: str | None = None
    requests_per_minute: int = 0

    def state(self, now: datetime | None = None) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked:
            return "revoked"
        if self.expires and datetime.fromisoformat(self.expires) <= (now or datetime.now(UTC)):
            return "expired"
        return "active"

    def may(self, role: str) -> bool:
        """Tell whether this key may ask for a role; memory of a role is part of the role."""
        return ALL_ROLES in self.roles or role in self.roles or role.removeprefix("memory/") in self.roles


class Store:
    """The keys as a running server sees them: read again whenever the file changes.

    Parameters
    ----------
    path : Path
        The file; where it is not there, there are no keys.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault = ""
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def check(self, presented: str) -> Key | None:
        """Return the active key that was presented, or None. Takes as long for a wrong secret as for a right one."""
        match = FORM.fullmatch(presented)
        if match is None:
            return None
        self._refresh()
        found = self._keys.get(match[1])
        if found is None or not hmac.compare_digest(found.sha256, digest(presented)):
            return None
        return found if found.state() == "active" else None

    def _refresh(self) -> None:
        try:
            told = self.path.stat()
            seen = (told.st_ino, told.st_mtime_ns, told.st_size)
        except OSError:
            self._keys, self._seen = {}, None
            return
        if seen == self._seen:
            return
        try:
            self._keys = {key.id: key for key in load(self.path)}
            self.fault = ""
        except (RunbookError, OSError) as error:
            # A file that cannot be read must not lock everybody out, nor let anybody in: what was known holds.
            self.fault = str(error)
        self._seen = seen


def place(told: str) -> Path:
    """Return the file of keys that a profile names; a relative path is the repository's."""
    return paths.ROOT / told


def digest(key: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def load(path: Path) -> list[Key]:
    """Read all keys.

    Raises
    ------
    RunbookError
        Not the expected content, or others may read the file.
    """
    if not path.exists():
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise RunbookError(f"others may read the keys (mode {mode:04o})", where=str(path), fix=f"chmod 600 {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        return [_key(entry) for entry in content["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RunbookError(
            f"not a file of keys: {error}", where=str(path), fix="restore it from a backup, or remove it: all keys end"
        ) from error


def create(
    path: Path,
    name: str,
    roles: Sequence[str],
    *,
    days: float | None = None,
    requests_per_minute: int = 0,
) -> tuple[Key, str]:
    """Make a key and return it with its secret, which is nowhere stored.

    Parameters
    ----------
    path : Path
        The file of keys; made where it is not there.
    name : str
        Who holds it; a name has one active key.
    roles : sequence of str
        What it may ask for.
    days : float, optional
        How long it holds.
    requests_per_minute : int, optional
        0: no limit.
    """
    _valid(name, roles, requests_per_minute)
    with _changing(path) as keys:
        holder = next((key for key in keys if key.name == name and key.state() == "active"), None)
        if holder:
            raise RunbookError(
                f"'{name}' holds a key already", where=holder.id, fix=f"python -m lib gateway key rotate {holder.id}"
            )
        key, secret = _new(name, tuple(roles), days, requests_per_minute)
        keys.append(key)
    return key, secret


def revoke(path: Path, key_id: str) -> Key:
    """End a key now."""
    with _changing(path) as keys:
        place = _find(keys, key_id)
        keys[place] = replace(keys[place], revoked=keys[place].revoked or _now())
        return keys[place]


def rotate(path: Path, key_id: str, *, overlap_hours: float = 0) -> tuple[Key, str]:
    """Make a new key with the rights of an old one, which ends now or after an overlap."""
    with _changing(path) as keys:
        place = _find(keys, key_id)
        old = keys[place]
        if old.state() != "active":
            raise RunbookError(f"key {key_id} is {old.state()}", where=str(path), fix="make a new one: key create")
        if overlap_hours > 0:
            until = datetime.now(UTC) + timedelta(hours=overlap_hours)
            ends = min(until, datetime.fromisoformat(old.expires)) if old.expires else until
            keys[place] = replace(old, expires=ends.isoformat(timespec="seconds"))
        else:
            keys[place] = replace(old, revoked=_now())
        key, secret = _new(old.name, old.roles, None, old.requests_per_minute)
        key = replace(key, expires=old.expires)
        keys.append(key)
    return key, secret


def _new(name: str, roles: tuple[str, ...], days: float | None, limit: int) -> tuple[Key, str]:
    number = secrets.token_hex(4)
    secret = f"rb_{number}_{secrets.token_urlsafe(32)}"
    ends = (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds") if days else None
    return Key(number, name, digest(secret), roles, _now(), ends, None, limit), secret


def _valid(name: str, roles: Sequence[str], limit: int) -> None:
    if not NAME.fullmatch(name):
        raise RunbookError(f"'{name}' is no name for a key", fix="letters, digits, dot, dash, underscore; at most 40")
    if not roles or (wrong := next((role for role in roles if not ROLE.fullmatch(role)), None)) is not None:
        told = f"'{wrong}' is no role" if roles else "a key needs a role"
        raise RunbookError(told, fix="names of roles with commas between, or '*' for all")
    if limit < 0:
        raise RunbookError("requests per minute cannot be negative", fix="0 sets no limit")


def _find(keys: Sequence[Key], key_id: str) -> int:
    for place, key in enumerate(keys):
        if key.id == key_id:
            return place
    raise RunbookError(
        f"no key '{key_id}'",
        nearest=nearest(key_id, [key.id for key in keys]),
        fix="python -m lib gateway key list",
    )


def _key(entry: dict[str, Any]) -> Key:
    key = Key(**{**entry, "roles": tuple(entry["roles"])})
    if not re.fullmatch(r"[0-9a-f]{64}", key.sha256) or not all(isinstance(role, str) for role in key.roles):
        raise ValueError(f"key {key.id}")
    key.state()  # a moment that cannot be read is found here, not while somebody waits
    return key


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """Give the keys to be changed; what is left of them is written when nothing went wrong. One writer at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = load(path)
        yield keys
        _write(path, keys)
    finally:
        os.close(lock)


def _write(path: Path, keys: Sequence[Key]) -> None:
    text = json.dumps({"schema": SCHEMA, "keys": [asdict(key) for key in keys]}, indent=1) + "\n"
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
