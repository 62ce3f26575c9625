"""The twins together: up, down, status, power cut. Nothing of them survives `down`, a crash or ctrl-C."""

import contextlib
import fcntl
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lib.core import fingerprint, paths
from lib.core.errors import RefusedError, RunbookError
from lib.lab import image as images
from lib.lab import process, settings, ssh, tools, vm
from lib.lab.image import Image, Say
from lib.lab.settings import Role

UP = images.PLACE / "up"
# Seconds that a twin may take. Measured without KVM on two busy cores: boot 25 to 50, resume 2 to 4.
BOOT_PATIENCE = 300.0
RESUME_PATIENCE = 60.0
_NOTING = threading.Lock()


class Running(NamedTuple):
    """A twin that is up: where its SSH answers, and how it came up."""

    role: Role
    port: int
    way: str
    seconds: float


class Lab:
    """A set of twins in one folder.

    Parameters
    ----------
    folder : Path
        Holds disks, sockets and the record of processes; removed by `down`.
    bound : bool
        The twins end with this process, however it ends. False for `lab up`, whose twins stay until `lab down`.
    """

    def __init__(self, folder: Path = UP, *, bound: bool = False, say: Say = lambda _: None) -> None:
        self.folder, self.bound, self.say = folder, bound, say
        self.running: dict[Role, Running] = {}

    def up(self, roles: Sequence[Role] = settings.ROLES) -> dict[Role, Running]:
        """Start twins; those that are up stay as they are.

        Raises
        ------
        RunbookError
            Something is missing here (`NoLabError`), or a twin does not start or answer; then none is left.
        """
        tools.need(*tools.RUNNING)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            self._clear_dead()
            self._adopt()
            missing = [role for role in roles if role not in self.running]
            try:
                self._start(missing)
            except BaseException:
                self._end_all()
                raise
        return self.running

    def down(self) -> list[Role]:
        """End every twin and remove all that they left; return those that were up."""
        if not self.folder.exists():
            return []
        with self._alone():
            was_up = [settings.role(name) for name, known in self._record().items() if process.alive(known)]
            self._end_all()
        return was_up

    def status(self) -> dict[Role, Running]:
        """Return the twins that are up."""
        self.running = {}
        self._adopt()
        return self.running

    def power_cut(self, role: Role) -> None:
        """Cut a twin's power: its process ends at once, and what it had not handed to its disk is lost."""
        known = self._record()[role]
        process.end(known)
        ssh.close(self.folder / role)
        self.running.pop(role, None)
        self._note(role, None)

    def power_on(self, role: Role) -> Running:
        """Start a twin again from its disk; it boots."""
        port = vm.free_ports([role])[role]
        self._launch(role, images.current(), port, resume=False)
        seconds = ssh.wait(self.folder / role, port, BOOT_PATIENCE)
        return self._is_up(role, port, "booted", seconds)

    def run(self, role: Role, script: str, timeout: float = 120, check: bool = True) -> str:
        """Run a shell script in a twin and return what it printed."""
        return ssh.run(self.folder / role, self.port(role), script, timeout, check).stdout

    def port(self, role: Role) -> int:
        """Return the port of this machine that leads to the twin's SSH.

        Raises
        ------
        RunbookError
            The twin is not up.
        """
        if role not in self.running:
            self._adopt()
        if role not in self.running:
            raise RunbookError(f"the twin '{role}' is not up", fix="python -m lib lab up")
        return self.running[role].port

    def _start(self, roles: Sequence[Role]) -> None:
        if not roles:
            return
        image = images.ensure(self.say)
        tools.need_space(self.folder, 1200 * len(roles))
        accelerator = vm.accelerator(image, image.folder)
        self._save_booted([role for role in roles if not self._saved(role, image, accelerator).is_file()], image)
        started = time.monotonic()
        for role in roles:
            self._copy(self._saved(role, image, accelerator), role)
        for running in self._launch_all(roles, image, started, resume=True):
            ssh.run(self.folder / running.role, running.port, f"date -s @{time.time():.0f} >/dev/null")

    def _launch_all(self, roles: Sequence[Role], image: Image, started: float, *, resume: bool) -> list[Running]:
        """Start processes one by one and wait for them together.

        The kernel binds a twin to the thread that started it, so that must be this one, not one of the pool's.
        """
        ports = vm.free_ports(roles)
        way, patience = ("resumed", RESUME_PATIENCE) if resume else ("booted", BOOT_PATIENCE)
        for role in roles:
            self._launch(role, image, ports[role], resume=resume)

        def wait(role: Role) -> Running:
            ssh.wait(self.folder / role, ports[role], patience)
            return self._is_up(role, ports[role], way, time.monotonic() - started)

        with ThreadPoolExecutor(max(1, len(roles))) as pool:
            found = list(pool.map(wait, roles))
        for running in found:
            self.say(f"{running.role} {way} in {running.seconds:.1f} s")
        return found

    def _saved(self, role: Role, image: Image, accelerator: str) -> Path:
        """Return where the booted state of a twin is kept; it fits one device model only."""
        argv = [word.replace(str(image.folder), "") for word in vm.command(role, image, 0, accelerator, resume=False)]
        model = fingerprint.digest([argv, _FIRST_BOOT])
        return image.folder / "saved" / f"{role}-{model}.qcow2"

    def _save_booted(self, roles: Sequence[Role], image: Image) -> None:
        """Boot twins once and keep their booted states beside the image."""
        if not roles:
            return
        self.say(f"booting {', '.join(roles)} for the first time")
        started = time.monotonic()
        for role in roles:
            self._copy(image.disk, role)
        accelerator = vm.accelerator(image, image.folder)
        for running in self._launch_all(roles, image, started, resume=False):
            role, folder = running.role, self.folder / running.role
            ssh.run(folder, running.port, _FIRST_BOOT.replace("ROLE", role), timeout=BOOT_PATIENCE)
            ssh.close(folder)
            vm.save(self.folder, role)
            self._wait_ended(role)
            self.running.pop(role)
            self._keep(folder / "disk.qcow2", self._saved(role, image, accelerator), role)

    def _keep(self, disk: Path, saved: Path, role: Role) -> None:
        saved.parent.mkdir(exist_ok=True)
        fresh = saved.with_suffix(".new")
        shutil.move(disk, fresh)
        for older in saved.parent.glob(f"{role}-*.qcow2"):
            older.unlink()
        fresh.replace(saved)

    def _wait_ended(self, role: Role, patience: float = 30) -> None:
        known = self._record()[role]
        limit = time.monotonic() + patience
        while process.alive(known) and time.monotonic() < limit:
            time.sleep(0.05)
        process.end(known)
        self._note(role, None)

    def _launch(self, role: Role, image: Image, port: int, *, resume: bool) -> None:
        accelerator = vm.accelerator(image, image.folder)
        argv = vm.command(role, image, port, accelerator, resume=resume)
        self._note(role, vm.start(argv, self.folder, role, bound=self.bound))

    def _copy(self, disk: Path, role: Role) -> None:
        folder = self.folder / role
        folder.mkdir(exist_ok=True, mode=0o700)
        argv = ["cp", "--reflink=auto", "--sparse=always", str(disk), str(folder / "disk.qcow2")]
        subprocess.run(argv, check=True)

    def _is_up(self, role: Role, port: int, way: str, seconds: float) -> Running:
        running = Running(role, port, way, round(seconds, 2))
        (self.folder / role / "port").write_text(str(port))
        self.running[role] = running
        return running

    def _adopt(self) -> None:
        """Take up the twins that another process started here."""
        for name, known in self._record().items():
            role, port = settings.role(name), self.folder / name / "port"
            if role not in self.running and process.alive(known) and port.is_file():
                self.running[role] = Running(role, int(port.read_text()), "was up", 0)

    def _clear_dead(self) -> None:
        """Remove what a crash left: twins without a process, or whose start was cut short."""
        record = self._record()
        for name, known in list(record.items()):
            if not process.alive(known) or not (self.folder / name / "port").is_file():
                process.end(known)
                shutil.rmtree(self.folder / name, ignore_errors=True)
                del record[name]
        process.write(self._record_file, record)

    def _end_all(self) -> None:
        for name, known in self._record().items():
            with contextlib.suppress(subprocess.SubprocessError, OSError):
                ssh.close(self.folder / name)
            process.end(known)
        self.running = {}
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _record_file(self) -> Path:
        return self.folder / "processes.json"

    def _record(self) -> dict[str, process.Identity]:
        return process.read(self._record_file)

    def _note(self, role: Role, known: process.Identity | None) -> None:
        with _NOTING:
            record = self._record()
            record.pop(role, None)
            process.write(self._record_file, record | ({role: known} if known else {}))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder; a second lab in it would end the first one's twins."""
        with self.folder.with_suffix(".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RefusedError(
                    "another process is starting or ending these twins",
                    where=paths.short(self.folder),
                    fix="wait for it; python -m lib lab status",
                ) from error
            yield


@contextmanager
def lab(folder: Path, roles: Sequence[Role], say: Say = lambda _: None) -> Iterator[Lab]:
    """Yield fresh twins; they end with the block, and with this process however it ends."""
    twins = Lab(folder, bound=True, say=say)
    twins.down()
    try:
        twins.up(roles)
        yield twins
    finally:
        twins.down()


# The name is written down, so that it holds without the boot's command line; then what boots late gets its time.
_FIRST_BOOT = """
echo ROLE >/etc/hostname
printf '127.0.0.1 localhost\\n127.0.1.1 ROLE\\n' >/etc/hosts
systemctl is-system-running --wait >/dev/null || true
sync
"""
