"""Graphics cards against the profile: NVIDIA's through NVML, AMD's through sysfs, both through the PCI bus."""

from dataclasses import dataclass
from typing import Any

from lib.core.evidence import Check, Status
from lib.core.sections import Gpu, Profile
from lib.host import origin, pci, pcie, tools, xid
from lib.host.probe import Host

Card = dict[str, Any]
NVML_API = "https://docs.nvidia.com/deploy/nvml-api/"
REBAR = "https://github.com/local-inference-lab/rtx6kpro/blob/e2c2b95/hardware/pcie-bandwidth.md"
SLOWED = {
    "hw_slowdown": "the hardware slows the card down",
    "hw_thermal_slowdown": "too hot: the hardware slows the card down",
    "hw_power_brake_slowdown": "the power supply asks the card to slow down",
}
WARMED = {"sw_thermal_slowdown": "near its limit of temperature: the driver lowers the clocks"}


@dataclass(frozen=True)
class Seat:
    """One card that the profile expects, with what NVML and the PCI bus say of it."""

    index: int
    wanted: Gpu
    card: Card | None
    device: pci.Device | None

    @property
    def found(self) -> bool:
        """Whether a driver serves the card."""
        return self.card is not None if self.wanted.vendor == "nvidia" else self.device is not None


def checks(host: Host, profile: Profile) -> list[Check]:
    """Hold the graphics cards against the profile; where none is expected and none is there, one skip says so."""
    cards = _cards(host)
    pairs = pcie.cards_of(host, profile)
    if not profile.host.gpus:
        return origin.marked(host, [_unexpected(cards, [device for _, device in pairs if device], profile)])
    seats = _seats(profile.host.gpus, cards, pairs)
    spare = [card for card in cards if card not in [seat.card for seat in seats]]
    found = [_present(seats, spare)]
    for seat in seats:
        if seat.card is not None:
            found += _nvidia(host, f"hardware.gpu{seat.index}", seat.wanted, seat.card)
        elif seat.wanted.vendor == "amd" and seat.device:
            found += _amd(host, f"hardware.gpu{seat.index}", seat.wanted, seat.device)
    return origin.marked(host, found)


def _cards(host: Host) -> list[Card]:
    return [card for card in (host.nvml() or {}).get("cards") or [] if card.get("name")]


def _seats(wanted: list[Gpu], cards: list[Card], pairs: list[pcie.Pair]) -> list[Seat]:
    """Give each expected NVIDIA card the NVML card of that name, or else the next one that is left."""
    left = list(cards)
    seats = []
    for index, gpu in enumerate(wanted):
        named = [card for card in left if gpu.name in card["name"]] or left
        card = named[0] if gpu.vendor == "nvidia" and named else None
        left = [other for other in left if other is not card]
        seats.append(Seat(index, gpu, card, pairs[index][1]))
    return seats


def _unexpected(cards: list[Card], devices: list[pci.Device], profile: Profile) -> Check:
    names = [card["name"] for card in cards] or [device.name for device in devices]
    return Check(
        name="hardware.gpu.present",
        title="Graphics cards",
        status="pass" if names else "skip",
        expected=f"none: profile {profile.name} computes on the processor",
        observed=f"{', '.join(names)}; not used by this profile" if names else "none",
        fix="nothing to do here; on the machine with the card: python -m lib run --profile rtx-pro-6000",
    )


def _present(seats: list[Seat], spare: list[Card]) -> Check:
    missing = [seat for seat in seats if not seat.found]
    names = [(seat.card or {}).get("name") or (seat.device.name if seat.device else "") for seat in seats]
    seen = [name for name in names if name] + [f"{card['name']} (not in the profile)" for card in spare]
    dead = [seat for seat in missing if seat.device]
    observed = ", ".join(seen) or "none"
    if dead:
        observed += f"; on the bus, but no driver answers for it: {', '.join(seat.wanted.name for seat in dead)}"
    return Check(
        name="hardware.gpu.present",
        title="Graphics cards",
        status="fail" if missing else "pass",
        expected=", ".join(seat.wanted.name for seat in seats),
        observed=observed,
        fix="The card is seated; its driver is not right: python -m lib run --only 02 names what to install."
        if dead and len(dead) == len(missing)
        else "Power off, reseat the card and its power cable, then: lspci -nn | grep -E 'VGA|3D|Display'",
    )


def _nvidia(host: Host, prefix: str, wanted: Gpu, card: Card) -> list[Check]:
    found = [
        _name(prefix, wanted, card),
        _memory(prefix, wanted, card.get("memory_total_mib")),
        _ecc(prefix, wanted, card),
        _ecc_errors(prefix, card),
        _power_limit(prefix, wanted, card),
        _temperature(prefix, wanted, card),
        _throttle(prefix, card),
        _rebar(prefix, card),
        xid.check(f"{prefix}.xid", xid.look(host), card.get("pci_bus_id") or ""),
    ]
    found += [_width(prefix, wanted, card)] if wanted.pcie_width else []
    found += [_generation(prefix, wanted, card)] if wanted.pcie_generation else []
    return found


def _amd(host: Host, prefix: str, wanted: Gpu, device: pci.Device) -> list[Check]:
    vram = tools.count(host.read(f"{pci.DEVICES}/{device.address}/mem_info_vram_total"))
    if vram is None:
        unbound = Check(
            name=f"{prefix}.memory",
            title=f"Memory of {wanted.name}",
            status="fail",
            expected=f"{wanted.memory_mib} MiB",
            observed="not told: the amdgpu driver does not serve the card",
            fix='sudo modprobe amdgpu; if it does not load: sudo apt-get install "linux-modules-extra-$(uname -r)"',
            source="https://docs.kernel.org/gpu/amdgpu/driver-misc.html",
        )
        return [_name(prefix, wanted, {"name": device.name}), unbound]
    return [_name(prefix, wanted, {"name": device.name}), _memory(prefix, wanted, vram // 2**20)]


def _judge(
    place: str, title: str, status: Status, expected: str, observed: str, fix: str = "", source: str = NVML_API
) -> Check:
    return Check(name=place, title=title, status=status, expected=expected, observed=observed, fix=fix, source=source)


def _untold(place: str, title: str, expected: str) -> Check:
    fix = "nvidia-smi -q shows what the driver knows; a container, a virtual GPU or an old driver hides parts of it"
    return _judge(place, title, "skip", expected, "not told by the driver", fix)


def _name(prefix: str, wanted: Gpu, card: Card) -> Check:
    capability = card.get("compute_capability")
    same = wanted.name in card["name"] and capability in (None, wanted.compute_capability or capability)
    return _judge(
        f"{prefix}.name",
        "Which card it is",
        "pass" if same else "fail",
        wanted.name + (f", compute capability {wanted.compute_capability}" if wanted.compute_capability else ""),
        card["name"] + (f", compute capability {capability}" if capability else ""),
        "choose the profile of this card with --profile, or correct host.gpus in the profile; runbook/profiles/*.yml",
    )


def _memory(prefix: str, wanted: Gpu, total: int | None) -> Check:
    place, title, expected = f"{prefix}.memory", f"Memory of {wanted.name}", f"{wanted.memory_mib} MiB"
    if total is None:
        return _untold(place, title, expected)
    # Drivers keep a few MiB more or less for themselves; another edition differs by gigabytes.
    enough = total >= 0.99 * wanted.memory_mib
    fix = "another card or edition, or a MIG slice of one: sudo nvidia-smi -i 0 -mig 0; then compare: nvidia-smi -L"
    return _judge(place, title, "pass" if enough else "fail", expected, f"{total} MiB", fix)


def _ecc(prefix: str, wanted: Gpu, card: Card) -> Check:
    place, title = f"{prefix}.ecc", "ECC of the card's memory"
    expected = {None: "either; on corrects single-bit errors", True: "on", False: "off"}[wanted.ecc]
    now, pending = card.get("ecc"), card.get("ecc_pending")
    if now is None:
        return _untold(place, title, expected)
    words = {True: "on", False: "off", None: "unknown"}
    changing = pending is not None and pending != now
    wrong = wanted.ecc is not None and now != wanted.ecc
    fix = (
        f"sudo nvidia-smi -i {card.get('index', 0)} -e {int(bool(wanted.ecc))} && sudo reboot"
        if wrong
        else "sudo reboot"
    )
    observed = words[now] + (f", {words[pending]} after the next reboot" if changing else "")
    return _judge(place, title, "warn" if wrong or changing else "pass", expected, observed, fix)


def _ecc_errors(prefix: str, card: Card) -> Check:
    place, title, expected = f"{prefix}.ecc_errors", "Memory errors", "no uncorrected error, no failed row remapping"
    uncorrected, corrected = card.get("ecc_uncorrected"), card.get("ecc_corrected")
    if uncorrected is None:
        return _untold(place, title, expected)
    pending, failed = bool(card.get("remapping_pending")), bool(card.get("remapping_failed"))
    observed = f"{uncorrected} uncorrected, {corrected} corrected since boot"
    observed += f"; {card['ecc_uncorrected_ever']} uncorrected ever" if card.get("ecc_uncorrected_ever") else ""
    observed += "; row remapping failed" if failed else "; a row waits for a reboot to be remapped" if pending else ""
    status: Status = "fail" if failed or uncorrected else "warn" if pending else "pass"
    fix = (
        "The card has run out of spare rows: sudo nvidia-bug-report.sh, then ask the vendor for a replacement."
        if failed
        else "sudo reboot  (remaps the bad row); if it comes back, the card is to be replaced"
    )
    return _judge(place, title, status, expected, observed, fix)


def _power_limit(prefix: str, wanted: Gpu, card: Card) -> Check:
    place, title = f"{prefix}.power_limit", "Power limit of this edition"
    default, now = card.get("power_default_w"), card.get("power_limit_w")
    expected = f"{wanted.power_default_w:g} W by default" if wanted.power_default_w else "told by the driver"
    if default is None or now is None:
        return _untold(place, title, expected)
    other = bool(wanted.power_default_w) and abs(default - wanted.power_default_w) > 0.02 * wanted.power_default_w
    limits = [card.get("power_min_w"), card.get("power_max_w")]
    between = f", {limits[0]:g} to {limits[1]:g} W allowed" if None not in limits else ""
    return _judge(
        place,
        title,
        "warn" if other else "pass",
        expected,
        f"{default:g} W by default, {now:g} W now{between}",
        "The card is another edition (Workstation 600 W, Max-Q 300 W, Server up to 600 W): correct host.gpus in the "
        "profile, or read: nvidia-smi -q -d POWER",
    )


def _temperature(prefix: str, wanted: Gpu, card: Card) -> Check:
    place, title = f"{prefix}.temperature", "Temperature now"
    now, slowdown = card.get("temperature_c"), card.get("temperature_slowdown_c")
    expected = f"below {wanted.temperature_warn_c:g} °C" + (f"; it slows down at {slowdown} °C" if slowdown else "")
    if now is None:
        return _untold(place, title, expected)
    status: Status = "pass"
    if now >= wanted.temperature_warn_c:
        status = "fail" if slowdown and now >= slowdown else "warn"
    fan = card.get("fan_percent")
    return _judge(
        place,
        title,
        status,
        expected,
        f"{now} °C" + (f", fan at {fan} %" if fan is not None else ""),
        f"More air through the case; then a lower limit: sudo nvidia-smi -i {card.get('index', 0)} -pl 450 "
        "(chapter 03 tells what it costs)",
    )


def _throttle(prefix: str, card: Card) -> Check:
    place, title = f"{prefix}.throttle", "What holds the clocks back"
    expected, reasons = "at most idleness, the power limit or clocks that were set", card.get("event_reasons")
    if reasons is None:
        return _untold(place, title, expected)
    hard = [SLOWED[reason] for reason in reasons if reason in SLOWED]
    soft = [WARMED[reason] for reason in reasons if reason in WARMED]
    brake = "hw_power_brake_slowdown" in reasons
    observed = ", ".join(reason.replace("_", " ") for reason in reasons) or "nothing"
    if hard or soft:
        observed += f" ({'; '.join([*hard, *soft])})"
    return _judge(
        place,
        title,
        "fail" if hard else "warn" if soft else "pass",
        expected,
        observed,
        "Check the 12V-2x6 cable and the supply's rating, then: nvidia-smi -q -d PERFORMANCE"
        if brake
        else "Clean filters and fans, more air through the case, then: nvidia-smi -q -d PERFORMANCE,TEMPERATURE",
    )


def _rebar(prefix: str, card: Card) -> Check:
    place, title = f"{prefix}.rebar", "Resizable BAR as the driver sees it"
    expected, window, memory = (
        "a window as large as the memory",
        card.get("bar1_total_mib"),
        card.get("memory_total_mib"),
    )
    if window is None or memory is None:
        return _untold(place, title, expected)
    return _judge(
        place,
        title,
        "pass" if window >= memory else "warn",
        expected,
        f"{window} MiB for {memory} MiB",
        "enable Above 4G Decoding and Resizable BAR in the firmware (CSM off); then: nvidia-smi -q -d MEMORY",
        REBAR,
    )


def _width(prefix: str, wanted: Gpu, card: Card) -> Check:
    place, title, expected = f"{prefix}.pcie_width", "PCIe lanes", f"x{wanted.pcie_width}"
    now = card.get("pcie_width")
    if now is None:
        return _untold(place, title, expected)
    slot = (card.get("pci_bus_id") or "0000:01:00.0").removeprefix("0000:")
    fix = (
        f"Look at both ends of the link: sudo lspci -vvs {slot} | grep -E 'LnkCap|LnkSta'; and at what shares the "
        "lanes: lspci -tv. Then move the card to the processor's x16 slot, reseat it, and take the second card or the "
        f"M.2 drive out of the slot that shares its lanes. {pcie.LANES} Tokens do not slow down; loading and swapping "
        "models, and everything offloaded to main memory, do."
    )
    return _judge(
        place,
        title,
        "pass" if now >= wanted.pcie_width else "fail",
        expected,
        f"x{now}",
        fix,
        "https://docs.kernel.org/PCI/sysfs-pci.html",
    )


def _generation(prefix: str, wanted: Gpu, card: Card) -> Check:
    place, title = f"{prefix}.pcie_generation", "PCIe generation of card and slot"
    expected, best, now = f"{wanted.pcie_generation}.0", card.get("pcie_generation_max"), card.get("pcie_generation")
    if best is None:
        return _untold(place, title, expected)
    idle = f"; {now}.0 now, an idle card saves power" if now and now < best else ""
    fix = f"set the slot to Auto or Gen{wanted.pcie_generation} in the firmware; a riser cable may force it down"
    return _judge(
        place, title, "pass" if best >= wanted.pcie_generation else "warn", expected, f"{best}.0 at best{idle}", fix
    )
