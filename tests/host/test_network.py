"""Network interfaces: a wired link, fast enough, without errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import Changed, box, embedded, fuzz, named, owner

from lib.host import network

WIRED = "/sys/class/net/enp9s0"


def changed(**files: str | None) -> Changed:
    return Changed(owner(), files={f"{WIRED}/{name.replace('__', '/')}": text for name, text in files.items()})


def test_the_owners_interfaces() -> None:
    found = network.look(owner())
    assert [str(interface) for interface in found] == ["enp9s0 (r8169): 1000 Mbit/s", "wlp10s0 (mt7925e): down"]
    assert [interface.wireless for interface in found] == [False, True]
    assert {check.status for check in network.checks(owner(), box())} == {"pass"}


@pytest.mark.parametrize(
    ("speed", "status"), [("1000\n", "pass"), ("2500\n", "pass"), ("100\n", "warn"), ("-1\n", "pass"), (None, "pass")]
)
def test_a_gigabit_card_that_agrees_on_less_has_a_bad_cable(speed: str | None, status: str) -> None:
    check = named(network.checks(changed(speed=speed), box()), "hardware.network.link")
    assert check.status == status
    assert "cable" in check.fix


def test_only_wireless_is_a_warning() -> None:
    host = Changed(owner(), files={f"{WIRED}/operstate": "down\n", "/sys/class/net/wlp10s0/operstate": "up\n"})
    check = named(network.checks(host, box()), "hardware.network.link")
    assert check.status == "warn"
    assert "wireless" in check.observed


@pytest.mark.parametrize(("errors", "status"), [("0", "pass"), ("10", "pass"), ("20", "pass"), ("60", "warn")])
def test_errors_are_judged_by_how_many_packets_there_were(errors: str, status: str) -> None:
    check = named(network.checks(changed(statistics__rx_errors=errors), box()), "hardware.network.errors")
    assert check.status == status


def test_a_container_has_only_virtual_interfaces() -> None:
    assert [(check.name, check.status) for check in network.checks(Changed(), embedded())] == [
        ("hardware.network.link", "skip")
    ]


def test_no_address_is_looked_at() -> None:
    asked: list[str] = []

    class Listening(Changed):
        def read(self, path: str) -> str | None:
            asked.append(path)
            return super().read(path)

    network.checks(Listening(owner()), box())
    assert asked
    assert not [path for path in asked if path.endswith(("/address", "/broadcast"))]


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(["operstate", "speed", "uevent", "device/uevent", "statistics/rx_packets"]), st.text()
    )
)
def test_garbage_never_raises(files: dict[str, str]) -> None:
    host = Changed(owner(), files={f"{WIRED}/{name}": text for name, text in files.items()})
    assert network.checks(host, box())
