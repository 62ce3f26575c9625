"""Tunables of power: the processor's clocks, the PCIe links' sleep, the card's persistence and its power limit."""

from typing import Any

from lib.core.sections import Gpu, Profile
from lib.host import power_curve
from lib.host.probe import Host
from lib.host.setting import Edit, Setting, sysfs, text_file
from lib.host.tuning_memory import selected

PSTATE = "https://docs.kernel.org/6.8/admin-guide/pm/amd-pstate.html"
ASPM = "https://docs.kernel.org/6.8/admin-guide/kernel-parameters.html"
PERSISTENCE = "https://docs.nvidia.com/deploy/driver-persistence/"
POLICIES = "/sys/devices/system/cpu/cpufreq/policy*"
ASPM_POLICY = "/sys/module/pcie_aspm/parameters/policy"
DROP_IN = "/etc/systemd/system/nvidia-persistenced.service.d/90-inference.conf"
LIMIT_UNIT = "nvidia-power-limit.service"
Card = dict[str, Any]


def settings(host: Host, profile: Profile) -> list[Setting]:
    """Return the tunables of power; those of a card once for each card that the profile expects."""
    found = [_governor(host, profile), _aspm(host)]
    cards = [card for card in (host.nvml() or {}).get("cards") or [] if card.get("name")]
    wanted = [gpu for gpu in profile.host.gpus if gpu.vendor == "nvidia"]
    if not wanted or not cards:
        return [*found, *_no_card(expected=bool(wanted))]
    found.append(_persistence(cards, profile))
    return found + [_power_limit(gpu, card) for gpu, card in zip(wanted, cards, strict=False)]


def _no_card(*, expected: bool) -> list[Setting]:
    now = "no driver answers for the card" if expected else "the profile has no NVIDIA card"
    fix = "python -m lib run --only 02  (the driver comes first)" if expected else "nothing to do"
    return [
        Setting("tuning.persistence", "Persistence of the driver", now, "on", None, "judged with a card", fix=fix),
        Setting("tuning.power_limit", "Power limit of the card", now, "set", None, "judged with a card", fix=fix),
    ]


def _values(host: Host, name: str) -> list[str]:
    """Return the different values of a cpufreq attribute over all cores."""
    return sorted({(host.read(path) or "").strip() for path in host.glob(f"{POLICIES}/{name}")} - {""})


def _governor(host: Host, profile: Profile) -> Setting:
    name, title, wanted = "tuning.governor", "Clock governor of the processor", profile.host.cpu.governor
    governors = _values(host, "scaling_governor")
    driver, hints = _values(host, "scaling_driver"), _values(host, "energy_performance_preference")
    if not governors:
        return Setting(
            name,
            title,
            now="this kernel shows no governor",
            wanted=wanted or "as it is",
            fine=None if wanted else True,
            reason="a virtual machine or container is clocked by its host",
            fix="look on the host of this machine",
        )
    now = ", ".join(governors) + f" ({', '.join([*driver, *(f'EPP {hint}' for hint in hints)])})"
    fine = not wanted or governors == [wanted]
    edit = sysfs(f"{POLICIES}/scaling_governor", governors[0], wanted)
    return Setting(
        name,
        title,
        now=now,
        wanted=wanted or "as it is: the profile asks for none",
        fine=fine,
        reason="one thread launches every decode step, and a core that sleeps between steps starts slowly; with "
        "amd-pstate this governor also sets the energy hint to performance. What it gives is not measured: compare in "
        "chapter 06, and take it back if it gives nothing, for it costs idle power",
        source=PSTATE,
        edit=None if fine else edit,
    )


def _aspm(host: Host) -> Setting:
    name, title = "tuning.pcie_aspm", "Sleep states of PCIe links (ASPM)"
    now = selected(host.read(ASPM_POLICY) or "")
    if not now:
        return Setting(name, title, "the kernel has no such policy", "default", True, "then the firmware decides", ASPM)
    saving = now in ("powersave", "powersupersave")
    return Setting(
        name,
        title,
        now=now,
        wanted="default or performance",
        fine=not saving,
        reason="default leaves it to the firmware; powersave lets links sleep and adds their wake-up time to transfers",
        source=ASPM,
        edit=sysfs(ASPM_POLICY, now, "default") if saving else None,
    )


def _persistence(cards: list[Card], profile: Profile) -> Setting:
    wanted = profile.tuning.persistence
    states = [card.get("persistence") for card in cards]
    off = [card["index"] for card in cards if card.get("persistence") is False]
    start = "/usr/bin/nvidia-persistenced --user nvidia-persistenced --verbose"
    reload = "sudo systemctl daemon-reload && sudo systemctl restart nvidia-persistenced"
    return Setting(
        "tuning.persistence",
        "Persistence of the driver",
        now="not told by the driver" if None in states else "off" if off else "on",
        wanted="on" if wanted else "either",
        fine=None if None in states else not (wanted and off),
        reason="without it the driver lets the card go whenever the last program ends: the next start waits, and power "
        "limit and clocks that were set are forgotten. Ubuntu starts the daemon with --no-persistence-mode; "
        "nvidia-smi -pm 1 is the older way and is gone after a reboot",
        source=PERSISTENCE,
        edit=text_file(
            DROP_IN,
            "ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose",
            f"[Service]\nExecStart=\nExecStart={start}",
            then=reload,
            undo=reload,
        ),
        fix="nvidia-smi --query-gpu=persistence_mode --format=csv",
    )


def _power_limit(gpu: Gpu, card: Card) -> Setting:
    name, title = "tuning.power_limit", f"Power limit of {gpu.name}"
    now, default = card.get("power_limit_w"), card.get("power_default_w")
    if now is None or default is None:
        fix = "nvidia-smi -q -d POWER  (a container or virtual GPU hides it)"
        return Setting(name, title, "not told by the driver", f"{gpu.power_cap_w:g} W", None, "", fix=fix)
    wanted = _within(card, gpu.power_cap_w or default)
    if "RTX PRO 6000 Blackwell Workstation" not in card["name"]:
        reason = "no figures of this card are known to the runbook: sweep it before lowering the limit"
        source = ""
    else:
        source = power_curve.MMBT
        reason = (
            f"{power_curve.cost(wanted)}; it leaves {default - wanted:g} W less heat to carry away. "
            f"The briefing asks for 300 W: {power_curve.cost(300)}"
        )
        reason += f". Now {power_curve.cost(now)}" if now < wanted else ""
    return Setting(
        name,
        title,
        now=f"{now:g} W",
        wanted=f"{wanted:g} W",
        fine=abs(now - wanted) < 1,
        reason=reason,
        source=source,
        edit=_limit_edit(card["index"], now, wanted),
    )


def _within(card: Card, wanted: float) -> float:
    """Keep a limit inside what the card allows: a Max-Q card knows no 450 W."""
    lowest, highest = card.get("power_min_w"), card.get("power_max_w")
    return min(max(wanted, lowest or wanted), highest or wanted)


def _limit_edit(index: int, now: float, wanted: float) -> Edit:
    """Write a unit that sets the limit at every boot: the card forgets it."""
    unit = (
        "[Unit]\n"
        "Description=Power limit of the NVIDIA card\n"
        "After=nvidia-persistenced.service\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"ExecStart=/usr/bin/nvidia-smi -i {index} -pl {wanted:g}\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target"
    )
    return text_file(
        f"/etc/systemd/system/{LIMIT_UNIT}",
        f"no unit; the limit is {now:g} W",
        unit,
        then=f"sudo systemctl daemon-reload && sudo systemctl enable --now {LIMIT_UNIT}",
        undo=f"sudo systemctl daemon-reload && sudo nvidia-smi -i {index} -pl {now:g}",
        first=f"sudo systemctl disable --now {LIMIT_UNIT}",
    )
