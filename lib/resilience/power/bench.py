"""A UPS on the bench: NUT's own driver, server, monitor and scheduler, with a battery whose readings are set.

The files are those of a host, with other places in them. Everything ends with the bench.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lib.core.sections import PowerSupply
from lib.deploy.ups import files, outage
from lib.deploy.ups.files import Engine, Place
from lib.lab import process

# Debian's programs in /usr/sbin read nut.conf and refuse without a mode; these are behind them.
PROGRAMS = Path("/lib/nut")
NEEDED = ("dummy-ups", "upsd", "upsmon")
SCHEDULER = ("/sbin/upssched", "/usr/sbin/upssched")
START_S = 15.0
# A /run of its own: upsmon's number lies in /run/nut, and a second bench, or this machine's own NUT, is not meant.
APART = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && mkdir /run/nut && exec "$0" "$@"')
QUICK = PowerSupply(
    drain_s=2, stop_s=3, shutdown_s=60, margin_s=60, stable_s=2, start_charge=40, retry_after_s=7, poll_s=1, dead_s=3
)
FULL = {"battery.charge": "100", "battery.runtime": "900", "ups.load": "40", "ups.realpower.nominal": "900"}
Patch = Callable[[str], str]


def missing() -> str:
    """Return what keeps a bench from being set up, with what to do; empty if nothing does."""
    if os.geteuid() != 0:
        return "NUT's programs change their user, which needs root: sudo -E make runbook"
    if not all((PROGRAMS / name).exists() for name in NEEDED) or not any(Path(one).exists() for one in SCHEDULER):
        return "apt-get install -y --no-install-recommends nut-server nut-client"
    return ""


class Bench:
    """NUT over a staged UPS. A context manager; `boot` begins anew, as after a power cut.

    Parameters
    ----------
    place : Path
        Files, states, the timeline and the owner's messages.
    port : int
        Where upsd listens.
    engines : sequence of Engine
        What is stopped.
    holds : Path
        The gateway's folder of holds.
    gateway : str
        Its address.
    p : PowerSupply
        Times.
    patches : mapping of str to callable
        How a file of NUT, or `outage`, differs: a defence taken away.
    """

    def __init__(
        self,
        place: Path,
        port: int,
        engines: Sequence[Engine],
        holds: Path,
        gateway: str,
        p: PowerSupply = QUICK,
        patches: Mapping[str, Patch] | None = None,
    ) -> None:
        self.place, self.port, self.engines, self.holds, self.gateway = place, port, engines, holds, gateway
        self.p, self.patches = p, patches or {}
        self.off, self.messages = place / "off", place / "messages"
        # Short, for sockets lie in it, and apart from what is kept of a drill, for a password does.
        self._private = tempfile.TemporaryDirectory(prefix="nut-")
        self.nut = Path(self._private.name)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._waiting: list[subprocess.Popen[bytes]] = []
        self._staged = 0  # time of the file that says what the UPS says, s since 1970

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        (self.holds / outage.HOLD).unlink(missing_ok=True)
        self._private.cleanup()

    def boot(self, status: str = "OL", **readings: str) -> None:
        """Begin as a host does that was just switched on: nothing of NUT runs yet, what was in memory is gone."""
        self.end()
        self.off.unlink(missing_ok=True)
        shutil.rmtree(self.place / "run", ignore_errors=True)
        for left in self.nut.iterdir():
            left.unlink()
        self.stage(status, **readings)
        self._write()
        self._start("dummy-ups", "-a", self.p.ups, "-F", "-u", "root")
        self._start("upsd", "-F", "-u", "root")
        self._await(lambda: self.status(), "the UPS does not answer")
        self._start("upsmon", "-F")
        self._await(lambda: "OL" in self.status() or "OB" in self.status(), "the UPS has no status")
        self._await(lambda: "Init SSL" in (self.place / "upsmon.log").read_text(errors="replace"), "upsmon is silent")

    def end(self) -> None:
        """End NUT and what its events started."""
        for name in ("upsmon", "upsd", "dummy-ups"):
            self.kill(name)
        for one in self._waiting:
            one.kill()
            one.wait(5)
        self._waiting.clear()
        # The scheduler leaves upsmon's side; it is known by the socket that it listens on.
        for pid in _with_word(str(self.nut)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill(self, name: str) -> None:
        """End one program of NUT at once."""
        running = self._running.pop(name, None)
        if running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait(5)

    def driver(self) -> None:
        """Start the driver again."""
        self._start("dummy-ups", "-a", self.p.ups, "-F", "-u", "root")

    def stage(self, status: str, **readings: str) -> None:
        """Let the UPS say something else from now on; `battery_charge="15"` sets `battery.charge`."""
        told = {**FULL, **{name.replace("_", "."): value for name, value in readings.items()}, "ups.status": status}
        fresh = self.place / "ups.new"
        fresh.write_text("".join(f"{name}: {value}\n" for name, value in told.items()))
        # The driver reads the file again when its time has changed by a second; two changes may be nearer than that.
        self._staged = max(int(time.time()), self._staged + 1)
        os.utime(fresh, (self._staged, self._staged))
        fresh.replace(self.place / "ups.dev")

    def status(self) -> str:
        """Return the status that NUT tells."""
        argv = ["upsc", f"{self.p.ups}@127.0.0.1:{self.port}", "ups.status"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout.strip()

    def event(self, name: str) -> subprocess.Popen[bytes]:
        """Start the outage program for an event of boot, and go on."""
        argv = [*process.WITH_PARENT, str(self.place / "outage"), name]
        with (self.place / "outage.log").open("ab") as log:
            started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment())
        self._waiting.append(started)
        return started

    def timeline(self) -> list[str]:
        """Return the events that the outage program wrote down so far."""
        host = outage.Host({"state": str(self.place / "state"), "holds": "", "run": ""})
        return [str(line["event"]) for line in host.lines()]

    def told(self) -> list[str]:
        """Return the owner's messages."""
        return self.messages.read_text().splitlines() if self.messages.exists() else []

    def _write(self) -> None:
        here = str(self.place)
        place = Place(
            driver="dummy-ups",
            port=f"{here}/ups.dev",
            secret=secrets.token_urlsafe(12),
            nut_port=self.port,
            outage=f"{here}/outage",
            state=str(self.nut),
            run=f"{here}/run",
            powerdown_flag=f"{here}/killpower",
            upssched=next(one for one in SCHEDULER if Path(one).exists()),
            lab=True,
        )
        for name, text in files.nut(self.p, place).items():
            _private(self.nut / name, self._patched(name, text))
        more: dict[str, Any] = {
            "state": f"{here}/state",
            "final": ["touch", str(self.off)],
            "upsmon": [str(PROGRAMS / "upsmon")],
            "notify": ["sh", "-c", f'echo "$1" >>{self.messages}', "sh"],
            "blind_s": 2,
            "poll_s": 0.1,
        }
        told = files.settings(self.p, place, self.engines, str(self.holds), self.gateway, more)
        _private(self.place / "outage.json", told)
        _private(self.place / "outage.py", self._patched("outage", Path(outage.__file__).read_text()))
        run = f'#!/bin/sh\nexec {sys.executable} -IS {here}/outage.py --config {here}/outage.json "$@"\n'
        _private(self.place / "outage", run, 0o700)

    def _patched(self, name: str, text: str) -> str:
        patch = self.patches.get(name)
        if patch is None:
            return text
        changed = patch(text)
        if changed == text:
            raise ValueError(
                f"the patch of {name} changes nothing: the defence that it takes away stands elsewhere now"
            )
        return changed

    def _start(self, name: str, *words: str) -> None:
        with (self.place / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*process.WITH_PARENT, *APART, str(PROGRAMS / name), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            **dict.fromkeys(("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH", "NUT_PIDPATH"), str(self.nut)),
        }

    def _await(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + START_S
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: {(self.place / 'dummy-ups.log').read_text(errors='replace')[-300:]}")
            time.sleep(0.05)


def _private(path: Path, text: str, mode: int = 0o600) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    fresh.replace(path)


def _with_word(word: str) -> Iterator[int]:
    """Yield the processes whose environment names a folder: what upsmon started and let go."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"NUT_CONFPATH={word}\0".encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)
