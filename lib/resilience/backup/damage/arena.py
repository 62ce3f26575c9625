"""Where damages happen: a small owner's memory, its keys, and a repository of it, in a folder that is made anew."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import httpx

from lib.core.errors import RunbookError
from lib.core.lifetime import Lifetime
from lib.core.profile import change, load
from lib.core.sections import Profile
from lib.engine.serve import client, command
from lib.engine.serve.process import Guarded
from lib.gateway import keys
from lib.memory.service import Memory
from lib.resilience.backup import recorded, work
from lib.resilience.backup.repository import Repository, find

TARGET = "nas"
READY_S = 20
USER = "inference"


class Held(NamedTuple):
    """Keys of the small gateway: one that holds, one that was revoked."""

    good: str
    revoked: str


class Arena:
    """The scene. A context manager: its folder is gone afterwards.

    Parameters
    ----------
    place : Path
        Its folder.
    profile : Profile
        Whose rules hold; memory, keys and targets are the arena's own.
    """

    def __init__(self, place: Path, profile: Profile) -> None:
        self.place = place
        self.golden = recorded.load()
        _unmount(place)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, mode=0o700)
        self.password(place / "password")
        self.golden.write(place / "notes")
        self.held = self._keys()
        self.profile = self._profile(profile)
        self.embedder = recorded.Recorded(self.golden)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.embedder.close()
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def repository(self) -> Repository:
        """The target."""
        return find(self.profile, TARGET)

    @staticmethod
    def password(file: Path, text: str = "") -> None:
        """Write a password that only its owner reads."""
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write((text or secrets.token_urlsafe(32)) + "\n")

    def remember(self, *paths: Path) -> None:
        """Let the memory take files in; when this returns they are acknowledged."""
        with Memory(self.profile.memory, recorded.Recorded(self.golden)) as memory:
            for path in paths:
                memory.add(path)

    def back_up(self, profile: Profile | None = None) -> work.Done:
        """Make a backup with everything as it is."""
        return work.now(profile or self.profile, TARGET, served=self.embedder)

    def fresh(self, name: str, **target: object) -> Profile:
        """Return the profile with a folder and a copy of the repository of its own: what one damage may break.

        Parameters
        ----------
        name : str
            Of the damage.
        target : mapping
            Fields of the target that differ.
        """
        own = self.place / "damages" / name
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True, mode=0o700)
        shutil.copytree(self.place / "repository", own / "repository")
        shutil.copytree(self.place / "backup", own / "backup")
        shutil.copy2(self.place / "password", own / "password")
        told = {"address": str(own / "repository"), "password_file": str(own / "password"), **target}
        return change(self.profile, "backup", folder=str(own / "backup"), targets={TARGET: told})

    @contextlib.contextmanager
    def served(self, name: str, *, append_only: bool, **target: object) -> Iterator[tuple[Profile, "Server"]]:
        """Serve a fresh repository over HTTP, with a name and a password, and yield the profile that goes there."""
        own = self.place / "damages" / name
        profile = self.fresh(name)
        server = Server(own / "repository", append_only, own / "server.log")
        with server:
            address = own / "address"
            self.password(address, f"rest:http://{USER}:{server.password}@127.0.0.1:{server.port}/")
            told = {"address_file": str(address), "password_file": str(own / "password"), "append_only": append_only}
            yield change(profile, "backup", targets={TARGET: told | target}), server

    def ballast(self, name: str, megabytes: float) -> Path:
        """Write a file of noise that the next backup has to send."""
        path = self.place / "configuration" / f"{name}.bin"
        path.write_bytes(os.urandom(int(megabytes * 1e6)))
        return path

    def _keys(self) -> Held:
        file = self.place / "keys.json"
        _, good = keys.create(file, "laptop", [keys.ALL_ROLES])
        ended, revoked = keys.create(file, "tablet", [keys.ALL_ROLES])
        keys.revoke(file, ended.id)
        return Held(good, revoked)

    def _profile(self, profile: Profile) -> Profile:
        settings = self.place / "configuration"
        settings.mkdir(exist_ok=True)
        (settings / "profile.json").write_text(profile.model_dump_json(indent=1))
        items = {
            "memory": {"kind": "memory", "why": "sources, chunks, vectors"},
            "keys": {"kind": "keys", "why": "hashes of the clients' keys"},
            "configuration": {"kind": "files", "paths": [str(settings)], "why": "the profile"},
        }
        own = {"folder": str(self.place / "store"), "roots": {}, "endpoint": "", "model": self.golden.model}
        target = {"address": str(self.place / "repository"), "password_file": str(self.place / "password")}
        kept = {"folder": str(self.place / "backup"), "questions": str(self.place / "notes.jsonl"), "items": items}
        return load(
            profile.name,
            {
                **{f"memory.{key}": value for key, value in own.items()},
                **{f"backup.{key}": value for key, value in kept.items()},
                "backup.targets": {TARGET: target},
                "backup.metrics_file": "",
                "gateway.keys": str(self.place / "keys.json"),
            },
        )


class Server(Lifetime):
    """`rclone serve restic` on the loopback: what a NAS would run. It can be killed and started on the same port."""

    def __init__(self, folder: Path, append_only: bool, log: Path) -> None:
        self.folder, self.append_only, self.log = folder, append_only, log
        self.password = secrets.token_urlsafe(24)
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.port = int(held.getsockname()[1])
        self._process: Guarded | None = None

    @property
    def url(self) -> str:
        """Its address, without the password."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises
        ------
        RunbookError
            rclone is missing, or it does not start.
        """
        program = shutil.which("rclone")
        if program is None:
            raise RunbookError("rclone is not installed", fix="apt-get install rclone")
        argv = [program, "serve", "restic", "--config", "/dev/null", "--addr", f"127.0.0.1:{self.port}"]
        argv += [*(["--append-only"] if self.append_only else []), str(self.folder)]
        secret = {"RCLONE_USER": USER, "RCLONE_PASS": self.password}
        self._process = Guarded(argv, self.log, command.inherited() | secret, grace=0.2)
        end = time.monotonic() + READY_S
        while self.ask("GET", "config") is None:
            if self._process.wait(0.05) is not None or time.monotonic() > end:
                raise RunbookError("the server of the repository did not start", where=str(self.log.name))

    def stop(self) -> None:
        """End it as a power cut does."""
        if self._process:
            self._process.stop(0)
            self._process = None

    def ask(self, method: str, path: str, content: bytes | None = None) -> int | None:
        """Send one request with the host's own credentials, and return its status; None: nobody is there."""
        try:
            sent = client.http().request(
                method, f"{self.url}/{path}", content=content, auth=(USER, self.password), timeout=5
            )
        except httpx.TransportError:
            return None
        return sent.status_code


def _unmount(place: Path) -> None:
    """Take away small file systems that a killed drill left mounted."""
    for entry in Path("/proc/self/mounts").read_text().splitlines():
        mounted = Path(entry.split()[1])
        if mounted.is_relative_to(place.resolve()):
            subprocess.run(["umount", "-l", str(mounted)], check=True)


def names(folder: Path, kind: str) -> Sequence[Path]:
    """Return the repository's files of a kind: ``data``, ``index``, ``snapshots``, ``locks``; largest first."""
    found = [path for path in (folder / kind).rglob("*") if path.is_file()]
    for path in found:
        path.chmod(0o600)  # restic writes them read-only; an attacker and a failing disk do not care
    return sorted(found, key=lambda path: (-path.stat().st_size, path.name))
