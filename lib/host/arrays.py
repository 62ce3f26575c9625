"""Arrays of disks: Linux RAID and ZFS pools, and whether each is complete."""

import re

from lib.core.evidence import Check
from lib.host import tools
from lib.host.probe import Host


def check(host: Host, zfs: bool) -> Check:
    """Check that every md array and ZFS pool is complete; `zfs` tells whether a disk carries a ZFS label."""
    title, name = "RAID and ZFS", "hardware.disk.arrays"
    pools = host.run("zpool", "status")
    if zfs and not pools.ok:
        return tools.skip(name, title, "zpool", pools, "every array complete")
    arrays = parse_mdstat(host.read("/proc/mdstat") or "") | parse_pools(pools.out)
    broken = [f"{array} {state}" for array, (state, healthy) in arrays.items() if not healthy]
    return Check(
        name=name,
        title=title,
        status="fail" if broken else "pass",
        expected="every array complete",
        observed="; ".join(f"{array} {state}" for array, (state, _) in arrays.items())
        or "no array: what is on one disk only is lost with it, so it belongs into the backup",
        fix="replace the failed member; which one it is: sudo mdadm --detail /dev/md0, or zpool status -v",
        source="https://docs.kernel.org/admin-guide/md.html" if broken else "",
    )


def parse_mdstat(text: str) -> dict[str, tuple[str, bool]]:
    """Return array to (state in words, healthy) from ``/proc/mdstat``."""
    arrays = {}
    for array, head, detail in re.findall(r"^(md\w+) : ([^\n]*)\n?((?:[ \t][^\n]*\n?)*)", text, re.M):
        level = _word(r"\b(raid\d+|linear)\b", head)
        members = _word(r"(\[[U_]+\])", detail)
        activity = head.split(" ")[0]
        arrays[array] = (
            " ".join(filter(None, (level, activity, members))),
            activity == "active" and "_" not in members,
        )
    return arrays


def parse_pools(text: str) -> dict[str, tuple[str, bool]]:
    """Return pool to (state with layout, healthy) from ``zpool status``."""
    arrays = {}
    for block in re.split(r"^\s*pool: ", text, flags=re.M)[1:]:
        state, errors = _word(r"^\s*state: (\w+)", block), _word(r"^errors: (.+)", block)
        layout = sorted(set(re.findall(r"^\s+(mirror|raidz\d?|draid\d?)-\d+", block, re.M)))
        healthy = state == "ONLINE" and errors in ("", "No known data errors")
        name = (block.split() or ["?"])[0]
        arrays[name] = (", ".join(filter(None, [*layout, state or "unknown", errors])), healthy)
    return arrays


def _word(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.M)
    return found.group(1).strip() if found else ""
