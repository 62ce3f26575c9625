"""What changing from one model to another takes, by way: measured, or derived from that. Pure functions."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from lib.core.evidence import Measurement
from lib.engine.models.catalogue import Model
from lib.engine.models.sizes import GIB, weight_bytes

Way = Literal["restart cold", "restart warm", "sleep 1", "sleep 2"]
WAYS: tuple[Way, ...] = ("restart cold", "restart warm", "sleep 1", "sleep 2")
MEASURED_AS: dict[Way, dict[str, object]] = {
    "restart cold": {"way": "restart", "source": "disk"},
    "restart warm": {"way": "restart", "source": "page_cache"},
    "sleep 1": {"way": "sleep", "level": 1},
    "sleep 2": {"way": "sleep", "level": 2},
}


class Figure(NamedTuple):
    """Seconds from the request for a model to its first token, and where the number comes from."""

    model: str
    way: Way
    seconds: float | None
    origin: Literal["measured", "derived", "not known"]
    basis: str = ""


def table(models: Sequence[Model], found: Sequence[Measurement], loads: Sequence[Measurement] = ()) -> list[Figure]:
    """Return every model × way: measured where it was, else derived from another model that was, else not known.

    Parameters
    ----------
    models : sequence of Model
        What takes turns.
    found : sequence of Measurement
        `swap.first_token_seconds` of this run.
    loads : sequence of Measurement, optional
        `swap.weights_seconds`: the part of a restart that grows with the weights.
    """
    pairs = [(model, way) for model in models for way in WAYS]
    return [_measured(model, way, found) or _derived(model, way, models, found, loads) for model, way in pairs]


def derive(model: Model, other: Model, total: float, moving: float) -> float:
    """Return the seconds of a model that did not run, from one that did.

    Parameters
    ----------
    model, other : Model
        The model asked for, and the one that was measured.
    total, moving : float
        Seconds that the other took, and how many of them went into moving its weights: only these grow.
    """
    return total - moving + moving * weight_bytes(model) / weight_bytes(other)


def _measured(model: Model, way: Way, found: Sequence[Measurement]) -> Figure | None:
    seconds = _seconds(model, way, found)
    return None if seconds is None else Figure(model.name, way, seconds, "measured")


def _derived(
    model: Model, way: Way, models: Sequence[Model], found: Sequence[Measurement], loads: Sequence[Measurement]
) -> Figure:
    for other in models:
        total = _seconds(other, way, found)
        # Sleeping and waking is nothing but moving weights; of a restart, the engine's log says how much is.
        moving = total if way.startswith("sleep") else _seconds(other, way, loads)
        if total is None or not moving:
            continue
        rate = weight_bytes(other) / GIB / moving
        told = f"{weight_bytes(model) / GIB:.1f} GiB at the {rate:.2g} GiB/s of {other.name}"
        rest = f", and {total - moving:.1f} s that do not depend on the size" if moving < total else ""
        return Figure(model.name, way, derive(model, other, total, moving), "derived", told + rest)
    return Figure(model.name, way, None, "not known")


def _seconds(model: Model, way: Way, found: Sequence[Measurement]) -> float | None:
    """Return the value of a model's way; where it was repeated, the later one, which no longer pays for the first."""
    wanted = MEASURED_AS[way].items()
    values = [m.value for m in found if m.conditions.get("model") == model.name and wanted <= m.conditions.items()]
    return values[-1] if values else None
