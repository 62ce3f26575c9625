"""What differs: states, what was begun, and units whose files are replaced under them."""

import pytest

from lib.core import profile
from lib.deploy import plan, record
from lib.deploy.concerns import PACKAGES, concerns, things
from lib.deploy.resources import Account, File, Packages, Resource, Unit
from lib.deploy.site import Site

FILE = File("/etc/x", "x\n")
READER = Unit("x.service", reads=("/etc/x",))
OTHER = Unit("y.service", reads=("/etc/y",))


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the states by key, to be set; what is not set is as wanted."""
    states: dict[str, str] = {}
    monkeypatch.setattr(record, "unfinished", lambda _: [])
    monkeypatch.setattr(
        plan, "look", lambda _, items: [states.get(item.key, item.wanted) for item in items]
    )  # fmt: skip
    return states


def keys(*items: Resource) -> list[str]:
    found = plan.different(None, [("c", item) for item in items])  # type: ignore[arg-type]
    return [one.resource.key for one in found]


def test_what_is_as_wanted_does_not_differ(there: dict[str, str]) -> None:
    assert keys(FILE, READER, OTHER) == []


def test_a_unit_differs_when_a_file_that_it_reads_is_replaced(there: dict[str, str]) -> None:
    there[FILE.key] = "absent"
    assert keys(FILE, READER, OTHER) == [FILE.key, READER.key]


def test_what_was_begun_differs(there: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "unfinished", lambda _: [OTHER.key])
    assert keys(FILE, READER, OTHER) == [OTHER.key]


@pytest.mark.parametrize("role", ["home", "vps"])
def test_all_packages_come_first_and_once_each_with_its_reason(role: str) -> None:
    site = Site(profile.load("embedded"), role, role)  # type: ignore[arg-type]
    first, *others = concerns(site)
    *accounts, packages = things(first, site)
    assert first.name == PACKAGES
    assert all(isinstance(item, Account) for item in accounts)
    assert isinstance(packages, Packages)
    assert {"nginx", "unattended-upgrades", "wireguard-tools"} <= set(packages.names)
    assert "unattended-upgrades`: Security updates" in packages.about.reason
    assert not [item for one in others for item in things(one, site) if isinstance(item, Packages)]


def test_packages_that_are_held_come_by_themselves() -> None:
    site = Site(profile.load("rtx-pro-6000"), "home", "home")
    held = [item for one in concerns(site) for item in things(one, site) if isinstance(item, Packages) and item.hold]
    assert len(held) == 1
    assert not set(held[0].names) & set(things(concerns(site)[0], site)[-1].key.split())
