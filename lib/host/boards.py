"""Which driver a card needs, which driver branches are alive, and how to install one on Ubuntu 24.04."""

import re
from dataclasses import dataclass
from datetime import date

BOARD_SOURCE = "https://github.com/NVIDIA/open-gpu-kernel-modules/blob/{version}/README.md"
BRANCH_SOURCE = "https://docs.nvidia.com/datacenter/tesla/drivers/620/supported-drivers-and-cuda-toolkit-versions.html"
PACKAGE_SOURCE = "https://packages.ubuntu.com/noble/nvidia-driver-{branch}-open"
Version = tuple[int, ...]


@dataclass(frozen=True)
class Board:
    """A card by its PCI id, and the first driver whose list of devices names it."""

    name: str
    first_driver: str

    @property
    def source(self) -> str:
        """The list of devices of that driver."""
        return BOARD_SOURCE.format(version=self.first_driver)


BOARDS = {
    "10de:2bb1": Board("RTX PRO 6000 Blackwell Workstation Edition", "570.133.07"),
    "10de:2bb4": Board("RTX PRO 6000 Blackwell Max-Q Workstation Edition", "570.133.07"),
    "10de:2bb5": Board("RTX PRO 6000 Blackwell Server Edition", "575.57.08"),
}


@dataclass(frozen=True)
class Branch:
    """A driver branch: what sort it is, and until when NVIDIA mends it (None: not said)."""

    number: int
    sort: str
    ends: date | None = None


BRANCHES = {
    branch.number: branch
    for branch in (
        Branch(580, "long-term support", date(2028, 6, 30)),
        Branch(590, "new features"),
        Branch(595, "production", date(2027, 3, 31)),
        Branch(610, "new features", date(2026, 8, 31)),
        Branch(620, "long-term support", date(2029, 9, 30)),
    )
}


def version(text: str) -> Version | None:
    """Return ``580.95.05`` as numbers that compare, or None when the text does not begin with a version."""
    match = re.match(r"\d{1,6}(\.\d{1,6}){0,3}(?![\d.])", text.strip())
    return tuple(int(part) for part in match.group().split(".")) if match else None


def at_least(found: Version, wanted: str) -> bool:
    """Tell whether a version reaches another; ``580`` is reached by every 580.x."""
    return found >= (version(wanted) or ())


def branch_state(number: int, today: date) -> tuple[bool, str]:
    """Return whether a branch is still mended, and that in words."""
    known = BRANCHES.get(number)
    if known is None:
        return False, f"R{number}, not among the branches that NVIDIA lists as supported"
    if known.ends is None:
        return False, f"R{number}, {known.sort}: mended only until the next branch comes"
    alive = today <= known.ends
    return alive, f"R{number}, {known.sort}, {'until' if alive else 'ended in'} {known.ends:%B %Y}"


def install(branch: int, replaced: int | None = None) -> str:
    """Return the commands that put the open driver of a branch onto Ubuntu 24.04, in place of another branch's."""
    removal = f"sudo apt-get purge '*nvidia*-{replaced}*'\n" if replaced and replaced != branch else ""
    return (
        f'{removal}sudo apt-get update && sudo apt-get install nvidia-driver-{branch}-open "linux-headers-$(uname -r)"'
        "\nsudo reboot"
    )
