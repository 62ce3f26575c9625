"""What a card did while it was loaded: sampled beside the load, cut to the seconds that count."""

import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np

from lib.host.power_card import Reading

PERIOD_S = 0.2
# Reasons to slow down that are no power cap: heat, or a supply that asks for less.
TROUBLE = ("hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")


class Reads(Protocol):
    """What is sampled."""

    def read(self) -> Reading:
        """Return what the card does now."""
        ...


class Draw(NamedTuple):
    """A card over some seconds: mean W, hottest °C, mean SM clock MHz, energy J and how it was got, reasons seen.

    What the card does not tell is None.
    """

    power_w: float | None
    temperature_c: float | None
    clock_mhz: float | None
    energy_j: float | None
    energy_by: str
    reasons: list[str]


class Sampler:
    """Reads a card in a thread of its own until it is left.

    Parameters
    ----------
    card : Reads
        Is asked.
    period_s : float
        Seconds between readings.
    """

    def __init__(self, card: Reads, period_s: float = PERIOD_S) -> None:
        self.readings: list[Reading] = []
        self._card, self._period = card, period_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="power-sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        self.readings.append(self._card.read())
        while not self._end.wait(self._period):
            self.readings.append(self._card.read())
        self.readings.append(self._card.read())


def over(readings: Sequence[Reading], begin: float, end: float) -> Draw:
    """Return what the card did between two moments (s since 1970).

    The energy comes from the card's own counter, between its readings by a straight line; where it has none, from the
    power drawn, which NVML smooths: on an H100, over 6 s of products from idle, that gave 7 % less than the counter.

    Raises
    ------
    ValueError
        The readings do not cover the time, or it is empty.
    """
    if not readings or begin >= end or begin < readings[0].time or end > readings[-1].time:
        raise ValueError(f"{len(readings)} readings do not cover the time from {begin} to {end}")
    inside = [one for one in readings if begin <= one.time <= end]
    energy, method = _energy(readings, begin, end)
    return Draw(
        power_w=None if energy is None else energy / (end - begin),
        temperature_c=max(_known(inside, "temperature_c"), default=None),
        clock_mhz=float(np.mean(clocks)) if (clocks := _known(inside, "clock_sm_mhz")) else None,
        energy_j=energy,
        energy_by=method,
        reasons=sorted({reason for one in inside for reason in one.reasons}),
    )


def _energy(readings: Sequence[Reading], begin: float, end: float) -> tuple[float | None, str]:
    counted = [(one.time, one.energy_j) for one in readings if one.energy_j is not None]
    if len(counted) == len(readings):
        times, joules = zip(*counted, strict=True)
        before, after = np.interp([begin, end], times, joules)
        return float(after - before), "the card's energy counter"
    drawn = [(one.time, one.power_w) for one in readings if one.power_w is not None]
    if len(drawn) < 2:
        return None, ""
    times, watts = zip(*drawn, strict=True)
    cut = np.concatenate([[begin], [t for t in times if begin < t < end], [end]])
    return float(np.trapezoid(np.interp(cut, times, watts), cut)), "power drawn, integrated"


def _known(readings: Sequence[Reading], field: str) -> list[float]:
    return [value for one in readings if (value := getattr(one, field)) is not None]
