"""Ways to change a model: what was measured stays, what was not follows from a rate, or is not known."""

import pytest

from lib.core.evidence import Measurement
from lib.engine.models import catalogue, sizes
from lib.engine.swap import ways

SMALL, LARGE = catalogue.get("qwen3-30b-a3b"), catalogue.get("gpt-oss-120b")
RATIO = sizes.weight_bytes(LARGE) / sizes.weight_bytes(SMALL)


def measured(value: float, name: str = "swap.first_token_seconds", **conditions: str | int) -> Measurement:
    return Measurement(name=name, value=value, unit="s", conditions=conditions)


def test_what_moves_weights_grows_with_them_and_the_rest_does_not() -> None:
    assert ways.derive(LARGE, SMALL, 10.0, 10.0) == pytest.approx(10 * RATIO)
    assert ways.derive(LARGE, SMALL, 60.0, 20.0) == pytest.approx(40 + 20 * RATIO)
    assert ways.derive(SMALL, SMALL, 60.0, 20.0) == pytest.approx(60)


def test_measured_derived_and_not_known() -> None:
    found = [
        measured(9.0, way="sleep", level=1, model=SMALL.name, time="first"),
        measured(2.0, way="sleep", level=1, model=SMALL.name, time="later"),
        measured(60.0, way="restart", source="disk", model=SMALL.name),
        measured(70.0, way="restart", source="page_cache", model=LARGE.name),
    ]
    loads = [measured(20.0, "swap.weights_seconds", way="restart", source="disk", model=SMALL.name)]
    told = {(f.model, f.way): f for f in ways.table([SMALL, LARGE], found, loads)}
    assert told[SMALL.name, "sleep 1"] == (SMALL.name, "sleep 1", 2.0, "measured", "")
    asleep = told[LARGE.name, "sleep 1"]
    assert (asleep.origin, asleep.seconds) == ("derived", pytest.approx(2 * RATIO))
    assert "GiB/s of qwen3-30b-a3b" in asleep.basis
    cold = told[LARGE.name, "restart cold"]
    assert (cold.origin, cold.seconds) == ("derived", pytest.approx(40 + 20 * RATIO))
    assert "40.0 s that do not depend on the size" in cold.basis
    assert told[LARGE.name, "restart warm"].origin == "measured"
    assert told[SMALL.name, "restart warm"] == (SMALL.name, "restart warm", None, "not known", "")
    assert told[SMALL.name, "sleep 2"].origin == "not known"


def test_every_model_has_every_way() -> None:
    assert len(ways.table([SMALL, LARGE], [])) == 2 * len(ways.WAYS)
