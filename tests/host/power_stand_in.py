"""NVML for tests of the power limit: one card whose state is a file, so that several processes see the same card.

What it draws under load at a limit, and how fast it is, follows the published curve of `lib/host/power_curve.py`
(Qwen3.6-27B-AWQ-INT4, 32 streams, one RTX PRO 6000 Blackwell Workstation Edition, 2026-04-29):
https://github.com/Light-Heart-Labs/MMBT-Messy-Model-Bench-Tests/blob/ec660c1/hardware-tests/vllm-power-sweep-2026-04-29/findings.md
Temperature is made up: 30 °C of room, and 0.08 °C a watt. The functions have the names and units of `pynvml`.

The file (environment variable `STAND_IN_CARD`) is JSON: `limit_mw`, `range_mw`, `busy`, `refuse`, `stuck`, `broken`,
`extra_reasons`, and `sets`, every limit that was set so far.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIMITS_W = [300, 350, 400, 450, 500, 550, 600]
DRAWN_W = [298.7, 348.3, 398.5, 447.7, 497.5, 547.2, 573.0]
FRESH = {
    "limit_mw": 600_000,
    "range_mw": [150_000, 600_000],
    "busy": True,
    "refuse": 0,
    "stuck": False,
    "broken": [],
    "extra_reasons": 0,
    "sets": [],
    "energy_j": 1000.0,
    "energy_at": 0.0,
}
NVML_ERROR_NO_PERMISSION = 4
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NOT_SUPPORTED, INVALID_ARGUMENT = 3, 2
UUID = "GPU-stand-in"
ROOM_C, DEGREES_A_WATT = 30.0, 0.08
IDLE_W = 20.0
POWER_CAP = 0x4


class NVMLError(Exception):
    """As in `pynvml`: the number of the error is its `value`."""

    def __init__(self, value: int, text: str) -> None:
        super().__init__(text)
        self.value = value


def place() -> Path:
    return Path(os.environ["STAND_IN_CARD"])


def card() -> dict[str, Any]:
    return dict(json.loads(place().read_text()))


@contextmanager
def changed() -> Iterator[dict[str, Any]]:
    """Change the card's file, one process at a time."""
    with place().with_suffix(".card-lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = card()
        yield state
        fresh = place().with_suffix(".card-new")
        fresh.write_text(json.dumps(state))
        fresh.rename(place())


def draws(state: dict[str, Any]) -> float:
    """Return the power drawn, W: by the published curve under load, and never above the limit."""
    if not state["busy"]:
        return IDLE_W
    limit = float(state["limit_mw"]) / 1000
    below = [x for x in LIMITS_W if x <= limit] or LIMITS_W[:1]
    above = [x for x in LIMITS_W if x >= limit] or LIMITS_W[-1:]
    low, high = below[-1], above[0]
    share = 0.0 if high == low else (limit - low) / (high - low)
    at = DRAWN_W[LIMITS_W.index(low)] * (1 - share) + DRAWN_W[LIMITS_W.index(high)] * share
    return min(at, limit)


def _answer(name: str) -> dict[str, Any]:
    state = card()
    if name in state["broken"]:
        raise NVMLError(NOT_SUPPORTED, "Not Supported")
    return state


def nvmlInit() -> None:  # noqa: N802
    if "nvmlInit" in card()["broken"]:
        raise NVMLError(NVML_ERROR_LIBRARY_NOT_FOUND, "NVML Shared Library Not Found")


def nvmlDeviceGetHandleByIndex(index: int) -> str:  # noqa: N802
    return f"card {index}"


def nvmlDeviceGetHandleByUUID(uuid: str) -> str:  # noqa: N802
    if uuid != UUID:
        raise NVMLError(6, "Not Found")
    return "card 0"


def nvmlDeviceGetUUID(_: str) -> str:  # noqa: N802
    return UUID


def nvmlDeviceGetName(_: str) -> str:  # noqa: N802
    return "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"


def nvmlDeviceGetPowerManagementLimitConstraints(_: str) -> list[int]:  # noqa: N802
    return list(_answer("nvmlDeviceGetPowerManagementLimitConstraints")["range_mw"])


def nvmlDeviceGetPowerManagementLimit(_: str) -> int:  # noqa: N802
    return int(_answer("nvmlDeviceGetPowerManagementLimit")["limit_mw"])


def nvmlDeviceGetEnforcedPowerLimit(_: str) -> int:  # noqa: N802
    return int(_answer("nvmlDeviceGetEnforcedPowerLimit")["limit_mw"])


def nvmlDeviceSetPowerManagementLimit(_: str, limit_mw: int) -> None:  # noqa: N802
    with changed() as state:
        if state["refuse"]:
            raise NVMLError(state["refuse"], "Insufficient Permissions")
        low, high = state["range_mw"]
        if not low <= limit_mw <= high:
            raise NVMLError(INVALID_ARGUMENT, "Invalid Argument")
        _spend(state)
        state["sets"].append(limit_mw)
        if not state["stuck"]:
            state["limit_mw"] = limit_mw


def nvmlDeviceGetPowerUsage(_: str) -> int:  # noqa: N802
    return round(1000 * draws(_answer("nvmlDeviceGetPowerUsage")))


def nvmlDeviceGetTemperature(_: str, _sensor: int) -> int:  # noqa: N802
    return round(ROOM_C + DEGREES_A_WATT * draws(_answer("nvmlDeviceGetTemperature")))


def nvmlDeviceGetClockInfo(_: str, kind: int) -> int:  # noqa: N802
    drawn = draws(_answer("nvmlDeviceGetClockInfo"))
    return 13_365 if kind == 2 else round(1000 + 3 * drawn)


def nvmlDeviceGetTotalEnergyConsumption(_: str) -> int:  # noqa: N802
    _answer("nvmlDeviceGetTotalEnergyConsumption")
    with changed() as state:
        _spend(state)
        return round(1000 * float(state["energy_j"]))


def nvmlDeviceGetCurrentClocksEventReasons(_: str) -> int:  # noqa: N802
    state = _answer("nvmlDeviceGetCurrentClocksEventReasons")
    capped = POWER_CAP if state["limit_mw"] < 600_000 and state["busy"] else 0
    return int(capped | state["extra_reasons"])


def _spend(state: dict[str, Any]) -> None:
    """Count the energy since the last look."""
    now = time.time()
    state["energy_j"] += draws(state) * (now - state["energy_at"]) if state["energy_at"] else 0
    state["energy_at"] = now
