"""What a million tokens cost: energy by measured power and throughput, parts by the owner's prices.

Prices are in the owner's currency, whichever it is; a tariff is the price of one kWh.
"""

J_PER_KWH = 3.6e6
MILLION = 1e6
HOURS = 24
SECONDS_A_YEAR = 365.25 * 86400


def energy(power_w: float, rate: float, tariff: float) -> float:
    """Return the price of the energy of a million tokens.

    Parameters
    ----------
    power_w : float
        Mean power while the tokens are made, W.
    rate : float
        Tokens a second, more than zero.
    tariff : float
        Price of one kWh.

    Raises
    ------
    ValueError
        The rate is not more than zero.
    """
    _positive(rate, "tokens a second")
    return power_w / rate * MILLION / J_PER_KWH * tariff


def parts(price: float, years: float, rate: float) -> float:
    """Return the share of the parts' price in a million tokens, if the machine works at this rate all the time.

    Parameters
    ----------
    price : float
        Of all parts together.
    years : float
        Over which they are written off.
    rate : float
        Tokens a second, more than zero.

    Raises
    ------
    ValueError
        Years or rate are not more than zero.
    """
    _positive(rate, "tokens a second")
    _positive(years, "years")
    return price / (years * SECONDS_A_YEAR * rate) * MILLION


def night_hours(begins: int, ends: int) -> int:
    """Return how many hours of a day are night, from the hour at which it begins to that at which it ends.

    Both the same: the night lasts the whole day.
    """
    return (ends - begins) % HOURS or HOURS


def day(power_w: float, tariff_day: float, tariff_night: float, night: int) -> float:
    """Return the price of the energy of 24 hours at this power (W), `night` of them at the night's tariff."""
    return power_w / 1000 * ((HOURS - night) * tariff_day + night * tariff_night)


def _positive(value: float, what: str) -> None:
    if value <= 0:
        raise ValueError(f"{what} must be more than zero, not {value}")
