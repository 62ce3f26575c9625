"""How long the battery has to last, and how long it does at the load that counts."""

from typing import NamedTuple

from lib.core.evidence import Check
from lib.core.sections import PowerSupply, Profile
from lib.host import ups
from lib.host.probe import Host

NUT = "https://networkupstools.org/docs/user-manual.chunked/"


class Phase(NamedTuple):
    """One step on the way down, and what it may take, s."""

    name: str
    seconds: float


def phases(p: PowerSupply) -> list[Phase]:
    """Return the steps from the mains' end until the disks are at rest, and the margin."""
    return [
        Phase("the UPS is asked again, and requests are held", p.poll_s),
        Phase("streams finish, or are cut", p.drain_s),
        Phase("engines stop, disks are synced", p.stop_s),
        Phase("the host shuts down", p.shutdown_s),
        Phase("left in the battery", p.margin_s),
    ]


def need(p: PowerSupply) -> float:
    """Return the run time that the whole way takes, s."""
    return sum(phase.seconds for phase in phases(p))


def at_load(runtime_s: float, load: float, other: float) -> float:
    """Return the run time at another load, s.

    In proportion. A battery gives less than that at a higher load, so a value for a higher load is the best that can
    be: only the self-test under load tells (`upscmd UPS test.battery.start`).
    """
    return runtime_s if other <= 0 or load <= 0 else runtime_s * load / other


def full_load(profile: Profile, rated_w: float) -> float:
    """Return processor and cards at full load as a share of what the UPS is rated for, %."""
    host = profile.host
    drawn = host.cpu.power_w + sum(gpu.power_cap_w or gpu.power_default_w for gpu in host.gpus)
    return 100 * drawn / rated_w if rated_w else 0.0


def check(host: Host, profile: Profile) -> Check:
    """Hold the run time that the UPS tells, at full load, against what the way down takes."""
    name, title = "power.runtime", "The battery carries the host to a clean end"
    needed = need(profile.power_supply)
    expected = f"at least {needed:g} s at full load"
    listing = host.run(*ups.LIST)
    names = listing.out.split() if listing.ok else []
    values = ups.parse(host.run("upsc", names[0]).out) if names else {}
    try:
        runtime, load = float(values["battery.runtime"]), float(values["ups.load"])
    except (KeyError, ValueError):
        return Check(
            name=name,
            title=title,
            status="warn" if profile.host.ups else "skip",
            expected=expected,
            observed="no UPS answers with its run time",
            fix="connect the UPS; python -m lib deploy apply sets up NUT",
            source=NUT,
        )
    full = full_load(profile, float(values.get("ups.realpower.nominal") or 0))
    runs = at_load(runtime, load, max(load, full))
    return Check(
        name=name,
        title=title,
        status="pass" if runs >= needed else "fail",
        expected=expected,
        observed=f"{runs:.0f} s at {max(load, full):.0f} % (the UPS tells {runtime:.0f} s at {load:.0f} %)",
        fix="a larger battery, a lower power limit of the card, or shorter times in power_supply",
        source=NUT,
    )
