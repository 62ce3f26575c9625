"""A card whose power limit may be set, and what it does at a moment: NVML with a setter, in one place."""

import importlib
import time
from typing import Any, NamedTuple

from lib.core.errors import RunbookError
from lib.host import nvml

HOLDS_WITHIN_S = 10.0
TICK_S = 0.05
# A limit is whole milliwatts, but some drivers round.
ROUNDING_W = 1.0
NOT_ALLOWED = (
    "only root may change a power limit; the same command with sudo:\n"
    "sudo .venv/bin/python -m lib run --profile PROFILE --only 06 --set power.may_change_limit=true"
)


class LimitError(RunbookError):
    """A power limit cannot be read, set or held."""


class Reading(NamedTuple):
    """A card at one moment: when (s since 1970), W, °C, MHz, J since the driver came, names of clock-event reasons.

    What a card does not tell is None; without reasons the list is empty.
    """

    time: float
    power_w: float | None
    temperature_c: float | None
    clock_sm_mhz: float | None
    clock_memory_mhz: float | None
    energy_j: float | None
    reasons: list[str]


class Card:
    """One card of this machine, by its place in NVML's list.

    Parameters
    ----------
    index : int
        Place in the list.
    library : module, optional
        What to ask instead of `pynvml`.

    Raises
    ------
    LimitError
        No driver, no such card, or a card whose limit cannot be read.
    """

    def __init__(self, index: int = 0, library: Any = None) -> None:
        self.library = importlib.import_module("pynvml") if library is None else library
        try:
            self.library.nvmlInit()
            self._handle = self.library.nvmlDeviceGetHandleByIndex(index)
            self.uuid = str(self.library.nvmlDeviceGetUUID(self._handle))
            self.name = str(self.library.nvmlDeviceGetName(self._handle))
            low, high = self.library.nvmlDeviceGetPowerManagementLimitConstraints(self._handle)
            self.range_w = (low / 1000, high / 1000)
            self._limit()
        except self.library.NVMLError as error:
            raise LimitError(
                f"the card's power limit cannot be read: {error}", fix="python -m lib run --only 02  (the driver)"
            ) from error

    @property
    def limit_w(self) -> float:
        """The power limit that is set, W."""
        return self._limit() / 1000

    def impossible(self, limits_w: list[int]) -> list[int]:
        """Return those of some limits that this card does not accept."""
        low, high = self.range_w
        return [limit for limit in limits_w if not low <= limit <= high]

    def read(self) -> Reading:
        """Return what the card does now; each query stands alone."""
        return Reading(
            time.time(),
            self._ask("nvmlDeviceGetPowerUsage", scale=1000),
            self._ask("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature", more=(nvml.SENSOR_GPU,)),
            self._ask("nvmlDeviceGetClockInfo", more=(nvml.CLOCK_SM,)),
            self._ask("nvmlDeviceGetClockInfo", more=(nvml.CLOCK_MEMORY,)),
            self._ask("nvmlDeviceGetTotalEnergyConsumption", scale=1000),
            nvml.event_reasons(
                int(
                    self._ask("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
                    or 0
                )
            ),
        )

    def set(self, limit_mw: int) -> None:
        """Set the limit and wait until the card says that it holds.

        Raises
        ------
        LimitError
            Refused, or not held.
        """
        try:
            self.library.nvmlDeviceSetPowerManagementLimit(self._handle, limit_mw)
        except self.library.NVMLError as error:
            refused = getattr(error, "value", None) == self.library.NVML_ERROR_NO_PERMISSION
            raise LimitError(
                f"{limit_mw / 1000:g} W was refused: {error}",
                fix=NOT_ALLOWED if refused else "nvidia-smi -q -d POWER  (which limits the card accepts)",
            ) from error
        deadline = time.monotonic() + HOLDS_WITHIN_S
        while abs(self._held() - limit_mw) > 1000 * ROUNDING_W:
            if time.monotonic() > deadline:
                raise LimitError(
                    f"{limit_mw / 1000:g} W was set and {self._held() / 1000:g} W are in force",
                    fix="nvidia-smi -q -d POWER  (another limit of the board, its cable or its supply is lower)",
                )
            time.sleep(TICK_S)

    def _limit(self) -> int:
        return int(self.library.nvmlDeviceGetPowerManagementLimit(self._handle))

    def _held(self) -> int:
        """Return the limit in force, mW: the lowest of all that bind the card."""
        in_force = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        return self._limit() if in_force is None else int(in_force)

    def _ask(self, *names: str, more: tuple[int, ...] = (), scale: float = 1) -> float | None:
        answer = nvml.Asker(self.library)(*names, of=(self._handle, *more))
        return None if answer is None else float(answer) / scale
