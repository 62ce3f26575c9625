"""A snapshot of NVML as plain data, so that a recorded card runs through the same code. Nothing is ever set."""

import importlib
from collections.abc import Callable
from typing import Any

from lib.core import fingerprint

MIB = 2**20
# https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html; the last two are older drivers' names.
EVENT_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
# Constants of nvml.h.
CLOCK_SM, CLOCK_MEMORY = 1, 2
SENSOR_GPU = 0
THRESHOLD_SLOWDOWN, THRESHOLD_GPU_MAX = 1, 3
CORRECTED, UNCORRECTED = 0, 1
SINCE_BOOT, EVER = 0, 1


def snapshot(library: Any = None) -> dict[str, Any] | None:
    """Return what NVML knows about the driver and its cards.

    Every query stands alone: what a card, a driver or a container does not answer is None.

    Parameters
    ----------
    library : module, optional
        What to ask instead of `pynvml`.

    Returns
    -------
    dict or None
        ``driver`` and ``cuda`` versions, ``error`` and ``cards``, one dictionary a card with sizes in MiB, powers in W,
        clocks in MHz, temperatures in °C, energy in J. A driver that is installed but does not answer gives its
        ``error`` and no cards. None where no NVIDIA driver is installed.
    """
    if library is None:
        library = importlib.import_module("pynvml")
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        if getattr(error, "value", None) == getattr(library, "NVML_ERROR_LIBRARY_NOT_FOUND", 12):
            return None
        return {"driver": None, "cuda": None, "error": str(error), "cards": []}
    try:
        ask = Asker(library)
        return {
            "driver": ask("nvmlSystemGetDriverVersion", pick=_text),
            "cuda": ask("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion", pick=_cuda_version),
            "error": None,
            "cards": [_card(ask, index) for index in range(ask("nvmlDeviceGetCount") or 0)],
        }
    finally:
        library.nvmlShutdown()


class Asker:
    """Ask one NVML function, or the first of several names that this NVML has; None where none answers."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __call__(self, *names: str, of: tuple[Any, ...] = (), pick: Callable[[Any], Any] | None = None) -> Any:
        """Return the answer, or what `pick` makes of it."""
        for name in names:
            function = getattr(self._library, name, None)
            if function is None:
                continue
            try:
                answer = function(*of)
            except self._library.NVMLError:
                continue
            return pick(answer) if pick else answer
        return None


def _card(ask: Asker, index: int) -> dict[str, Any]:
    card = ask("nvmlDeviceGetHandleByIndex", of=(index,))
    if card is None:
        return {"index": index, "name": None}
    return {
        "index": index,
        "name": ask("nvmlDeviceGetName", of=(card,), pick=_text),
        "uuid": ask("nvmlDeviceGetUUID", of=(card,), pick=_masked),
        "compute_capability": ask("nvmlDeviceGetCudaComputeCapability", of=(card,), pick=lambda v: f"{v[0]}.{v[1]}"),
        **_pci(ask, card),
        **_memory(ask, card),
        **_power(ask, card),
        **_clocks(ask, card),
        "persistence": ask("nvmlDeviceGetPersistenceMode", of=(card,), pick=bool),
        "mig": ask("nvmlDeviceGetMigMode", of=(card,), pick=lambda modes: bool(modes[0])),
    }


def _pci(ask: Asker, card: Any) -> dict[str, Any]:
    return {
        "pci_bus_id": ask("nvmlDeviceGetPciInfo", of=(card,), pick=lambda pci: _bus_id(_text(pci.busId))),
        "pci_id": ask("nvmlDeviceGetPciInfo", of=(card,), pick=lambda pci: _pci_id(pci.pciDeviceId)),
        "pcie_generation": ask("nvmlDeviceGetCurrPcieLinkGeneration", of=(card,)),
        "pcie_generation_max": ask("nvmlDeviceGetMaxPcieLinkGeneration", of=(card,)),
        "pcie_width": ask("nvmlDeviceGetCurrPcieLinkWidth", of=(card,)),
        "pcie_width_max": ask("nvmlDeviceGetMaxPcieLinkWidth", of=(card,)),
        "pcie_replays": ask("nvmlDeviceGetPcieReplayCounter", of=(card,)),
    }


def _memory(ask: Asker, card: Any) -> dict[str, Any]:
    def errors(kind: int, since: int) -> Any:
        return ask("nvmlDeviceGetTotalEccErrors", of=(card, kind, since))

    def remapped(position: int) -> Any:
        return ask("nvmlDeviceGetRemappedRows", of=(card,), pick=lambda rows: int(rows[position]))

    return {
        "memory_total_mib": ask("nvmlDeviceGetMemoryInfo", of=(card,), pick=lambda memory: memory.total // MIB),
        "memory_used_mib": ask("nvmlDeviceGetMemoryInfo", of=(card,), pick=lambda memory: memory.used // MIB),
        "bar1_total_mib": ask("nvmlDeviceGetBAR1MemoryInfo", of=(card,), pick=lambda bar: bar.bar1Total // MIB),
        "ecc": ask("nvmlDeviceGetEccMode", of=(card,), pick=lambda modes: bool(modes[0])),
        "ecc_pending": ask("nvmlDeviceGetEccMode", of=(card,), pick=lambda modes: bool(modes[1])),
        "ecc_corrected": errors(CORRECTED, SINCE_BOOT),
        "ecc_uncorrected": errors(UNCORRECTED, SINCE_BOOT),
        "ecc_corrected_ever": errors(CORRECTED, EVER),
        "ecc_uncorrected_ever": errors(UNCORRECTED, EVER),
        "remapped_rows": remapped(1),
        "remapping_pending": remapped(2),
        "remapping_failed": remapped(3),
    }


def _power(ask: Asker, card: Any) -> dict[str, Any]:
    limits = "nvmlDeviceGetPowerManagementLimitConstraints"
    return {
        "power_limit_w": ask("nvmlDeviceGetPowerManagementLimit", of=(card,), pick=_thousandth),
        "power_enforced_w": ask("nvmlDeviceGetEnforcedPowerLimit", of=(card,), pick=_thousandth),
        "power_default_w": ask("nvmlDeviceGetPowerManagementDefaultLimit", of=(card,), pick=_thousandth),
        "power_min_w": ask(limits, of=(card,), pick=lambda pair: _thousandth(pair[0])),
        "power_max_w": ask(limits, of=(card,), pick=lambda pair: _thousandth(pair[1])),
        "power_draw_w": ask("nvmlDeviceGetPowerUsage", of=(card,), pick=_thousandth),
        "energy_j": ask("nvmlDeviceGetTotalEnergyConsumption", of=(card,), pick=_thousandth),
    }


def _clocks(ask: Asker, card: Any) -> dict[str, Any]:
    return {
        "clock_sm_mhz": ask("nvmlDeviceGetClockInfo", of=(card, CLOCK_SM)),
        "clock_sm_max_mhz": ask("nvmlDeviceGetMaxClockInfo", of=(card, CLOCK_SM)),
        "clock_memory_mhz": ask("nvmlDeviceGetClockInfo", of=(card, CLOCK_MEMORY)),
        "clock_memory_max_mhz": ask("nvmlDeviceGetMaxClockInfo", of=(card, CLOCK_MEMORY)),
        "performance_state": ask("nvmlDeviceGetPerformanceState", "nvmlDeviceGetPowerState", of=(card,)),
        "temperature_c": ask("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature", of=(card, SENSOR_GPU)),
        "temperature_slowdown_c": ask("nvmlDeviceGetTemperatureThreshold", of=(card, THRESHOLD_SLOWDOWN)),
        "temperature_max_c": ask("nvmlDeviceGetTemperatureThreshold", of=(card, THRESHOLD_GPU_MAX)),
        "temperature_margin_c": ask("nvmlDeviceGetMarginTemperature", of=(card,)),
        "fan_percent": ask("nvmlDeviceGetFanSpeed", of=(card,)),
        "event_reasons": ask(
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
            of=(card,),
            pick=event_reasons,
        ),
    }


def event_reasons(mask: int) -> list[str]:
    """Return the names of the reasons for which a card's clocks are where they are; unknown bits stay visible."""
    known = [name for bit, name in EVENT_REASONS.items() if mask & bit]
    unknown = mask & ~sum(EVENT_REASONS)
    return [*known, f"unknown_{unknown:#x}"] if unknown else known


def _text(answer: Any) -> str:
    """Return text; older bindings answer with bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)


def _masked(answer: Any) -> str:
    """Return a stand-in for a card's identifier: the same card gives the same, and the document may travel."""
    return f"GPU-{fingerprint.digest(_text(answer))}"


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _bus_id(text: str) -> str:
    """Return NVML's bus address (``00000000:01:00.0``) as the kernel writes it (``0000:01:00.0``)."""
    domain, _, rest = text.partition(":")
    return f"{int(domain, 16):04x}:{rest}".lower()


def _pci_id(number: int) -> str:
    """Return ``10de:2bb1`` from NVML's 0x2BB110DE."""
    return f"{number & 0xFFFF:04x}:{number >> 16:04x}"


def _thousandth(number: int) -> float:
    return round(number / 1000, 1)
