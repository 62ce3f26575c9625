"""Chapter 02: what stands between the kernel and the engine, what would change, and the choice of the branch."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Decision, Measurement
from lib.core.sections import Profile
from lib.host import boards, compute, driver, origin, probe
from lib.host.mask import output
from lib.host.probe import Host
from lib.host.recording import RecordingHost

COMPUTED = ("driver.torch_arch", "driver.compute_capability", "driver.kernel", "driver.cpu_kernel")


def look() -> RecordingHost:
    """Return the machine as one picture: what several cells ask is answered once."""
    return RecordingHost(probe.current())


def facts(host: Host) -> display.Html:
    """Show what is there, in words."""
    stack = driver.look(host)
    board = stack.board
    known = {
        "Card on the PCI bus": ", ".join(stack.boards) + (f" ({board.name})" if board else "")
        if stack.boards
        else "none",
        "Driver": stack.version_text or "none",
        "CUDA of the driver": stack.nvml.get("cuda") or "none",
        "Kernel module": stack.running.splitlines()[0] if stack.running else "none loaded",
        "Kernel": (host.read("/proc/sys/kernel/osrelease") or "unknown").strip(),
    }
    return display.table([{"": key, " ": value} for key, value in known.items()])


def checks(chapter: Chapter, host: RecordingHost) -> list[Check]:
    """Check the stack and record every check, with what the tools and NVML answered beside it as the raw file."""
    with chapter.engine_time("products on the device"):
        found = driver.checks(host, chapter.profile)
    return list(chapter.record(*found, artifacts=[_raw(chapter, host)]))


def stack(found: Sequence[Check]) -> list[Check]:
    """Return the checks of driver, kernel and tools."""
    return [check for check in found if check.name not in COMPUTED]


def computed(found: Sequence[Check]) -> list[Check]:
    """Return the checks of what torch is built for and really computes."""
    return [check for check in found if check.name in COMPUTED]


def measure(chapter: Chapter, host: RecordingHost) -> list[Measurement]:
    """Record the rates of the products that were computed."""
    found = compute.measurements(host, chapter.profile)
    return list(chapter.record(*found, artifacts=[_raw(chapter, host)]))


def _raw(chapter: Chapter, host: RecordingHost) -> Path:
    names = [os.uname().nodename]
    said = [
        f"$ {' '.join(argv)}\n{output(argv, seen.out, names) or seen.reason}\n" for argv, seen in host.commands.items()
    ]
    return chapter.save("tools.txt", "\n".join([*said, f"NVML: {json.dumps(host.nvml(), indent=1)}\n"]))


def plan(host: Host, profile: Profile, found: Sequence[Check]) -> list[Change]:
    """Return the change of the driver package, planned, where a check asks for another driver."""
    wrong = [c for c in found if c.name in ("driver.version", "driver.module") and c.status == "fail"]
    if not wrong:
        return []
    stack = driver.look(host)
    branch = profile.driver.preferred_branches[0]
    package = f"nvidia-driver-{branch}-open"
    flavour = "-open" if stack.license == driver.OPEN_LICENSE else ""
    before = f"nvidia-driver-{stack.branch}{flavour}" if stack.branch else ""
    change = Change(
        name="driver.package",
        title="Driver of the card",
        status="planned",
        target="packages of Ubuntu 24.04",
        before=before or "no NVIDIA driver",
        after=package,
        reason="; ".join(f"{c.title.lower()}: {c.observed}, expected {c.expected}" for c in wrong) + ".",
        source=boards.PACKAGE_SOURCE.format(branch=branch),
        command=boards.install(branch, replaced=stack.branch),
        undo=f"sudo apt-get install {before} && sudo reboot" if before else f"sudo apt-get purge '*nvidia*-{branch}*'",
    )
    return origin.marked(host, [change])


def decide(profile: Profile, found: Sequence[Check]) -> Decision:
    """Return the choice of the driver branch, or on a CPU profile that none is needed."""
    names = [check.name for check in found]
    if profile.hardware == "cpu":
        return Decision(
            name="driver.decision",
            title="Driver",
            choice="No NVIDIA driver is needed here; torch computes correctly on the processor.",
            reason="The profile computes on the processor. What the card needs is checked by the profile of the card.",
            evidence=names,
        )
    first, *others = profile.driver.preferred_branches
    failed = [check.name for check in found if check.status == "fail"]
    state = f"Not ready: {', '.join(failed)}." if failed else "Everything that the engine needs is in place."
    return Decision(
        name="driver.decision",
        title="Driver",
        choice=f"Ubuntu's own nvidia-driver-{first}-open, from one source only",
        reason=f"R{first}: {_support(first)}. CUDA 13 wheels need 580 or newer, the card the open module. {state}",
        evidence=names,
        alternatives=[
            *(f"R{branch}: {_support(branch)}" for branch in others),
            "560, as the briefing says: does not know the card",
        ],
    )


def _support(branch: int) -> str:
    known = boards.BRANCHES.get(branch)
    until = f" until {known.ends:%B %Y}" if known and known.ends else ""
    return f"{known.sort if known else 'unknown'}{until}"
