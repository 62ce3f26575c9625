"""What the collector looks at: UPS, tunnel, disks, snapshots, backups, and the collector itself.

Collector and node exporter are the deployed ones. `upsc`, `wg`, `smartctl` and `zfs` are stood in for by scripts that
print what such hardware prints: a UPS, a worn disk and a pool are not here. Files of jobs are real.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lib.deploy.monitor import collector
from lib.deploy.monitor.targets import Job
from lib.resilience.monitor.drill import Drill, Scene, Source
from lib.resilience.monitor.program import Program, free_port
from lib.resilience.monitor.scenes.exporter import job, node

EVERY_S = 0.5
HOUR, DAY = 3600, 86400


def scenes() -> list[Scene]:
    """Return the scenes of what is collected; each has a collector of its own."""
    return [Power(), Disks(), Tunnel(), Backups(), Stale()]


class Collected:
    """A collector and a node exporter that reads its file."""

    name = ""
    sources: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.port = free_port()
        self.collector: Program | None = None
        self.exporter: Program | None = None
        self.folder = Path()

    def open(self, folder: Path) -> None:
        """Start both, with everything well."""
        self.folder = folder / self.name
        for part in ("bin", "text", "markers"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self.well()
        argv = [sys.executable, collector.__file__, str(self.folder / "text" / "collected.prom"), *self.sources]
        options = ["--every", str(EVERY_S), "--markers", str(self.folder / "markers"), "--jobs", "backup,restore-drill"]
        self.collector = Program([*argv, *options], folder / "log" / f"{self.name}.log", str(self.folder / "bin"))
        self.exporter = node(
            folder / "log" / f"{self.name}-node.log",
            self.port,
            *("--collector.textfile", f"--collector.textfile.directory={self.folder / 'text'}"),
        )
        self.collector.start()
        self.exporter.start()
        self.exporter.answers(f"http://127.0.0.1:{self.port}/metrics")

    def close(self) -> None:
        """End both."""
        for program in (self.collector, self.exporter):
            if program:
                program.stop()

    def jobs(self) -> Sequence[Job]:
        """Return the node exporter."""
        return [job("node", self.port, self.name)]

    def well(self) -> None:
        """Let everything be as it should."""

    def says(self, program: str, text: str, status: int = 0) -> None:
        """Let a program print this from now on."""
        path = self.folder / "bin" / program
        fresh = path.with_suffix(".new")
        fresh.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        fresh.chmod(0o755)
        fresh.replace(path)

    def drill(self, alert: str, fault: str, cause: Callable[[], None], source: Source = "recorded") -> Drill:
        """Return a drill that ends with everything well again."""
        return Drill((alert,), fault, cause, self.well, source)


class Power(Collected):
    """A UPS."""

    name, sources = "ups", ("ups",)

    def well(self) -> None:
        """Let mains be there, with a battery a year old that lasts half an hour."""
        self._ups()

    def _ups(self, **changed: str) -> None:
        bought = datetime.now(UTC) - timedelta(days=400)
        told: Mapping[str, str] = {
            "battery.charge": "100",
            "battery.runtime": "1800",
            "battery.date": f"{bought:%Y/%m/%d}",
            "ups.load": "41",
            "ups.status": "OL",
            **{key.replace("_", "."): value for key, value in changed.items()},
        }
        self.says("upsc", "\n".join(f"{key}: {value}" for key, value in told.items()))

    def drills(self) -> Sequence[Drill]:
        """Let mains fail, the battery end and be old, the cable be pulled."""
        return [
            self.drill("UpsOnBattery", "mains fail", lambda: self._ups(ups_status="OB DISCHRG")),
            self.drill(
                "UpsBatteryLow", "the battery ends", lambda: self._ups(ups_status="OB LB", battery_runtime="120")
            ),
            self.drill("UpsBatteryOld", "the battery is of 2015", lambda: self._ups(battery_date="2015/03/01")),
            self.drill("UpsSilent", "the cable of the UPS is pulled", lambda: self.says("upsc", "", 1)),
        ]


class Disks(Collected):
    """An NVMe disk."""

    name, sources = "disks", ("disks",)

    def well(self) -> None:
        """Let the disk be new."""
        self._disk(3, True)

    def _disk(self, used: int, passed: bool) -> None:
        scanned = {"devices": [{"name": "/dev/nvme0"}]}
        health = {
            "smart_status": {"passed": passed},
            "nvme_smart_health_information_log": {"percentage_used": used},
        }
        path = self.folder / "bin" / "smartctl"
        fresh = path.with_suffix(".new")
        fresh.write_text(
            f"#!/bin/sh\ncase $* in *--scan*) echo '{json.dumps(scanned)}';; *) echo '{json.dumps(health)}';; esac\n"
        )
        fresh.chmod(0o755)
        fresh.replace(path)

    def drills(self) -> Sequence[Drill]:
        """Let it wear out, and fail."""
        return [
            self.drill("DiskWorn", "a disk has used 92 % of its writes", lambda: self._disk(92, True)),
            self.drill("DiskFailing", "a disk reports that it fails", lambda: self._disk(3, False)),
        ]


class Tunnel(Collected):
    """A tunnel that shook hands just now."""

    name, sources = "tunnel", ("tunnel",)

    def well(self) -> None:
        """Let the last handshake be twenty seconds ago: the drill is over long before that is stale."""
        self._shook(20)

    def _shook(self, ago: float) -> None:
        self.says("wg", f"wg0\tQm9nbyBwdWJsaWMga2V5IG9mIGEgZHJpbGwgcGVlcg=\t{int(time.time() - ago)}")

    def drills(self) -> Sequence[Drill]:
        """Let it carry nothing any more."""
        return [self.drill("TunnelStale", "no handshake for an hour", lambda: self._shook(HOUR))]


class Backups(Collected):
    """Snapshots of a pool, and the files that jobs touch when they have succeeded."""

    name, sources = "backups", ("snapshots", "jobs")

    def well(self) -> None:
        """Let everything have just been done."""
        self._snapshot(60)
        for name in ("backup", "restore-drill"):
            self._done(name, 60)

    def _snapshot(self, ago: float) -> None:
        created = int(time.time() - ago)
        self.says("zfs", f"tank/state@autosnap\t{created}\ntank/state@older\t{created - DAY}")

    def _done(self, name: str, ago: float) -> None:
        file = self.folder / "markers" / name
        file.touch()
        os.utime(file, (time.time() - ago, time.time() - ago))

    def drills(self) -> Sequence[Drill]:
        """Let snapshots stop, backups stop, nobody restore."""
        return [
            self.drill("SnapshotOld", "no snapshot for three hours", lambda: self._snapshot(3 * HOUR)),
            self.drill("BackupOld", "no good backup for two days", lambda: self._done("backup", 2 * DAY), "real"),
            self.drill(
                "RestoreDrillOld",
                "nothing restored for two months",
                lambda: self._done("restore-drill", 60 * DAY),
                "real",
            ),
        ]


class Stale(Collected):
    """A collector that hangs."""

    name, sources = "stale", ("jobs",)

    def well(self) -> None:
        """Let jobs have succeeded."""
        for name in ("backup", "restore-drill"):
            (self.folder / "markers" / name).touch()

    def drills(self) -> Sequence[Drill]:
        """Let it hang and go on."""
        assert self.collector is not None
        return [Drill(("CollectorStale",), "the collector hangs", self.collector.halt, self.collector.go_on)]
