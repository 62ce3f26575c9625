"""Cards: there is none here, so an endpoint says what dcgm-exporter says of one. Each fault has a card of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.deploy.monitor.targets import Job
from lib.resilience.monitor.drill import Drill, Scene
from lib.resilience.monitor.scenes.exporter import Recorded, job

CARD = '{gpu="0",modelName="NVIDIA RTX PRO 6000 Blackwell Workstation Edition"}'
WELL = {
    "DCGM_FI_DEV_GPU_TEMP": 64,
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": 4,
    "DCGM_FI_DEV_XID_ERRORS": 0,
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": 0,
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": 0,
    "DCGM_FI_DEV_FB_FREE": 7600,
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": 450,
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": 3,
    "DCGM_FI_DEV_POWER_USAGE": 431,
    "DCGM_FI_DEV_FB_USED": 90200,
    "DCGM_FI_DEV_SM_CLOCK": 2310,
    "DCGM_FI_DEV_GPU_UTIL": 97,
}


class Fault(NamedTuple):
    """What a card says when something is wrong; None: it says that no more."""

    alert: str
    words: str
    ill: Mapping[str, float | None]


FAULTS = (
    Fault("GpuHot", "the card heats up to 88 °C", {"DCGM_FI_DEV_GPU_TEMP": 88}),
    Fault("GpuThrottled", "hardware thermal slowdown", {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS": 0x44}),
    Fault("GpuXid", "Xid 79: the card falls off the bus", {"DCGM_FI_DEV_XID_ERRORS": 79}),
    Fault("GpuProgramFault", "Xid 31: a program's page fault", {"DCGM_FI_DEV_XID_ERRORS": 31}),
    Fault("GpuMemoryError", "two bits of a word flip", {"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": 1}),
    Fault("GpuMemoryWornOut", "no spare row is left", {"DCGM_FI_DEV_ROW_REMAP_FAILURE": 1}),
    Fault("GpuMemoryFull", "a second program takes the card's memory", {"DCGM_FI_DEV_FB_FREE": 40}),
    Fault("GpuPowerLimitLost", "the power limit is forgotten", {"DCGM_FI_DEV_POWER_MGMT_LIMIT": 600}),
    Fault("GpuPcieErrors", "packets on PCIe are sent again", {"DCGM_FI_DEV_PCIE_REPLAY_COUNTER": 4003}),
    Fault("GpuLost", "the driver shows no card", dict.fromkeys(WELL)),
)


def scenes() -> list[Scene]:
    """Return a scene for each fault of a card."""
    return [Card(fault) for fault in FAULTS]


class Card:
    """A card with one fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.name = f"card-{fault.alert.lower()}"
        self.exporter = Recorded({name + CARD: value for name, value in WELL.items()})

    def open(self, folder: Path) -> None:  # noqa: ARG002 - it has no files
        """Open the endpoint."""
        self.exporter.open()

    def close(self) -> None:
        """Close it."""
        self.exporter.close()

    def jobs(self) -> Sequence[Job]:
        """Return the endpoint."""
        return [job("gpu", self.exporter.port, self.name)]

    def drills(self) -> Sequence[Drill]:
        """Let the fault happen, and the card be replaced."""
        return [Drill((self.fault.alert,), self.fault.words, self._fall_ill, self._recover, "recorded")]

    def _fall_ill(self) -> None:
        ill = {name + CARD: value for name, value in self.fault.ill.items()}
        merged: dict[str, float | None] = {**self.exporter.series, **ill}
        self.exporter.series = {name: value for name, value in merged.items() if value is not None}

    def _recover(self) -> None:
        # A counter does not go back: a replay counter stays where it is, and no longer grows.
        kept = {name: value for name, value in self.exporter.series.items() if "REPLAY" in name}
        self.exporter.series = {**{name + CARD: value for name, value in WELL.items()}, **kept}
