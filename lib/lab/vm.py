"""One twin as a QEMU process: started, saved while it runs, resumed, cut from power."""

import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core.errors import RunbookError
from lib.lab import process, qmp, settings, tools
from lib.lab.image import Image
from lib.lab.process import Identity

SAVED = "booted"
MAC = "52:54:00:80:{role:02x}:{card:02x}"


class Plug(NamedTuple):
    """One end of a link between twins: the sockets' names in the lab's folder."""

    local: str
    remote: str


def command(role: settings.Role, image: Image, port: int, accelerator: str, *, resume: bool) -> list[str]:
    """Return QEMU's command line, to be run in the lab's folder: sockets and disk are named relative to it.

    The device model is the same whether the twin boots or resumes; a saved twin fits no other.
    """
    twin = settings.load().roles[role]
    argv = [
        *(tools.find("qemu-system-x86_64") or "qemu-system-x86_64", "-name", f"twin-{role}", "-nodefaults"),
        *("-no-user-config", "-machine", "pc", "-accel", accelerator, "-cpu", "max", "-smp", "1"),
        *("-m", str(twin.memory_mib), "-display", "none", "-rtc", "base=utc"),
        *("-serial", f"file:{role}/console.log", "-qmp", f"unix:{role}/qmp,server=on,wait=off"),
        *("-drive", f"file={role}/disk.qcow2,if=none,id=disk,cache=writeback,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,serial=system", "-device", "virtio-rng-pci"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", f"root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet systemd.hostname={role}"),
        # The way in for this machine, and no way out: restrict=on.
        *("-netdev", f"user,id=lab,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"),
        *("-device", f"virtio-net-pci,netdev=lab,mac={_mac(role, 0)}"),
    ]
    for card, neighbour in enumerate(twin.links, start=1):
        plug = Plug(f"{role}-{neighbour}", f"{neighbour}-{role}")
        argv += [
            *("-netdev", f"dgram,id=net{card},{_end('local', plug.local)},{_end('remote', plug.remote)}"),
            *("-device", f"virtio-net-pci,netdev=net{card},mac={_mac(role, card)}"),
        ]
    return [*argv, "-loadvm", SAVED] if resume else argv


def _end(side: str, name: str) -> str:
    return f"{side}.type=unix,{side}.path={name}"


def _mac(role: settings.Role, card: int) -> str:
    return MAC.format(role=settings.ROLES.index(role) + 1, card=card)


def start(argv: Sequence[str], folder: Path, role: settings.Role, *, bound: bool) -> Identity:
    """Start a twin.

    Parameters
    ----------
    folder : Path
        The lab's folder; the twin's own is below it.
    bound : bool
        The kernel ends the twin with this process, however that ends.

    Raises
    ------
    RunbookError
        QEMU ended at once; the message has what it said.
    """
    log = folder / role / "qemu.log"
    for name in settings.load().roles[role].links:
        (folder / f"{role}-{name}").unlink(missing_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=process.die_with_parent if bound else None,
        )
    known = process.identity(child.pid)
    try:
        child.wait(timeout=0.4)
    except subprocess.TimeoutExpired:
        if known:
            child.returncode = 0  # a twin outlives this handle: from here on its identity tells whether it runs
            return known
    said = log.read_text(errors="replace").strip().splitlines()
    raise RunbookError(f"the twin did not start: {said[-1] if said else 'QEMU ended'}", where=role, fix="see qemu.log")


def save(folder: Path, role: settings.Role) -> None:
    """Save a running twin into its disk and end it."""
    control = folder / role / "qmp"
    qmp.monitor(control, f"savevm {SAVED}")
    qmp.ask(control, "quit")


def accelerator(image: Image, folder: Path) -> str:
    """Return `kvm` where it really boots this kernel, else `tcg`.

    A machine that is itself virtual may open /dev/kvm and still run nothing: so the kernel is started and must speak.
    """
    if not Path("/dev/kvm").exists():
        return _TCG
    known = folder / "accelerator"
    if not known.is_file():
        known.write_text("kvm" if _kvm_boots(image) else _TCG)
    return known.read_text()


_TCG = "tcg,thread=multi"


def _kvm_boots(image: Image, patience: float = 4) -> bool:
    argv = [
        *(tools.find("qemu-system-x86_64") or "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"),
        *("-machine", "pc", "-accel", "kvm", "-cpu", "max", "-m", "192", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(image.kernel), "-append", "console=ttyS0 panic=-1"),
    ]
    try:
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=patience, check=False)
        said = done.stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    return b"Linux version" in said


def free_ports(wanted: Sequence[str]) -> Mapping[str, int]:
    """Return a free port of this machine for each name."""
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in wanted}
    ports = {name: int(opened.getsockname()[1]) for name, opened in sockets.items()}
    for opened in sockets.values():
        opened.close()
    return ports
