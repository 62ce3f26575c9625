"""The UPS as NUT sees it: whether it answers, what state it is in, whether it can carry the machine at full load."""

import re

from lib.core.evidence import Check, Status
from lib.core.sections import Gpu, Profile
from lib.host import tools
from lib.host.probe import Host, Output

LIST = ("upsc", "-l")
NUT = "https://networkupstools.org/docs/man/upsc.html"
# Status words of NUT's variable ups.status, https://networkupstools.org/docs/developer-guide.chunked/new-drivers.html
TROUBLE = {
    "OB": "on battery",
    "LB": "battery low",
    "RB": "battery needs replacing",
    "OVER": "overloaded",
    "OFF": "its output is off",
    "BYPASS": "on bypass: no battery behind it",
    "ALARM": "alarm",
}


def parse(text: str) -> dict[str, str]:
    """Read the variables that ``upsc NAME`` prints, one ``name: value`` a line."""
    return dict(re.findall(r"^([\w.]+): (.*\S)\s*$", text, re.M))


def checks(host: Host, profile: Profile) -> list[Check]:
    """Check the first UPS that NUT lists; without one expected and without an answer there is nothing to judge."""
    listing = host.run(*LIST)
    names = listing.out.split() if listing.ok else []
    if not names:
        return [_silent(listing, profile)]
    values = parse(host.run("upsc", names[0]).out)
    return [_state(names[0], values), *_capacity(values, profile)]


def _silent(listing: Output, profile: Profile) -> Check:
    name, title = "hardware.ups", "UPS"
    if not profile.host.ups:
        return Check(
            name=name,
            title=title,
            status="skip",
            expected="none by this profile",
            observed="none answers",
            fix="with a UPS: install NUT, then set host.ups: true in the profile",
        )
    expected = "a UPS that answers through NUT"
    if listing.reason:
        return tools.skip(name, title, "upsc", listing, expected)
    said = (listing.err or listing.out).strip().splitlines()
    return Check(
        name=name,
        title=title,
        status="warn",
        expected=expected,
        observed="NUT lists no UPS" + (f": {said[-1]}" if said else ""),
        fix="connect its USB cable; sudo apt-get install nut, then: sudo nut-scanner -U  and put the section it prints "
        "into /etc/nut/ups.conf. Without it a power cut ends in a hard stop.",
        source=NUT,
    )


def _state(name: str, values: dict[str, str]) -> Check:
    words = values.get("ups.status", "").split()
    wrong = [TROUBLE[word] for word in words if word in TROUBLE]
    facts = [" ".join(filter(None, (values.get("device.mfr"), values.get("device.model")))) or name]
    facts += [f"status {' '.join(words)}" if words else "no status"]
    for key, unit in (("ups.load", "% load"), ("battery.charge", "% charged"), ("battery.runtime", "s left")):
        facts += [f"{values[key]} {unit}"] if key in values else []
    status: Status = "fail" if wrong else "pass" if "OL" in words else "warn"
    return Check(
        name="hardware.ups",
        title="UPS",
        status=status,
        expected="on line (OL), battery good",
        observed=", ".join([*facts, *wrong]),
        fix=f"look at the UPS; all it tells: upsc {name}",
        source=NUT if status != "pass" else "",
    )


def _capacity(values: dict[str, str], profile: Profile) -> list[Check]:
    """Compare the rated power with what processor and cards may draw together."""
    cards, processor = profile.host.gpus, profile.host.cpu.power_w
    parts = [(gpu.name, gpu.power_default_w) for gpu in cards] + [("processor", processor)]
    drawn = sum(watts for _, watts in parts)
    if not drawn:
        return []
    rated = tools.count(values.get("ups.realpower.nominal", "").split(".")[0])
    capped = processor + sum(gpu.power_cap_w or gpu.power_default_w for gpu in cards)
    listed = " + ".join(f"{name} {watts:g}" for name, watts in parts if watts)
    return [
        Check(
            name="hardware.ups.capacity",
            title="UPS: rated power against full load",
            status="skip" if rated is None else "pass" if rated >= drawn else "warn" if rated >= capped else "fail",
            expected=f"at least {drawn:g} W ({listed}); board, disks, fans and the supply's losses come on top",
            observed="the UPS does not tell its rated power" if rated is None else f"{rated} W",
            fix=_relief(rated, capped, cards),
        )
    ]


def _relief(rated: int | None, capped: float, cards: list[Gpu]) -> str:
    if rated is None:
        return "read its label: watts, not VA; answer ups_capacity in the profile's checklist"
    limits = [f"{gpu.name} at {gpu.power_cap_w:g} W" for gpu in cards if gpu.power_cap_w]
    limited = f"With the power limit of the tuning chapter ({', '.join(limits)}) it is {capped:g} W. " if limits else ""
    return (
        f"{limited}An overloaded UPS switches off at once instead of carrying the machine through. Move a card to "
        "another machine, keep the power limit, or fit a larger UPS."
    )
