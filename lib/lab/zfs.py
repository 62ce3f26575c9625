"""The kernel's ZFS for twins: modules built once from the distribution's source and kept beside the image; and pools.

Debian has ZFS as source only. Ubuntu's kernel packages have its modules, and a twin of it needs none of ours.
"""

import base64
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError
from lib.lab import image as images
from lib.lab import settings, tools
from lib.lab.image import Image, Say
from lib.lab.settings import Role
from lib.lab.twins import Lab

MODULES = ("spl", "zfs")
# Compiler, headers, source and what is made of them, MiB.
BUILD_MIB = 2500
LEG_MIB = 128
LEGS = "/var/lib/lab-disks"


def lacking() -> str:
    """Return why twins with ZFS cannot run here, with what changes that; empty if they can."""
    try:
        tools.need(*tools.RUNNING, *tools.BUILDING)
        tools.need_root("building the modules of ZFS", "make drill")
    except RunbookError as error:
        return f"{error.what}; {error.fix}"
    return ""


def built(image: Image) -> bool:
    """Tell whether the image's kernel has its modules here."""
    return all((_place(image) / f"{name}.ko.xz").is_file() for name in MODULES)


def modules(image: Image, say: Say = lambda _: None) -> Path:
    """Return the folder with the modules for the image's kernel, built first if they are not there.

    Raises
    ------
    RunbookError
        A program, root or space is missing, or the mirror has no headers for this kernel any more.
    """
    if not built(image):
        tools.need(*tools.BUILDING)
        tools.need_root("building the modules of ZFS", "make drill")
        tools.need_space(images.PLACE, BUILD_MIB)
        say(f"building ZFS for {image.release}; once, and it takes minutes")
        with images.workplace() as work:
            _build(image, work)
    return _place(image)


def give(lab: Lab, role: Role, say: Say = lambda _: None) -> None:
    """Give a twin ZFS: the modules, and the tools from the repository inside its image. It holds through power cuts."""
    if lab.run(role, "modinfo -n zfs >/dev/null 2>&1 && echo known || true").strip() != "known":
        folder = modules(images.current(), say)
        for name in MODULES:
            lab.run(role, _carried(folder / f"{name}.ko.xz"))
        lab.run(role, "depmod")
    lab.run(role, _TOOLS, timeout=300)


def pool(lab: Lab, role: Role, name: str, legs: int = 2) -> list[str]:
    """Make a pool of so many disks that mirror each other; one is none. Its disks are files; return their paths."""
    disks = [leg(name, number) for number in range(legs)]
    kind = "mirror " if legs > 1 else ""
    lab.run(
        role,
        f"set -e\nmkdir -p {LEGS}\ntruncate -s {LEG_MIB}M {' '.join(disks)}\n"
        + _POOL.format(name, kind, " ".join(disks)),
    )
    return disks


def datasets(lab: Lab, role: Role, wanted: Iterable[str]) -> None:
    """Make datasets, each with the pool that its name begins with."""
    names: Sequence[str] = sorted(wanted)
    for name in sorted({dataset.partition("/")[0] for dataset in names}):
        pool(lab, role, name)
    lab.run(role, "set -e\n" + "\n".join(f"zfs create -p {dataset}" for dataset in names if "/" in dataset))


def leg(name: str, number: int) -> str:
    """Return where a disk of a pool lies in its twin."""
    return f"{LEGS}/{name}-{number}"


def _place(image: Image) -> Path:
    return image.folder / "zfs"


def _build(image: Image, work: Path) -> None:
    """Let the distribution's own recipe build the modules, in a system of its own with this kernel's headers."""
    wanted, (name, address) = settings.load(), images.mirror()
    argv = [
        *("mmdebstrap", "--variant=apt", "--mode=root", f"--components={','.join(wanted.components[name])}"),
        f"--include=linux-headers-{image.release},zfs-dkms",
        f'--customize-hook=chroot "$1" dkms autoinstall -k {image.release}',
        *(wanted.suites[name], str(work / "root"), address),
    ]
    images.run(argv, work / "build.log", "building ZFS")
    made = work / "root" / "lib" / "modules" / image.release
    place = work / "zfs"
    place.mkdir()
    for module in MODULES:
        for file in made.rglob(f"{module}.ko.xz"):
            file.replace(place / file.name)
    if {file.name for file in place.iterdir()} != {f"{module}.ko.xz" for module in MODULES}:
        raise RunbookError(f"building ZFS made no modules for {image.release}", where=paths.short(_kept_log(work)))
    place.replace(_place(image))


def _kept_log(work: Path) -> Path:
    return Path(shutil.copyfile(work / "build.log", images.PLACE / "build.log"))


def _carried(file: Path) -> str:
    """Return the script that writes a module into a twin."""
    text = base64.encodebytes(file.read_bytes()).decode()
    place = '/lib/modules/"$(uname -r)"/extra'
    return f"set -e\nmkdir -p {place}\nbase64 -d >{place}/{file.name} <<'END'\n{text}END\n"


_TOOLS = """
set -e
apt-get -qq update >/dev/null 2>&1
DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install zfsutils-linux >/dev/null
modprobe zfs
zfs version
"""
_POOL = "zpool create -f -O compression=on -O atime=off {} {}{}\n"
