"""The gateway's unit and compose entry: rendered from a profile, and read by the tools that will read them."""

import pytest

from lib.core import profile as profiles
from lib.gateway import service


@pytest.fixture(params=["embedded", "rtx-pro-6000"])
def described(request: pytest.FixtureRequest) -> service.Service:
    return service.service(profiles.load(request.param))


def test_the_tools_find_no_fault(described: service.Service) -> None:
    found = service.verify(described)
    assert [check.name for check in found] == [
        "gateway.unit.verify",
        "gateway.unit.exposure",
        "gateway.compose.schema",
    ]
    assert {check.status for check in found} <= {"pass", "skip"}, [check.observed for check in found]


def test_a_fault_is_found(described: service.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = service.unit(described)
    monkeypatch.setattr(service, "unit", lambda _: whole.replace("Restart=on-failure", "Restart=sometimes"))
    monkeypatch.setattr(service, "compose", lambda _: "services: 7")
    checks = {check.name: check.status for check in service.verify(described)}
    assert checks["gateway.unit.verify"] in ("fail", "skip")
    assert checks["gateway.compose.schema"] in ("fail", "skip")


def test_no_key_stands_in_them_and_only_this_machine_is_reached(described: service.Service) -> None:
    text = service.unit(described) + service.compose(described)
    assert "rb_" not in text
    assert "IPAddressDeny=any" in text
    assert f"--profile {described.profile}" in text
