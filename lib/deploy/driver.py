"""The NVIDIA stack on a host with a card: open kernel modules of one branch, from one source, kept in memory."""

from collections.abc import Iterator

from lib.deploy.resources import File, Folder, Packages, Resource
from lib.deploy.resources.base import About
from lib.deploy.site import Site
from lib.deploy.template import render
from lib.host import boards, tuning_power

# Where the driver is not installed yet there is no such unit.
_RESTART = "! systemctl -q cat nvidia-persistenced >/dev/null 2>&1 || systemctl try-restart nvidia-persistenced"
PINS = "https://manpages.ubuntu.com/manpages/noble/en/man5/apt_preferences.5.html"


def resources(site: Site) -> list[Resource]:
    """Return what a host with a card gets; one without gets nothing."""
    return [*_pin(site), *_packages(site), *_persistence()] if site.profile.hardware == "cuda" else []


def _branch(site: Site) -> int:
    return site.profile.driver.preferred_branches[0]


def _pin(site: Site) -> Iterator[Resource]:
    yield File(
        "/etc/apt/preferences.d/90-inference-nvidia",
        render("driver/preferences.j2", branch=_branch(site)),
        about=About("One source and one branch: two sources of the driver replace each other's halves.", PINS),
    )


def _packages(site: Site) -> Iterator[Resource]:
    """Yield the driver; a twin has neither a card nor the packages."""
    if site.lab:
        return
    branch = _branch(site)
    yield Packages(
        (f"nvidia-driver-{branch}-open", "linux-headers-generic"),
        hold=True,
        about=About(
            "The card knows open kernel modules only; held, so that no upgrade changes it under a running engine. "
            "It is loaded after a restart, which is the owner's.",
            boards.PACKAGE_SOURCE.format(branch=branch),
        ),
    )


def _persistence() -> Iterator[Resource]:
    yield Folder(tuning_power.DROP_IN.rpartition("/")[0], about=About("Where settings of the daemon are added."))
    yield File(
        tuning_power.DROP_IN,
        render("driver/persistence.conf.j2"),
        then=("systemctl daemon-reload", _RESTART),
        about=About(
            "Without it the driver lets the card go whenever the last program ends, and forgets limit and clocks.",
            tuning_power.PERSISTENCE,
        ),
    )
