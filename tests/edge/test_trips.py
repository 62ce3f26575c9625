"""A small request through the bastion: when it is measured again, what is judged, and what a slow way is called."""

from collections.abc import Iterator
from typing import Any

import pytest

from lib.core import processor
from lib.edge import tax, trips


class OneClient:
    """A client whose requests take the next of the given times, one for each series."""

    def __init__(self, *seconds: float) -> None:
        self.asked = 0
        self.seconds = seconds

    def ask(self, do: str, **more: Any) -> list[float]:
        assert do == "trips"
        series = self.asked // trips.ROUNDS
        self.asked += 1
        return [self.seconds[series]] * int(more["times"])


def both(direct: float, *through: float) -> Any:
    return tax.Pair(OneClient(*[direct] * len(through)), OneClient(*through))  # type: ignore[arg-type]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the host take these shares of the processor time, one for each series."""

    def takes(*shares: float) -> None:
        def read() -> Iterator[processor.Spent]:
            stolen = 0.0
            for number, share in enumerate(shares):
                yield processor.Spent(stolen, 100.0 * number)
                stolen += 100 * share
                yield processor.Spent(stolen, 100.0 * (number + 1))

        readings = read()
        monkeypatch.setattr(processor, "spent", lambda: next(readings))

    return takes


@pytest.mark.parametrize(("through", "status"), [(0.0019, "pass"), (0.0021, "fail")])
def test_a_small_request_may_take_twice_as_long(through: float, status: str, host: Any) -> None:
    host(0.0)
    told, verdict = trips.measure(both(0.001, through), {"path_delay_ms": 0})
    assert [(one.conditions["way"], one.value) for one in told] == [("direct", 1.0), ("through", through * 1000)]
    assert all(one.n == trips.TRIPS and one.conditions["path_delay_ms"] == 0 for one in told)
    assert verdict.status == status
    assert verdict.observed.endswith("0.0 % of the processor time taken by the host, series measured: 1")


def test_what_the_host_disturbed_is_measured_again(host: Any) -> None:
    host(0.1, 0.05, 0.0)
    told, verdict = trips.measure(both(0.001, 0.004, 0.003, 0.0018), {})
    assert (told[1].value, verdict.status) == (1.8, "pass")
    assert verdict.observed.endswith("series measured: 3")


def test_a_slow_way_is_no_excuse_once_the_host_is_calm(host: Any) -> None:
    host(0.1, 0.001)
    told, verdict = trips.measure(both(0.001, 0.004, 0.003), {})
    assert (told[1].value, verdict.status) == (3.0, "fail")


def test_where_the_host_never_leaves_it_alone_that_is_said(host: Any) -> None:
    host(0.1, 0.02, 0.3, 0.2)
    told, verdict = trips.measure(both(0.001, 0.004, 0.003, 0.009, 0.008), {})
    assert (told[1].value, verdict.status) == (3.0, "warn"), "the least disturbed series is judged"
    assert "2.0 % of the processor time taken by the host, series measured: 4" in verdict.observed


def test_within_the_limit_nothing_is_repeated(host: Any) -> None:
    host(0.3)
    assert trips.measure(both(0.001, 0.0015), {})[1].status == "pass"
