"""What of the host's settings serves inference: looked at and planned, with reason and source. Nothing is changed."""

import re

from lib.core.evidence import Change, Check
from lib.core.sections import Profile
from lib.host import origin, tuning_memory, tuning_power
from lib.host.probe import Host
from lib.host.setting import Setting, text_file

FILES_SOURCE = "https://man7.org/linux/man-pages/man5/systemd-system.conf.5.html"
MANAGER = "/etc/systemd/system.conf.d/90-inference.conf"


def settings(host: Host, profile: Profile) -> list[Setting]:
    """Return every tunable with its value, the value that serves inference, why, and the edit that gets there."""
    return [*tuning_memory.settings(host, profile), *tuning_power.settings(host, profile), _open_files(host, profile)]


def checks(host: Host, profile: Profile) -> list[Check]:
    """Judge every tunable: what should change is a warning with the commands that change it and take it back."""
    return origin.marked(host, [setting.check() for setting in settings(host, profile)])


def plan(host: Host, profile: Profile) -> list[Change]:
    """Return the planned changes; empty where everything is as it should be."""
    found = [setting.change() for setting in settings(host, profile)]
    return origin.marked(host, [change for change in found if change])


def _open_files(host: Host, profile: Profile) -> Setting:
    """Judge the limit that services get; a login shell's own limit says nothing about them."""
    wanted = profile.tuning.open_files
    shown = host.run("systemctl", "show", "-p", "DefaultLimitNOFILE")
    service = _number(r"^DefaultLimitNOFILE=(\d{1,19}|infinity)$", shown.out) if shown.ok else None
    own = _number(r"^Max open files\s+\S+\s+(\d{1,19}|unlimited)", host.read("/proc/self/limits") or "")
    found = service if service is not None else own
    words = "a service may raise itself to" if service is not None else "this session may raise itself to"
    edit = text_file(
        MANAGER,
        f"DefaultLimitNOFILE={found}",
        f"[Manager]\nDefaultLimitNOFILE=1024:{max(wanted, 524288)}",
        then="sudo systemctl daemon-reexec",
        undo="sudo systemctl daemon-reexec",
    )
    return Setting(
        "tuning.open_files",
        "Open files",
        now="no limit can be read" if found is None else f"{words} {found}",
        wanted=f"a hard limit of {wanted} or more",
        fine=None if found is None else found >= wanted,
        reason="every stream holds a connection open; vLLM raises its own soft limit to 65535, up to the hard one",
        source=FILES_SOURCE,
        edit=edit if service is not None and service < wanted else None,
        fix=f"start the runbook from a shell with a higher limit: sudo prlimit --pid $$ --nofile={wanted}:{wanted}",
    )


def _number(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text, re.M)
    if not match:
        return None
    return 2**63 - 1 if match.group(1) in ("infinity", "unlimited") else int(match.group(1))
