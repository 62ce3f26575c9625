"""Tunables of memory: huge pages, transparent huge pages, swapping, NUMA, the cache of ZFS."""

import re

from lib.core.sections import Profile
from lib.host import memory, modules, tools
from lib.host.probe import Host
from lib.host.setting import Setting, sysctl, sysfs, text_file

HUGETLB = "https://docs.kernel.org/6.8/admin-guide/mm/hugetlbpage.html"
TRANSHUGE = "https://docs.kernel.org/6.8/admin-guide/mm/transhuge.html"
VM = "https://docs.kernel.org/6.8/admin-guide/sysctl/vm.html#swappiness"
NUMACTL = "https://manpages.ubuntu.com/manpages/noble/en/man8/numactl.8.html"
ARC = "https://github.com/openzfs/zfs/issues/5077"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
ARC_MAX = "/sys/module/zfs/parameters/zfs_arc_max"
GIB = 2**30
PAGE = 2 * 2**20


def settings(host: Host, profile: Profile) -> list[Setting]:
    """Return the tunables of memory."""
    return [
        _hugepages(host, profile),
        _transparent(host, profile),
        _swappiness(host, profile),
        _numa(host, profile),
        _arc(host),
    ]


def selected(text: str) -> str:
    """Return the word in brackets of a file such as ``always [madvise] never``, or the empty string."""
    match = re.search(r"\[(\w+)\]", text)
    return match.group(1) if match else ""


def _unknown(name: str, title: str, wanted: str, path: str) -> Setting:
    return Setting(name, title, f"{path} cannot be read", wanted, None, "", fix=f"cat {path}")


def _hugepages(host: Host, profile: Profile) -> Setting:
    name, title, wanted = "tuning.hugepages", "Static huge pages of 2 MiB", profile.tuning.hugepages
    found = tools.count(host.read("/proc/sys/vm/nr_hugepages"))
    if found is None:
        return _unknown(name, title, str(wanted), "/proc/sys/vm/nr_hugepages")
    total = memory.total_gib(host) or 0
    reserved = found * PAGE / GIB
    reason = "vLLM maps none" + (", and weights and KV cache lie on the card" if profile.hardware == "cuda" else "")
    reason += "; reserved pages speed nothing up and are lost to the page cache, pinned buffers and everything else"
    if found > wanted:
        reason += f". {found} pages are {reserved:.1f}" + (f" of {total:.0f} GiB" if total else " GiB")
    return Setting(
        name,
        title,
        now=f"{found}" + (f" ({reserved:.1f} GiB)" if found else ""),
        wanted=str(wanted),
        fine=found == wanted,
        reason=reason,
        source=HUGETLB,
        edit=sysctl(host, "vm.nr_hugepages", found, wanted) if found != wanted else None,
    )


def _transparent(host: Host, profile: Profile) -> Setting:
    name, title, wanted = "tuning.transparent_hugepages", "Transparent huge pages", profile.tuning.transparent_hugepages
    now = selected(host.read(THP) or "")
    if not now:
        return _unknown(name, title, wanted, THP)
    return Setting(
        name,
        title,
        now=now,
        wanted=wanted,
        fine=now == wanted,
        reason="madvise gives them to programs that ask; always can stall any program while the kernel makes room"
        if wanted == "madvise"
        else "asked for by the profile",
        source=TRANSHUGE,
        edit=sysfs(THP, now, wanted) if now != wanted else None,
    )


def _swappiness(host: Host, profile: Profile) -> Setting:
    name, title, wanted = "tuning.swappiness", "Swappiness", profile.tuning.swappiness
    found = tools.count(host.read("/proc/sys/vm/swappiness"))
    if found is None:
        return _unknown(name, title, str(wanted), "/proc/sys/vm/swappiness")
    areas = len((host.read("/proc/swaps") or "").strip().splitlines()[1:])
    if not areas:
        reason = "without swap the value does nothing"
    else:
        reason = (
            "reading a model fills the page cache with tens of GiB; the kernel should drop that cache before it swaps "
            "the engine, the gateway or the index out"
        )
    return Setting(
        name,
        title,
        now=f"{found}" if areas else f"{found}, no swap",
        wanted=f"at most {wanted}",
        fine=found <= wanted or not areas,
        reason=reason,
        source=VM,
        edit=sysctl(host, "vm.swappiness", found, wanted) if found > wanted and areas else None,
    )


def _numa(host: Host, profile: Profile) -> Setting:
    name, title = "tuning.numa", "NUMA binding"
    nodes = len(host.glob("/sys/devices/system/node/node[0-9]*/cpulist"))
    if not nodes:
        return _unknown(name, title, "no binding", "/sys/devices/system/node")
    if nodes == 1:
        reason = "numactl --cpunodebind=0 --membind=0 changes nothing where all memory is one node"
        return Setting(name, title, "1 node", "no binding", True, reason, NUMACTL)
    cards = [(card.get("pci_bus_id") or "") for card in (host.nvml() or {}).get("cards") or []]
    homes = [(host.read(f"/sys/bus/pci/devices/{card}/numa_node") or "").strip() for card in cards]
    place = ", ".join(f"card {index} at node {home}" for index, home in enumerate(homes) if home and home != "-1")
    bound = "--numa-bind" in profile.serving.extra_args or not cards
    return Setting(
        name,
        title,
        now=f"{nodes} nodes" + (f", {place}" if place else ""),
        wanted="the engine bound to its card's node" if cards else "no binding: no card",
        fine=bound,
        reason="on several nodes, copies between main memory and card cross the sockets unless the engine stays near "
        "its card; vLLM binds itself",
        source=NUMACTL,
        fix="add --numa-bind to serving.extra_args in the profile; then measure with and without it in chapter 06",
    )


def _arc(host: Host) -> Setting:
    name, title = "tuning.zfs_arc_max", "Largest cache of ZFS (ARC)"
    if "zfs" not in modules.names(host.read("/proc/modules") or ""):
        return Setting(name, title, "ZFS is not loaded", "no limit needed", True, "there is no such cache")
    found, total = tools.count(host.read(ARC_MAX)), memory.total_gib(host)
    if found is None or not total:
        return _unknown(name, title, "at most a quarter of memory", ARC_MAX)
    limit = max(1, int(total / 8))
    path = "/etc/modprobe.d/90-inference-zfs.conf"
    return Setting(
        name,
        title,
        now=f"{found / GIB:.1f} GiB" if found else "default: about half of memory",
        wanted=f"{limit} GiB: an eighth of memory, this runbook's choice",
        fine=0 < found <= total / 4 * GIB,
        reason="the cache competes with weights asleep in main memory and with pinned buffers, and gives way slowly; "
        "models are read once and then lie on the card",
        source=ARC,
        edit=text_file(
            path,
            f"zfs_arc_max = {found}",
            f"options zfs zfs_arc_max={limit * GIB}",
            then=f"echo {limit * GIB} | sudo tee {ARC_MAX} >/dev/null && sudo update-initramfs -u",
            undo=f"echo {found} | sudo tee {ARC_MAX} >/dev/null && sudo update-initramfs -u",
        ),
    )
