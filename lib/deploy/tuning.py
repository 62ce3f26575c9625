"""The settings of chapter 03 on a host: each now in the running kernel, and in a file for every boot after."""

from collections.abc import Iterator

from lib.deploy.resources import File, Folder, Kernel, Resource, Unit
from lib.deploy.resources.base import About
from lib.deploy.site import Probe, Site
from lib.deploy.template import render
from lib.host import tuning, tuning_memory, tuning_power

# Read after every other file, /etc/sysctl.conf too: the last value of a setting counts.
SYSCTL = "/etc/sysctl.d/99-zz-inference.conf"
TMPFILES = "/etc/tmpfiles.d/90-inference.conf"
GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


def resources(site: Site) -> list[Resource]:
    """Return the tunables that the profile decides."""
    return [*_memory(site), *_boot(site), *_files(site), *_power(site)]


def _memory(site: Site) -> Iterator[Resource]:
    wanted = site.profile.tuning
    yield File(
        SYSCTL,
        render("tuning/sysctl.conf.j2", tuning=wanted),
        about=About("Values of the kernel for every boot.", tuning_memory.VM),
    )
    yield Kernel(
        "/proc/sys/vm/swappiness",
        str(wanted.swappiness),
        about=About(
            "Reading a model fills the page cache; the kernel should drop that before it swaps the engine out.",
            tuning_memory.VM,
        ),
    )
    yield Kernel(
        "/proc/sys/vm/nr_hugepages",
        str(wanted.hugepages),
        about=About(
            "vLLM maps no static huge pages; reserved ones are lost to everything else.", tuning_memory.HUGETLB
        ),
    )


def _boot(site: Site) -> Iterator[Resource]:
    """Yield what has no sysctl: written at every boot by systemd-tmpfiles, and now."""
    wanted = site.profile.tuning.transparent_hugepages
    governor = site.profile.host.cpu.governor
    yield File(
        TMPFILES,
        render("tuning/tmpfiles.conf.j2", hugepages=wanted, governor=governor),
        about=About("Values without a sysctl, for every boot.", tuning_memory.TRANSHUGE),
    )
    yield Kernel(
        tuning_memory.THP,
        wanted,
        about=About("madvise gives huge pages to programs that ask, and stalls no others.", tuning_memory.TRANSHUGE),
    )
    if governor:
        yield Kernel(
            GOVERNOR,
            governor,
            about=About(
                "One thread launches every decode step, and a core that sleeps in between starts slowly.",
                tuning_power.PSTATE,
            ),
        )


def _files(site: Site) -> Iterator[Resource]:
    folder = tuning.MANAGER.rpartition("/")[0]
    yield Folder(folder, about=About("Where settings of systemd are added."))
    yield File(
        tuning.MANAGER,
        f"[Manager]\nDefaultLimitNOFILE=1024:{max(site.profile.tuning.open_files, 524288)}\n",
        then=("systemctl daemon-reexec",),
        about=About("Every stream holds a connection open.", tuning.FILES_SOURCE),
    )


def _power(site: Site) -> Iterator[Resource]:
    caps = [gpu.power_cap_w for gpu in site.profile.host.gpus if gpu.vendor == "nvidia"]
    if not any(caps):
        return
    yield File(
        f"/etc/systemd/system/{tuning_power.LIMIT_UNIT}",
        render("tuning/power-limit.service.j2", limits=[(index, cap) for index, cap in enumerate(caps) if cap]),
        about=About("The card forgets its power limit at every boot; chapter 03 has what a limit costs."),
    )
    yield Unit(
        tuning_power.LIMIT_UNIT,
        running=None,
        about=About("Sets the limit at boot; without the driver it waits until there is one."),
    )


def probes(site: Site) -> list[Probe]:
    """Return the questions to a host that got all this: the running kernel and systemd, not their files."""
    wanted = site.profile.tuning
    return [
        Probe("swappiness", "Swappiness", "cat /proc/sys/vm/swappiness", str(wanted.swappiness)),
        Probe("hugepages", "Static huge pages", "cat /proc/sys/vm/nr_hugepages", str(wanted.hugepages)),
        Probe(
            "transparent_hugepages",
            "Transparent huge pages",
            rf"sed 's/.*\[\(.*\)\].*/\1/' {tuning_memory.THP}",
            wanted.transparent_hugepages,
        ),
        Probe("open_files", "Open files", "systemctl show -p DefaultLimitNOFILE --value", r"\d{6,}|infinity"),
    ]
