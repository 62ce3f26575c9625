"""The ladder for heat: a lower power limit first, then fewer requests, then no engine; back one step at a time."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from lib.core.sections import Watchdog

Level = Literal["cool", "capped", "shedding", "stopped"]
Trend = Literal["hotter", "same", "cooler"]
HeatAction = Literal["cap", "uncap", "shed", "admit", "stop", "start"]
LEVELS: tuple[Level, ...] = get_args(Level)
TRENDS: tuple[Trend, ...] = get_args(Trend)


class Rung(NamedTuple):
    """What follows from a trend: the next level, and what is done."""

    next: Level
    do: tuple[HeatAction, ...] = ()


LADDER: dict[tuple[Level, Trend], Rung] = {
    ("cool", "hotter"): Rung("capped", ("cap",)),
    ("cool", "same"): Rung("cool"),
    ("cool", "cooler"): Rung("cool"),
    ("capped", "hotter"): Rung("shedding", ("shed",)),
    ("capped", "same"): Rung("capped"),
    ("capped", "cooler"): Rung("cool", ("uncap",)),
    ("shedding", "hotter"): Rung("stopped", ("stop",)),
    ("shedding", "same"): Rung("shedding"),
    ("shedding", "cooler"): Rung("capped", ("admit",)),
    ("stopped", "hotter"): Rung("stopped"),
    ("stopped", "same"): Rung("stopped"),
    ("stopped", "cooler"): Rung("shedding", ("start",)),
}


@dataclass(frozen=True)
class Heat:
    """Where the ladder stands, and since when the card is hot or cool without a break; steady clock, s."""

    level: Level = "cool"
    hot_since: float | None = None
    cool_since: float | None = None


class HeatStep(NamedTuple):
    """What a reading led to."""

    heat: Heat
    do: tuple[HeatAction, ...]


def limit(level: Level, settings: Watchdog) -> float:
    """Return the temperature that leads to the next step up, °C."""
    return {"cool": settings.cap_c, "capped": settings.shed_c}.get(level, settings.stop_c)


def step(heat: Heat, temperature_c: float | None, settings: Watchdog, now: float) -> HeatStep:
    """Return what follows from a reading; without one everything stays as it is, and its times begin anew."""
    hot = temperature_c is not None and temperature_c >= limit(heat.level, settings)
    cool = temperature_c is not None and temperature_c <= settings.cool_c
    seen = replace(
        heat,
        hot_since=(now if heat.hot_since is None else heat.hot_since) if hot else None,
        cool_since=(now if heat.cool_since is None else heat.cool_since) if cool else None,
    )
    trend: Trend = "same"
    if seen.hot_since is not None and now - seen.hot_since >= settings.hot_s:
        trend = "hotter"
    elif seen.cool_since is not None and now - seen.cool_since >= settings.calm_s:
        trend = "cooler"
    rung = LADDER[heat.level, trend]
    # After a step its times begin anew: each rung is given time to work.
    return HeatStep(seen if rung.next == heat.level else Heat(rung.next), rung.do)


def rows(settings: Watchdog) -> list[dict[str, str]]:
    """Return the ladder for the document."""
    up = {"cool": "lower power limit", "capped": "refuse new requests", "shedding": "stop the engine"}
    down = {"capped": "usual power limit", "shedding": "admit requests", "stopped": "start the engine"}
    return [
        {
            "At": level,
            "one step up when": f"{limit(level, settings):g} °C for {settings.hot_s:g} s" if level in up else "-",
            "which means": up.get(level, "-"),
            "one step back when": f"{settings.cool_c:g} °C for {settings.calm_s:g} s" if level in down else "-",
            "and that": down.get(level, "-"),
        }
        for level in LEVELS
    ]
