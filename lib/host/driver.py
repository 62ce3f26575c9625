"""The NVIDIA stack from the kernel module up, and what the engine's torch can do with it."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host import boards, compute, modules, origin, pci, toolkits, xid
from lib.host.boards import Board, Version
from lib.host.probe import Host

FLAVOUR_SOURCE = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/620/kernel-modules.html"
CUDA_SOURCE = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"
UNSUPPORTED = "the installed release does not know this card"
NEEDS_OPEN = "the card works with the open kernel module only"
OPEN_LICENSE = "Dual MIT/GPL"


@dataclass(frozen=True)
class Stack:
    """What was found: NVML's snapshot, the module on disk and in the kernel, and the boards on the bus."""

    nvml: dict[str, Any]
    running: str
    installed: str
    license: str
    boards: tuple[str, ...]
    reason: str

    @property
    def version_text(self) -> str:
        """The driver's version: the one that runs, else the one that is installed, else empty."""
        return self.nvml.get("driver") or _release(self.running) or self.installed

    @property
    def version(self) -> Version | None:
        """The same as numbers."""
        return boards.version(self.version_text)

    @property
    def branch(self) -> int | None:
        """The driver's branch, such as 580."""
        return self.version[0] if self.version else None

    @property
    def board(self) -> Board | None:
        """The first known board on the bus."""
        return next((boards.BOARDS[name] for name in self.boards if name in boards.BOARDS), None)


def look(host: Host) -> Stack:
    """Read everything that tells which driver is there and whether it runs."""
    version = host.run("modinfo", "-F", "version", "nvidia")
    license_ = host.run("modinfo", "-F", "license", "nvidia")
    snapshot = host.nvml() or {}
    known = [card["pci_id"] for card in snapshot.get("cards") or [] if card.get("pci_id")]
    return Stack(
        nvml=snapshot,
        running=(host.read("/proc/driver/nvidia/version") or "").strip(),
        installed=version.out.strip() if version.ok else "",
        license=license_.out.strip() if license_.ok else "",
        boards=tuple(known or _on_the_bus(host)),
        reason=_reason(host),
    )


def _on_the_bus(host: Host) -> list[str]:
    devices = [device for device in pci.look(host, "0x03") if device.vendor == pci.VENDORS["nvidia"]]
    ids = [(host.read(f"{pci.DEVICES}/{device.address}/device") or "").strip() for device in devices]
    return [f"10de:{text.removeprefix('0x')}" for text in ids if text]


def _reason(host: Host) -> str:
    """Return what the driver wrote into the kernel log about a card that it refused, or the empty string."""
    text = xid.log(host) or ""
    if "is not supported by the" in text:
        return UNSUPPORTED
    return NEEDS_OPEN if "requires use of the NVIDIA open kernel modules" in text else ""


def _release(text: str) -> str:
    match = re.search(r"(?:Kernel Module(?: for \S+)?)\s+(\d[\d.]*)", text)
    return match.group(1) if match else ""


def checks(host: Host, profile: Profile, today: date | None = None) -> list[Check]:
    """Check driver, kernel module, CUDA, torch and what they need; on a CPU profile the processor's kernels instead.

    Parameters
    ----------
    today : date, optional
        The day on which a driver branch must still be supported.
    """
    if profile.hardware == "cpu":
        return [*origin.marked(host, _not_needed(profile)), *compute.checks(host, profile)]
    stack = look(host)
    found = [
        _loaded(stack, profile),
        _version(stack, profile),
        _branch(stack, profile, today or datetime.now(UTC).date()),
        _module(stack, profile),
        _cuda(stack, profile),
        *modules.checks(host, loaded=bool(stack.running)),
    ]
    return [
        *origin.marked(host, found),
        *compute.checks(host, profile),
        *origin.marked(host, toolkits.checks(host, profile)),
    ]


def _not_needed(profile: Profile) -> list[Check]:
    titles = {
        "driver.version": "NVIDIA driver",
        "driver.module": "Kernel module of the driver",
        "driver.kernel": "Products really computed on a card",
    }
    return [
        Check(
            name=name,
            title=title,
            status="skip",
            expected=f"nothing: profile {profile.name} computes on the processor",
            observed="not looked at",
            fix="nothing to do here; on the machine with the card: python -m lib run --profile rtx-pro-6000 --only 02",
        )
        for name, title in titles.items()
    ]


def _install(stack: Stack, profile: Profile) -> str:
    """Return the commands for the first branch of the profile that the board can use."""
    return boards.install(profile.driver.preferred_branches[0], replaced=stack.branch)


def _good(stack: Stack, profile: Profile) -> bool:
    """Tell whether the driver's version is new enough for the wheels and for the board."""
    wanted = [profile.driver.minimum, *([stack.board.first_driver] if stack.board else [])]
    return stack.version is not None and all(boards.at_least(stack.version, each) for each in wanted)


def _also(stack: Stack, profile: Profile) -> str:
    """Return the commands, or where they stand already when the version itself asks for them."""
    return _install(stack, profile) if _good(stack, profile) else "the right driver brings it: see driver.version"


def _loaded(stack: Stack, profile: Profile) -> Check:
    cards, error = stack.nvml.get("cards") or [], stack.nvml.get("error")
    good = bool(cards) and not error
    if good:
        observed = f"{stack.version_text} serves {len(cards)} card{'s' if len(cards) > 1 else ''}"
    elif not stack.nvml and not stack.version_text:
        observed = "no NVIDIA driver" + ("" if stack.boards else ", and no NVIDIA card on the PCI bus")
    else:
        observed = f"{stack.version_text or 'a driver'} is installed and lists no card"
        observed += f" ({error})" if error else ""
        observed += f": {stack.reason}" if stack.reason else ""
    fix = _install(stack, profile)
    if "mismatch" in (error or "").lower():
        fix = "sudo reboot  (the driver was updated while its old module still runs)"
    elif not stack.boards:
        fix = f"seat the card first (chapter 01: lspci -nn | grep -i nvidia), then:\n{fix}"
    return Check(
        name="driver.loaded",
        title="The driver runs and lists the card",
        status="pass" if good else "fail",
        expected="a driver that lists the card",
        observed=observed,
        fix=fix,
        source=stack.board.source if stack.board else "",
    )


def _version(stack: Stack, profile: Profile) -> Check:
    minimum, board = profile.driver.minimum, stack.board
    needs = f"{minimum} or newer"
    needs += f"; {board.name}: listed from {board.first_driver}" if board else ""
    observed = stack.version_text or "no driver"
    return Check(
        name="driver.version",
        title="Driver version",
        status="pass" if _good(stack, profile) else "fail",
        expected=needs,
        observed=observed if stack.running or not stack.installed else f"{observed} installed, not running",
        fix=_install(stack, profile),
        source=board.source if board else CUDA_SOURCE,
    )


def _branch(stack: Stack, profile: Profile, today: date) -> Check:
    preferred = profile.driver.preferred_branches
    expected = f"a branch that NVIDIA still mends; best {' or '.join(f'R{number}' for number in preferred)}"
    if stack.branch is None:
        return Check(
            name="driver.branch",
            title="Driver branch",
            status="skip",
            expected=expected,
            observed="no driver",
            fix=_also(stack, profile),
            source=boards.BRANCH_SOURCE,
        )
    alive, words = boards.branch_state(stack.branch, today)
    return Check(
        name="driver.branch",
        title="Driver branch",
        status="pass" if alive else "warn",
        expected=expected,
        observed=words,
        fix=_also(stack, profile),
        source=boards.BRANCH_SOURCE,
    )


def _module(stack: Stack, profile: Profile) -> Check:
    """Judge the module that runs; with none, the one on disk. A new one on disk needs a reboot."""
    open_disk = stack.license == OPEN_LICENSE
    open_running = "Open Kernel Module" in stack.running
    is_open = open_running if stack.running else open_disk
    there = bool(stack.running or stack.license)
    parts = [f"runs: {_words(open_running)}"] if stack.running else []
    parts += [f"installed: {_words(open_disk)}, license {stack.license}"] if stack.license else []
    waiting = bool(stack.running) and open_disk and not open_running
    branch = stack.branch if stack.branch in boards.BRANCHES else profile.driver.preferred_branches[0]
    return Check(
        name="driver.module",
        title="Flavour of the kernel module",
        status="pass" if there and (is_open or profile.driver.module == "any") else "fail",
        expected="open: Blackwell runs with no other" if profile.driver.module == "open" else "open or proprietary",
        observed="; ".join(parts) or "no NVIDIA kernel module",
        fix="sudo reboot  (the open module is installed, the old one still runs)"
        if waiting
        else boards.install(branch or profile.driver.preferred_branches[0], replaced=stack.branch)
        + "\nafterwards: modinfo -F license nvidia prints Dual MIT/GPL",
        source=FLAVOUR_SOURCE,
    )


def _words(is_open: bool) -> str:
    return "open" if is_open else "proprietary"


def _cuda(stack: Stack, profile: Profile) -> Check:
    found, wanted = stack.nvml.get("cuda"), profile.driver.cuda_minimum
    reached = boards.version(found or "")
    return Check(
        name="driver.cuda",
        title="CUDA version of the driver",
        status="pass" if reached and boards.at_least(reached, wanted) else "fail",
        expected=f"{wanted} or newer, as the engine's wheels are built",
        observed=found or "none: no driver answers",
        fix=_also(stack, profile),
        source=CUDA_SOURCE,
    )
