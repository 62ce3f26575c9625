"""What is made of the times of streams, and what is said about a fault."""

from typing import Any, get_args

import pytest

from lib.core.evidence import Check, Measurement
from lib.core.sections.bastion import FaultName
from lib.edge import faults, tax


def stream(first: float, each: float, text: str = "once", error: str = "", finish: str = "length") -> dict[str, Any]:
    times = [first + each * number for number in range(8)]
    return {"text": text, "times": times, "seconds": times[-1], "finish": finish, "error": error}


def pairs(added_first: float, added_each: float) -> tax.Streams:
    direct = [stream(0.100 + 0.01 * number, 0.020) for number in range(6)]
    through = [stream(0.100 + 0.01 * number + added_first, 0.020 + added_each) for number in range(6)]
    return tax.Streams(direct, through)


def test_the_tax_is_the_paired_difference() -> None:
    found = pairs(0.003, 0.0005)
    first, each = tax.first(found, {"path_delay_ms": 0}), tax.each(found, {"path_delay_ms": 0})
    assert (first.name, each.name) == ("bastion.ttft_tax_ms", "bastion.tpot_tax_ms")
    assert first.value == pytest.approx(3)
    assert each.value == pytest.approx(0.5)
    assert first.baseline == pytest.approx(125)
    assert first.n == 6
    assert first.interval is not None
    assert first.interval[0] <= first.value <= first.interval[1]
    assert first.provenance.where == "lab"


@pytest.mark.parametrize(("added", "status"), [(0.0, "pass"), (0.004, "pass"), (0.006, "fail")])
def test_buffering_would_be_seen(added: float, status: str) -> None:
    told, verdict = tax.gap(pairs(0, added), {})
    assert told.value == pytest.approx(1000 * added, abs=1e-6)
    assert verdict.status == status


def test_a_pause_that_noise_may_explain_is_a_warning() -> None:
    direct = [stream(0.1, 0.020) for _ in range(5)]
    through = [stream(0.1, 0.020 + added) for added in (0.000, 0.001, 0.006, 0.050, 0.060)]
    told, verdict = tax.gap(tax.Streams(direct, through), {})
    assert told.interval is not None
    assert told.interval[0] <= tax.GAP_LIMIT_MS < told.value
    assert verdict.status == "warn"


def test_the_client_must_get_the_same_text_whole() -> None:
    good = pairs(0, 0)
    assert tax.answered(good).status == "pass"
    other = tax.Streams(good.direct, [*good.through[:-1], stream(0.1, 0.02, text="twice")])
    assert (tax.answered(other).status, tax.answered(other).observed) == ("fail", "6 whole, 5 the same")
    cut = tax.Streams(good.direct, [*good.through[:-1], stream(0.1, 0.02, finish="")])
    assert tax.answered(cut).status == "fail"


class OneClient:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def ask(self, do: str, **more: Any) -> Any:
        return {"seconds": self.seconds, "pieces": more["tokens"] * more["requests"], "errors": []}


def both(direct: float, through: float) -> Any:
    return tax.Pair(OneClient(direct), OneClient(through))  # type: ignore[arg-type]


def test_throughput_is_told_as_a_share_of_direct() -> None:
    told = tax.throughput(both(1.0, 1.25), {"path_delay_ms": 0}, 8, 16)
    assert (told.value, told.unit, told.conditions["concurrency"]) == (0.8, "", 8)


def seen(name: str, recovery: float | None, error: str, finish: str = "") -> faults.Seen:
    fault = next(one for one in faults.FAULTS if one.name == name)
    return faults.Seen(fault, recovery, ["APITimeoutError"] * 2, stream(0.1, 0.02, error=error, finish=finish))


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (seen("vps_reboot", 4.2, "APIConnectionError"), "pass"),
        (seen("vps_reboot", None, "APIConnectionError"), "fail"),
        (seen("vps_reboot", 0.0, "", "length"), "pass"),
        (seen("vps_reboot", 1.0, "", ""), "fail"),  # looks whole and is not
        (seen("tunnel_cut", 3.0, "", "length"), "pass"),
        (seen("tunnel_cut", 3.0, "APIConnectionError"), "fail"),  # this one a stream has to survive
    ],
)
def test_a_fault_is_judged_by_recovery_and_by_the_stream(what: faults.Seen, status: str) -> None:
    verdict, *measured = faults.records(what, 30)
    assert isinstance(verdict, Check)
    assert (verdict.name, verdict.status) == (f"bastion.fault.{what.fault.name}", status)
    assert "2 requests failed first" in verdict.observed
    assert [one.value for one in measured if isinstance(one, Measurement)] == (
        [] if what.recovery_s is None else [what.recovery_s]
    )


def test_the_profile_names_every_fault() -> None:
    assert list(get_args(FaultName)) == [fault.name for fault in faults.FAULTS]
