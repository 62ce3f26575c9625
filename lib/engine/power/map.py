"""The sweep over power limits, its figures, and the limit that follows from them."""

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from lib.core.evidence import Check, Decision, Measurement, Scalar
from lib.core.sections import Gpu, PowerMap
from lib.engine.bench import stats
from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.power import sample
from lib.engine.power.sample import Draw, Sampler
from lib.host import power_curve
from lib.host.power_card import Card
from lib.host.power_limit import Borrowed

Phase = Literal["prefill", "decode"]
# What one phase keeps short, so that the other hardly counts.
SHORT_ANSWER, SHORT_PROMPT = 2, 32
Load = Callable[[str, Sequence[Point]], list[Result]]


class Cell(NamedTuple):
    """One phase at one limit in one round: tokens a second, tokens, and what the card did meanwhile."""

    limit_w: int
    phase: Phase
    rate: float
    tokens: int
    draw: Draw
    result: Result


def phases(wanted: PowerMap) -> dict[Phase, Point]:
    """Return the load of each phase."""
    return {
        "prefill": Point(wanted.concurrency, wanted.prefill_tokens, SHORT_ANSWER),
        "decode": Point(wanted.concurrency, SHORT_PROMPT, wanted.decode_tokens),
    }


def sweep(card: Card, limit: Borrowed, wanted: PowerMap, load: Load) -> list[Cell]:
    """Measure both phases at every limit, rounds alternately down and up: what warms up meanwhile meets all alike.

    Parameters
    ----------
    card, limit
        The card, and the right to change its limit.
    wanted : PowerMap
        Limits, rounds, loads.
    load : callable
        Given a name and points, puts that load on the engine and returns its results; none when it failed, which ends
        the sweep.

    Raises
    ------
    LimitError
        A limit is refused or does not hold.
    """
    found: list[Cell] = []
    down = sorted(set(wanted.limits_w), reverse=True)
    for number in range(wanted.repeats):
        for limit_w in down if number % 2 == 0 else reversed(down):
            limit.set(limit_w)
            time.sleep(wanted.settle_s)
            with Sampler(card) as sampler:
                results = load(f"{limit_w}w-{number + 1}", list(phases(wanted).values()))
            if not results:
                return []
            for phase, result in zip(phases(wanted), results, strict=True):
                found.append(_cell(limit_w, phase, result, sampler))
    return found


def measurements(cells: Sequence[Cell]) -> list[Measurement]:
    """Return speed, tokens a joule, power, temperature and clock of every limit and phase, over the rounds."""
    order = dict.fromkeys((cell.limit_w, cell.phase) for cell in sorted(cells, key=lambda cell: -cell.limit_w))
    return [one for limit_w, phase in order for one in _at(cells, limit_w, phase)]


def throttling(cells: Sequence[Cell]) -> Check:
    """Check that nothing but the power cap slowed the card down."""
    seen: dict[str, set[int]] = {}
    for cell in cells:
        for reason in cell.draw.reasons:
            seen.setdefault(reason, set()).add(cell.limit_w)
    trouble = {reason: limits for reason, limits in seen.items() if reason in sample.TROUBLE}
    told = "; ".join(f"{reason} at {', '.join(map(str, sorted(limits)))} W" for reason, limits in sorted(seen.items()))
    return Check(
        name="power.throttle",
        title="Nothing but the power cap slowed the card down",
        status="warn" if trouble else "pass",
        expected="no clock-event reason of heat or of the supply under load",
        observed=told or "no reason at any limit",
        fix="heat: clean the filters, raise the fans, or lower the limit; hw_power_brake_slowdown or hw_slowdown: look "
        "at the 12V-2x6 plug and the supply",
        source="https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",
    )


def in_a_warm_room(found: Sequence[Measurement], wanted: PowerMap) -> list[Measurement]:
    """Return the temperatures of the warmest room, derived: the card stays as much above the room as it was."""
    if wanted.room_now_c is None:
        return []
    warmer = wanted.room_c - wanted.room_now_c
    return [
        Measurement(
            name="power.temperature_warm_c",
            title=f"Hottest in a room of {wanted.room_c:g} °C",
            value=round(m.value + warmer, 1),
            unit="°C",
            n=m.n,
            method=f"derived: measured in a room of {wanted.room_now_c:g} °C, and {warmer:+g} °C",
            conditions=m.conditions,
        )
        for m in found
        if m.name == "power.temperature_c"
    ]


def decide(found: Sequence[Measurement], wanted: PowerMap, card: Gpu | None) -> Decision:
    """Recommend the smallest limit that costs at most the accepted share of speed, if the card stays cool enough."""
    left = {limit: _left(found, limit) for limit in sorted({_limit(m) for m in found})}
    enough = [limit for limit, share in left.items() if share >= 1 - wanted.loss]
    # With noise, or phases that peak at different limits, none may hold: then the one that costs least.
    chosen = min(enough) if enough else max(left, key=lambda limit: left[limit])
    heat = {limit: max(_at_limit(found, "power.temperature_warm_c", limit), default=0.0) for limit in left}
    warn = card.temperature_warn_c if card else 0.0
    known = wanted.room_now_c is not None and warn > 0
    cool = [limit for limit in left if heat[limit] < warn]
    too_hot = known and chosen not in cool
    if too_hot and cool:
        chosen = max(cool, key=lambda limit: left[limit])
    lost = 1 - left[chosen]
    reason = f"It costs {max(lost, 0):.1%} of the speed of the best limit in the phase that suffers most"
    reason += "" if too_hot else f"; no smaller one that was measured costs at most {wanted.loss:.0%}"
    if known:
        reason += (
            f". In a room of {wanted.room_c:g} °C it would reach {heat[chosen]:.0f} °C (derived), "
            f"{warn - heat[chosen]:.0f} °C below the {warn:g} °C at which the profile warns; "
            "short runs do not reach the last degrees, so confirm it with an hour of load"
        )
    else:
        reason += f". Whether it is cool enough at {wanted.room_c:g} °C is not known: set power.room_now_c"
    if too_hot:
        reason += ". The limit that speed alone asks for is too hot" if cool else ". Every measured limit is too hot"
    published = f"published for the {power_curve.CARD}: {power_curve.cost(chosen)}; its author recommends 450 to 500 W"
    return Decision(
        name="power.limit",
        choice=f"{chosen} W" if cool or not known else f"{chosen} W, and better cooling",
        reason=f"{reason}. For comparison, {published} ({power_curve.MMBT}).",
        evidence=sorted({m.name for m in found}),
        alternatives=[f"{limit} W: {share:.1%} of the best speed" for limit, share in left.items() if limit != chosen],
    )


def _cell(limit_w: int, phase: Phase, result: Result, sampler: Sampler) -> Cell:
    """Return one cell; the file that vLLM wrote at the end of the run tells when that was."""
    run, end = result.runs[0], result.files[0].stat().st_mtime
    end = min(end, sampler.readings[-1].time)
    begin = max(end - float(run["duration"]), sampler.readings[0].time)
    tokens = int(run["total_input_tokens" if phase == "prefill" else "total_output_tokens"])
    draw = sample.over(sampler.readings, begin, end)
    return Cell(limit_w, phase, tokens / float(run["duration"]), tokens, draw, result)


def _at(cells: Sequence[Cell], limit_w: int, phase: Phase) -> list[Measurement]:
    here = [cell for cell in cells if (cell.limit_w, cell.phase) == (limit_w, phase)]
    speed = "power.output_throughput" if phase == "decode" else "power.prefill_throughput"
    word = "Output" if phase == "decode" else "Prompt"
    by = here[0].draw.energy_by
    told: list[tuple[str, str, list[float | None], str, str]] = [
        (speed, f"{word} tokens a second", [cell.rate for cell in here], "tok/s", "vLLM's benchmark client"),
        (
            "power.tokens_per_joule",
            f"{word} tokens a joule",
            [cell.tokens / cell.draw.energy_j for cell in here if cell.draw.energy_j],
            "tok/J",
            f"vLLM's benchmark client; {by}",
        ),
        ("power.draw_w", "Power drawn", [cell.draw.power_w for cell in here], "W", f"mean of the run; {by}"),
        ("power.clock_mhz", "SM clock", [cell.draw.clock_mhz for cell in here], "MHz", "NVML, mean of the run"),
        (
            "power.temperature_c",
            "Hottest",
            [cell.draw.temperature_c for cell in here],
            "°C",
            "NVML, hottest of the run",
        ),
    ]
    return [
        _measurement(name, title, known, unit, method, {"limit_w": limit_w, "phase": phase})
        for name, title, values, unit, method in told
        if len(known := [value for value in values if value is not None and value > 0]) == len(here)
    ]


def _measurement(
    name: str, title: str, values: list[float], unit: str, method: str, conditions: dict[str, Scalar]
) -> Measurement:
    mean = stats.estimate(values)
    return Measurement(
        name=name,
        title=title,
        value=round(mean.mean, 3),
        unit=unit,
        n=mean.n,
        interval=(round(mean.low, 3), round(mean.high, 3)),
        method=f"{method}; {stats.METHOD.format(n=mean.n)}",
        conditions=conditions,
    )


def _limit(measurement: Measurement) -> int:
    return int(str(measurement.conditions["limit_w"]))


def _at_limit(found: Sequence[Measurement], name: str, limit_w: int) -> list[float]:
    return [m.value for m in found if m.name == name and _limit(m) == limit_w]


def _left(found: Sequence[Measurement], limit_w: int) -> float:
    """Return the share of the best speed that is left at a limit, in the phase that suffers most."""
    shares = []
    for name in ("power.output_throughput", "power.prefill_throughput"):
        best = max((m.value for m in found if m.name == name), default=0.0)
        shares += [value / best for value in _at_limit(found, name, limit_w)]
    return min(shares)
