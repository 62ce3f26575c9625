"""The twins' image: a real system from the host's own package mirror, made once and kept by what it is made of."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lib.core import fingerprint, paths
from lib.core.errors import RunbookError
from lib.lab import process, settings, tools

PLACE = paths.CACHE / "lab"
KEY = PLACE / "key"
Say = Callable[[str], None]
# Space for the unpacked system, the disk made from it and the package files, MiB.
BUILD_MIB = 5000


class Image(NamedTuple):
    """A built image: disk, kernel and first file system, and the digest of what they are made of."""

    folder: Path
    digest: str

    @property
    def disk(self) -> Path:
        """The disk, qcow2."""
        return self.folder / "disk.qcow2"

    @property
    def kernel(self) -> Path:
        """The kernel."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The first file system."""
        return self.folder / "initrd.img"

    @property
    def release(self) -> str:
        """The kernel's release, as `uname -r` tells it; the header of its file has it (Linux's boot protocol)."""
        head = self.kernel.read_bytes()[:65536]
        begin = int.from_bytes(head[0x20E:0x210], "little") + 0x200
        return head[begin : head.index(b"\0", begin)].split()[0].decode()


def key() -> Path:
    """Return the lab's own SSH key, made the first time; it opens the twins and nothing else."""
    if not KEY.is_file():
        PLACE.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "inference-runbook-lab", "-f", str(KEY)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return KEY


def ensure(say: Say = lambda _: None) -> Image:
    """Return the image, built first if what it is made of changed.

    Raises
    ------
    RunbookError
        A program, root or space is missing; the mirror does not answer.
    """
    tools.need("ssh-keygen")
    image = current()
    if image.disk.is_file():
        return image
    tools.need(*tools.BUILDING)
    tools.need_root("building the image of the twins", "make rehearse")
    tools.need_space(PLACE, BUILD_MIB)
    say("building the image of the twins")
    with workplace() as work:
        _system(work, say)
        _disk(work, say)
        image.folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(image.folder, ignore_errors=True)
        (work / "out").replace(image.folder)
    return image


def current() -> Image:
    """Return the image that today's settings ask for, built or not."""
    made_of = {
        "settings": settings.load().model_dump(exclude={"roles": True}),
        "links": {name: twin.links for name, twin in settings.load().roles.items()},
        "mirror": mirror(),
        "key": key().with_suffix(".pub").read_text(),
        "set_up": _SET_UP,
    }
    digest = fingerprint.digest(made_of)
    return Image(PLACE / "images" / digest, digest)


def mirror() -> tuple[str, str]:
    """Return the distribution of this machine and the mirror that its apt uses."""
    about = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.M))
    name = about.get("ID", "")
    if name not in settings.load().suites:
        raise tools.NoLabError(
            f"the twins' image is made from Debian's or Ubuntu's packages, and this machine is {name or 'neither'}",
            where=tools.FALL_BACK,
            fix="run the rehearsal on Debian 12 or later, or Ubuntu 24.04 or later",
        )
    for path in (*Path("/etc/apt").glob("sources.list.d/*.sources"), *Path("/etc/apt").glob("sources.list*")):
        text = path.read_text() if path.is_file() else ""
        found = re.search(rf"^(?:URIs:|deb(?:-src)?(?: \[.*?\])?)\s*(\S+/{name}/?)(?=\s|$)", text, re.M)
        if found:
            return name, found.group(1)
    raise tools.NoLabError(
        f"no source of {name} packages is named in /etc/apt, so the twins' image has nothing to be made from",
        where=tools.FALL_BACK,
        fix=f"name one in /etc/apt/sources.list.d/{name}.sources, as apt itself needs it",
    )


@contextmanager
def workplace() -> Iterator[Path]:
    """Yield a folder beside the images; it is removed whatever happens, and what a killed build left is too."""
    building = PLACE / "building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _system(work: Path, say: Say) -> None:
    """Unpack the system, put the package repository into it and set it up."""
    wanted = settings.load()
    name, address = mirror()
    hook = work / "set-up.sh"
    hook.write_text(_SET_UP)
    hook.chmod(0o755)
    (work / "files").mkdir()
    _write_files(work / "files")
    include = [*wanted.image, wanted.kernel[name]]
    say(f"unpacking {wanted.suites[name]} from {name}'s mirror")
    argv = [
        *("mmdebstrap", "--variant=apt", "--mode=root", f"--components={','.join(wanted.components[name])}"),
        f"--include={','.join(include)}",
        # Documentation is not needed to rehearse, and a smaller disk is a faster one.
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        f'--customize-hook={hook} "$1" {work / "files"} {" ".join(wanted.repository)}',
        *(wanted.suites[name], str(work / "root"), address),
    ]
    run(argv, work / "build.log", "building the system")


def _disk(work: Path, say: Say) -> None:
    say("making the disk")
    out = work / "out"
    out.mkdir()
    boot = work / "root" / "boot"
    for kind, target in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd.img")):
        shutil.copyfile(max(boot.glob(f"{kind}-*")), out / target)
    raw = work / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(settings.load().disk_mib * 2**20)
    log = work / "build.log"
    program = tools.find("mke2fs") or "mke2fs"
    run([program, "-q", "-t", "ext4", "-L", "twin", "-d", str(work / "root"), str(raw)], log, "making the disk")
    run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(out / "disk.qcow2")], log, "making the disk")


def run(argv: list[str], log: Path, what: str) -> None:
    """Run a program of the building; its words go to the log.

    Raises
    ------
    RunbookError
        It failed; the message has the last error in its log, which is kept.
    """
    with log.open("a") as file:
        environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            argv,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            preexec_fn=process.die_with_parent,
            check=False,
        )
    if done.returncode:
        kept = shutil.copyfile(log, PLACE / "build.log")
        said = [line for line in log.read_text(errors="replace").splitlines() if re.match(r"E: |.*error: ", line)]
        raise RunbookError(
            f"{what} failed: {said[-1] if said else f'{argv[0]} exited {done.returncode}'}",
            where=paths.short(kept),
            fix="sudo apt-get update  (does the mirror answer?), then the same command again",
        )


def _write_files(folder: Path) -> None:
    """Write what a twin has beside its packages: addresses, the lab's key, its repository."""
    (folder / "authorized_keys").write_text(key().with_suffix(".pub").read_text())
    (folder / "lab.list").write_text("deb [trusted=yes] file:/opt/lab-packages ./\n")
    # The first card is the lab's own way in; QEMU gives it this address and no way out.
    _network(folder, "10-lab", "eth0", "", "10.0.2.15/24")
    for name, twin in settings.load().roles.items():
        for number, address in enumerate(twin.links.values(), start=1):
            _network(folder, f"20-{name}-{number}", f"eth{number}", name, address)


def _network(folder: Path, name: str, card: str, host: str, address: str) -> None:
    match = f"[Match]\nName={card}\n" + (f"Host={host}\n" if host else "")
    (folder / f"{name}.network").write_text(f"{match}[Network]\nAddress={address}\nLinkLocalAddressing=no\n")


# Runs on the building machine: $1 is the unpacked system, $2 the files beside this script, the rest are packages.
_SET_UP = r"""#!/bin/sh
set -eu
root=$1 files=$2
shift 2
place=/opt/lab-packages
mkdir -p "$root$place"
chroot "$root" apt-get -qq update
chroot "$root" apt-get -y --no-install-recommends --download-only -o Dir::Cache::archives="$place" install "$@"
rm -rf "$root$place/partial" "$root$place/lock"
for package in "$root$place"/*.deb; do
    dpkg-deb -f "$package"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "${package##*/}" "$(stat -c %s "$package")" \
        "$(sha256sum <"$package" | cut -d' ' -f1)"
done >"$root$place/Packages"
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
cp "$files/lab.list" "$root/etc/apt/sources.list.d/lab.list"
rm -rf "$root"/var/lib/apt/lists/*
chroot "$root" apt-get -qq update
cp "$files"/*.network "$root/etc/systemd/network/"
rm -f "$root/etc/hostname"
home=$(chroot "$root" getent passwd 0 | cut -d: -f6)
install -d -m 700 "$root$home/.ssh"
install -m 600 "$files/authorized_keys" "$root$home/.ssh/authorized_keys"
# sshd answers at once: it looks no name up. Timers that serve no purpose here would change the disk.
mkdir -p "$root/etc/ssh/sshd_config.d"
printf 'UseDNS no\n' >"$root/etc/ssh/sshd_config.d/10-lab.conf"
chroot "$root" systemctl -q enable systemd-networkd ssh
chroot "$root" systemctl -q mask systemd-networkd-wait-online.service dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer
chroot "$root" ssh-keygen -A >/dev/null
printf '/dev/vda / ext4 rw,relatime 0 1\n' >"$root/etc/fstab"
rm -rf "$root"/var/cache/apt/*.bin
"""
