"""Hosts: a disk that fills up and becomes read-only, an exporter that hangs, memory and heat as a kernel tells them."""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from lib.resilience.monitor.drill import Drill, Scene
from lib.resilience.monitor.scenes.exporter import Exported

DISK_MIB = 16
DISK_ALERTS = ("DiskFilling", "DiskFull", "DiskReadOnly")
MEMINFO = "MemTotal: 131072000 kB\nMemFree: {free} kB\nMemAvailable: {free} kB\n"
VMSTAT = "oom_kill {kills}\n"
PLENTY, SCARCE = 64_000_000, 1_000_000
COOL, HOT = 55_000, 97_000


def scenes() -> list[Scene]:
    """Return the scenes of hosts."""
    return [Disk(), Kernel(), Host()]


class Disk(Exported):
    """A real file system in memory, in a mount namespace of its own, and a node exporter in there. Needs root."""

    name = "disk"

    def __init__(self) -> None:
        super().__init__()
        self.place = Path()
        self._filling = threading.Event()

    def open(self, folder: Path) -> None:
        """Mount it and start the exporter."""
        self.place = folder / "disk"
        self.place.mkdir(parents=True, exist_ok=True)
        # The exporter reads the mounts of process 1; its own are those of the namespace.
        own = folder / "disk-proc"
        own.mkdir()
        (own / "mounts").symlink_to("/proc/self/mounts")
        mount = f"mount -t tmpfs -o size={DISK_MIB}m none {self.place}"
        self.run(
            folder,
            *("--collector.filesystem", f"--path.procfs={own}"),
            before=["unshare", "--mount", "sh", "-ec", f'{mount}\nexec "$@"', "sh"],
        )

    def close(self) -> None:
        """End the exporter; the file system goes with it."""
        self._filling.clear()
        super().close()

    def drills(self) -> Sequence[Drill]:
        """Fill it slowly, fill it up, make it read-only."""
        where = {"mountpoint": str(self.place)}
        return [
            Drill(("DiskFilling",), "a file grows and grows", self._grow, self._empty, labels=where),
            Drill(
                ("DiskFull",), "a file system is filled up", lambda: self._put(DISK_MIB - 1), self._empty, labels=where
            ),
            Drill(
                ("DiskReadOnly",),
                "a file system is remounted read-only",
                lambda: self._remount("ro"),
                lambda: self._remount("rw"),
                labels=where,
            ),
        ]

    def _file(self) -> Path:
        assert self.program is not None
        return Path(f"/proc/{self.program.pids()[-1]}/root{self.place}/log")

    def _put(self, mib: int) -> None:
        self._file().write_bytes(bytes(mib * 2**20))

    def _grow(self) -> None:
        """Start at 63 %: the alert wants less than 40 % free and falling."""
        self._put(DISK_MIB * 5 // 8)
        self._filling.set()
        threading.Thread(target=self._go_on_growing, args=(self._file(),), daemon=True).start()

    def _go_on_growing(self, file: Path) -> None:
        with file.open("ab") as grown:
            for _ in range(300):
                if not self._filling.is_set():
                    return
                grown.write(bytes(8192))
                grown.flush()
                threading.Event().wait(0.1)

    def _empty(self) -> None:
        self._filling.clear()
        self._file().write_bytes(b"")

    def _remount(self, how: str) -> None:
        assert self.program is not None
        pid = str(self.program.pids()[-1])
        argv = ["nsenter", "-t", pid, "-m", "mount", "-o", f"remount,{how}", str(self.place)]
        subprocess.run(argv, check=True, capture_output=True)


class Kernel(Exported):
    """A real node exporter over the files of another kernel: memory, kills and heat cannot be had here."""

    name = "kernel"

    def __init__(self) -> None:
        super().__init__()
        self.proc = self.sys = Path()

    def open(self, folder: Path) -> None:
        """Write the files and start the exporter."""
        self.proc, self.sys = folder / "proc", folder / "sys"
        sensor = self.sys / "class" / "hwmon" / "hwmon0"
        for place in (self.proc, sensor):
            place.mkdir(parents=True, exist_ok=True)
        (sensor / "name").write_text("k10temp\n")
        self._memory(PLENTY)
        self._kills(0)
        self._heat(COOL)
        self.run(
            folder,
            *("--collector.meminfo", "--collector.vmstat", "--collector.hwmon"),
            *(f"--path.procfs={self.proc}", f"--path.sysfs={self.sys}"),
        )

    def drills(self) -> Sequence[Drill]:
        """Let memory run out, the kernel kill, the sensor heat up."""

        def drill(alert: str, fault: str, cause: object, end: object) -> Drill:
            assert callable(cause)
            assert callable(end)
            return Drill((alert,), fault, cause, end, "recorded")

        return [
            drill("HostMemoryLow", "memory runs out", lambda: self._memory(SCARCE), lambda: self._memory(PLENTY)),
            drill("HostOutOfMemory", "the kernel kills a process", lambda: self._kills(1), lambda: None),
            drill("HostHot", "the processor heats up", lambda: self._heat(HOT), lambda: self._heat(COOL)),
        ]

    def _memory(self, free: int) -> None:
        _replace(self.proc / "meminfo", MEMINFO.format(free=free))

    def _kills(self, kills: int) -> None:
        _replace(self.proc / "vmstat", VMSTAT.format(kills=kills))

    def _heat(self, millidegrees: int) -> None:
        _replace(self.sys / "class" / "hwmon" / "hwmon0" / "temp1_input", f"{millidegrees}\n")


class Host(Exported):
    """A host whose exporter hangs: what is seen of one that is gone."""

    name = "gone"

    def open(self, folder: Path) -> None:
        """Start the exporter."""
        self.run(folder, "--collector.loadavg")

    def drills(self) -> Sequence[Drill]:
        """Let it hang."""
        assert self.program is not None
        return [Drill(("HostDown",), "the exporter of a host hangs", self.program.halt, self.program.go_on)]


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
