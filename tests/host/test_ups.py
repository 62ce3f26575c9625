"""The UPS: whether NUT answers, its state, and whether it can carry the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import FORBIDDEN, MISSING, Changed, box, embedded, fuzz, named, owner

from lib.host import ups
from lib.host.probe import Output

SAID = owner().run("upsc", "ups").out
REFUSED = Output(1, "", "Init SSL without certificate database\nError: Connection failure: Connection refused\n")


def state(text: str) -> ups.Check:
    return named(ups.checks(Changed(owner(), commands={"upsc ups": text}), box()), "hardware.ups")


def test_the_owners_ups_answers() -> None:
    check = state(SAID)
    assert check.status == "pass"
    assert check.observed == "CP1500EPFCLCD CRJB103.551, status OL, 19 % load, 100 % charged, 2640 s left"


@pytest.mark.parametrize(
    ("status", "verdict", "seen"),
    [
        ("OL CHRG", "pass", "OL CHRG"),
        ("OL BOOST", "pass", "OL BOOST"),
        ("OB DISCHRG", "fail", "on battery"),
        ("OB LB", "fail", "battery low"),
        ("OL RB", "fail", "battery needs replacing"),
        ("OL OVER", "fail", "overloaded"),
        ("WAIT", "warn", "WAIT"),
    ],
)
def test_states(status: str, verdict: str, seen: str) -> None:
    check = state(SAID.replace("ups.status: OL", f"ups.status: {status}"))
    assert (check.status, seen in check.observed) == (verdict, True)


def test_a_ups_that_tells_nothing_is_a_warning() -> None:
    assert state("").status == "warn"


def test_900_watts_do_not_carry_both_cards_not_even_with_the_limit() -> None:
    check = named(ups.checks(owner(), box()), "hardware.ups.capacity")
    assert check.status == "fail"
    assert "1074 W" in check.expected
    assert "600 + 9070 XT 304 + processor 170" in check.expected
    assert "924 W" in check.fix
    assert "switches off at once" in check.fix


@pytest.mark.parametrize(("watts", "status"), [("1100", "pass"), ("1000", "warn"), ("950.00", "warn"), ("900", "fail")])
def test_capacity_between_the_limits_is_a_warning(watts: str, status: str) -> None:
    host = Changed(owner(), commands={"upsc ups": SAID.replace("nominal: 900", f"nominal: {watts}")})
    assert named(ups.checks(host, box()), "hardware.ups.capacity").status == status


def test_an_unknown_rating_is_a_skip() -> None:
    host = Changed(owner(), commands={"upsc ups": SAID.replace("ups.realpower.nominal: 900\n", "")})
    check = named(ups.checks(host, box()), "hardware.ups.capacity")
    assert check.status == "skip"
    assert "watts, not VA" in check.fix


def test_without_known_loads_there_is_nothing_to_compare() -> None:
    assert [check.name for check in ups.checks(owner(), embedded())] == ["hardware.ups"]


@pytest.mark.parametrize(
    ("said", "status", "fix"),
    [
        (MISSING, "skip", "sudo apt-get install nut-client"),
        (FORBIDDEN, "skip", "run as root"),
        (REFUSED, "warn", "nut-scanner"),
        (Output(0, ""), "warn", "nut-scanner"),
    ],
)
def test_an_expected_ups_that_does_not_answer(said: Output, status: str, fix: str) -> None:
    check = named(ups.checks(Changed(commands={"upsc": said}), box()), "hardware.ups")
    assert check.status == status
    assert fix in check.fix


@pytest.mark.parametrize("said", [MISSING, FORBIDDEN, REFUSED])
def test_an_unexpected_ups_that_does_not_answer_is_a_skip(said: Output) -> None:
    assert named(ups.checks(Changed(commands={"upsc": said}), embedded()), "hardware.ups").status == "skip"


@fuzz
@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    host = Changed(commands={"upsc -l": "ups\n", "upsc": text})
    assert ups.checks(host, box())


@fuzz
@given(st.sampled_from(["ups.realpower.nominal", "ups.status", "battery.runtime"]), st.text())
def test_garbage_in_a_variable_never_raises(variable: str, text: str) -> None:
    assert ups.checks(Changed(commands={"upsc -l": "ups\n", "upsc": f"{variable}: {text}\n"}), box())
