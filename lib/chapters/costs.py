"""Chapter 99: what a million output tokens costs, from this run's throughput and power and the owner's own prices.

What the owner did not state or this run did not measure is put in by nobody: then there is no price, and a check that
names the field to fill or the chapter to run.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from lib.core import display
from lib.core.chapter import Chapter, Weights
from lib.core.evidence import AnyRecord, Check, Measurement, Scalar
from lib.core.sections import Costs, Profile
from lib.engine.power import price

ALLOW = "sudo .venv/bin/python -m lib run --profile {profile} --set power.may_change_limit=true"
TARIFFS = ("currency", "tariff_day", "tariff_night")
HOURS = ("night_from_h", "night_until_h")


class Work(NamedTuple):
    """The card at one power limit while it writes: tokens a second and W, each with its interval."""

    limit_w: int
    rate: Measurement
    draw: Measurement


class Priced(NamedTuple):
    """What the chapter worked out."""

    checks: tuple[Check, ...]
    figures: tuple[Measurement, ...]


def bill(profile: Profile) -> display.Html:
    """Show the bill of materials as the owner lists it; a price that he did not state stays open."""
    wanted = profile.costs
    rows = [
        {
            "Part": part.what,
            "Pieces": str(part.count),
            "Use": part.use,
            "Price of one": "not stated" if part.price is None else f"{display.number(part.price)} {wanted.currency}",
        }
        for part in wanted.parts.values()
    ]
    return display.table(rows, "Bill of materials, as the owner lists it", numeric=["Pieces"])


def record(chapter: Chapter) -> Priced:
    """Work out the costs of this run and record them, with the checks that say what is missing."""
    profile = chapter.profile
    measured = works(chapter.earlier("power."))
    figures: list[Measurement] = []
    for work in measured:
        known = work.rate.provenance
        weights: Weights = known.weights
        figures += chapter.record(*_of(profile, work), model=known.model, weights=weights)
    figures += chapter.record(*_total(profile.costs))
    return Priced(chapter.record(*_checks(profile, measured)), tuple(figures))


def works(records: Sequence[AnyRecord]) -> list[Work]:
    """Return the power limits at which this run measured both tokens a second and power while the card wrote."""
    found: dict[str, dict[int, Measurement]] = {"power.output_throughput": {}, "power.draw_w": {}}
    for one in records:
        if isinstance(one, Measurement) and one.name in found and one.conditions.get("phase") == "decode":
            found[one.name][int(str(one.conditions["limit_w"]))] = one
    rates, draws = found.values()
    return [Work(limit, rates[limit], draws[limit]) for limit in sorted(rates.keys() & draws.keys(), reverse=True)]


def missing(costs: Costs, fields: Sequence[str]) -> list[str]:
    """Return which fields of the section the owner has not filled."""
    return [f"costs.{name}" for name in fields if getattr(costs, name) in (None, "")]


def _of(profile: Profile, work: Work) -> Iterator[Measurement]:
    costs = profile.costs
    beside = costs.beside_card_w or 0.0
    where = "card and machine" if costs.beside_card_w is not None else "card alone"
    load: dict[str, Scalar] = {"limit_w": work.limit_w, "concurrency": profile.power.concurrency}
    about = {**load, "power": where}
    if not missing(costs, TARIFFS):
        for name, tariff in (("day", costs.tariff_day or 0.0), ("night", costs.tariff_night or 0.0)):
            yield _energy(costs, work, beside, tariff, {"tariff": name, **about})
    if not missing(costs, (*TARIFFS, *HOURS)):
        yield _day(costs, work, beside, about)
    total = _price_of_parts(costs)
    if total is not None and costs.years:
        yield Measurement(
            name="cost.parts_per_million",
            title="Parts in a million output tokens",
            value=round(price.parts(total, costs.years, work.rate.value), 6),
            unit=costs.currency,
            n=work.rate.n,
            interval=_ends(price.parts(total, costs.years, rate) for rate in _span(work.rate)),
            method=f"derived: the parts' price over {costs.years:g} years of this throughput without a pause",
            conditions=load,
        )


def _energy(costs: Costs, work: Work, beside: float, tariff: float, about: dict[str, Scalar]) -> Measurement:
    return Measurement(
        name="cost.energy_per_million",
        title="Energy of a million output tokens",
        value=round(price.energy(work.draw.value + beside, work.rate.value, tariff), 6),
        unit=costs.currency,
        n=work.rate.n,
        interval=_ends(
            price.energy(draw + beside, rate, tariff) for draw, rate in product(_span(work.draw), _span(work.rate))
        ),
        method=f"derived: power over throughput, at {tariff:g} {costs.currency} a kWh"
        + (f"; {beside:g} W beside the card, by the owner's meter" if beside else ""),
        conditions=about,
    )


def _day(costs: Costs, work: Work, beside: float, about: dict[str, Scalar]) -> Measurement:
    night = price.night_hours(costs.night_from_h or 0, costs.night_until_h or 0)
    tariffs = costs.tariff_day or 0.0, costs.tariff_night or 0.0
    return Measurement(
        name="cost.energy_per_day",
        title="Energy of a day of this load without a pause",
        value=round(price.day(work.draw.value + beside, *tariffs, night), 4),
        unit=costs.currency,
        n=work.draw.n,
        interval=_ends(price.day(draw + beside, *tariffs, night) for draw in _span(work.draw)),
        method=f"derived: {price.HOURS - night} hours by day and {night} at night",
        conditions=about,
    )


def _total(costs: Costs) -> Iterator[Measurement]:
    total = _price_of_parts(costs)
    if total is not None:
        pieces = sum(part.count for part in costs.parts.values())
        yield Measurement(
            name="cost.parts",
            title="All parts",
            value=total,
            unit=costs.currency,
            method=f"derived: the owner's prices of {pieces} pieces",
        )


def _price_of_parts(costs: Costs) -> float | None:
    """Return the price of all parts; None where one is not stated."""
    prices = [None if part.price is None else part.price * part.count for part in costs.parts.values()]
    known = [one for one in prices if one is not None]
    return sum(known) if known and len(known) == len(prices) and costs.currency else None


def _checks(profile: Profile, measured: Sequence[Work]) -> Iterator[Check]:
    costs = profile.costs
    limits = ", ".join(f"{work.limit_w} W" for work in measured)
    untold = "this run measured no power while tokens were written; a rated power is put in its place by nobody"
    yield _check(
        "power",
        "Power and throughput were measured together",
        bool(measured),
        "both, at one power limit at least (chapter 06)",
        f"at {limits}" if measured else untold,
        "where the card is yours and nobody else uses it:\n" + ALLOW.format(profile=profile.name),
    )
    if profile.hardware == "cpu":
        return
    yield _stated(profile, "tariff", "The owner's tariff of electricity", missing(costs, (*TARIFFS, *HOURS)))
    unpriced = [f"costs.parts.{name}.price" for name, part in costs.parts.items() if part.price is None]
    unpriced += [] if costs.parts else ["costs.parts"]
    yield _stated(
        profile, "prices", "The owner's prices of the parts", [*unpriced, *missing(costs, ("currency", "years"))]
    )


def _stated(profile: Profile, name: str, title: str, fields: Sequence[str]) -> Check:
    words = " ".join(f"--set {field}=VALUE" for field in fields)
    return _check(
        name,
        title,
        not fields,
        "stated in the profile, section costs",
        f"not stated: {', '.join(fields)}" if fields else "stated",
        f"python -m lib run --profile {profile.name} {words}\nor, to keep them: runbook/profiles/{profile.name}.yml, "
        "section costs; only this chapter runs again",
    )


def _check(name: str, title: str, good: bool, expected: str, observed: str, fix: str) -> Check:
    return Check(
        name=f"cost.{name}",
        title=title,
        status="pass" if good else "skip",
        expected=expected,
        observed=observed,
        fix=fix,
    )


def _span(measured: Measurement) -> tuple[float, ...]:
    """Return the ends of an interval that lie above zero, or the value itself."""
    ends = tuple(end for end in measured.interval or () if end > 0)
    return ends if len(ends) == 2 else (measured.value,)


def _ends(values: Iterator[float]) -> tuple[float, float] | None:
    listed = [round(value, 6) for value in values]
    return (min(listed), max(listed)) if len(listed) > 1 else None
