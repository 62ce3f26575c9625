"""What a host with a UPS gets: its password is made there, and every file is as planned with the password in it."""

from collections.abc import Iterator
from pathlib import Path

import here
import pytest

from lib.core import profile as profiles
from lib.deploy import concerns, power
from lib.deploy.resources import Secret
from lib.deploy.site import Site
from lib.deploy.target import Target
from lib.deploy.ups.filled import MARK, Filled


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    yield from here.target(tmp_path, monkeypatch)


@here.as_root
def test_a_file_is_filled_on_the_host_and_seen_as_planned(target: Target, tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "upsd.users"
    made = Secret(str(secret), make="printf abc-123_x")
    filled = Filled(str(path), f"password = {MARK}\nagain = {MARK}\n", mode="640", secret=str(secret))
    assert target.run(filled.look).strip() == "absent"
    target.run(made.act)
    target.run(filled.act)
    assert path.read_text() == "password = abc-123_x\nagain = abc-123_x\n"
    assert target.run(filled.look).strip() == filled.wanted
    path.write_text("password = abc-123_x\n")
    assert target.run(filled.look).strip() != filled.wanted


def test_without_a_ups_there_is_nothing_of_nut() -> None:
    assert power.resources(Site(profiles.load("embedded"), "home", "home")) == []
    assert power.probes(Site(profiles.load("embedded"), "home", "home")) == []


def test_no_password_travels_and_no_key_is_twice() -> None:
    found = power.resources(Site(profiles.load("rtx-pro-6000"), "home", "home"))
    keys = [resource.key for resource in found]
    assert len(keys) == len(set(keys))
    filled = [resource for resource in found if isinstance(resource, Filled)]
    assert len(filled) == 2
    assert all(MARK in resource.content for resource in filled)


def test_a_twin_gets_nuts_own_stand_in() -> None:
    twin = power.resources(Site(profiles.load("rtx-pro-6000"), "home", "home", lab=True))
    assert [resource.key for resource in twin if resource.key == f"file {power.STAGED}"]
    host = power.resources(Site(profiles.load("rtx-pro-6000"), "home", "home"))
    assert not [resource.key for resource in host if resource.key == f"file {power.STAGED}"]


def test_nuts_account_is_made_before_its_packages_and_so_goes_with_them() -> None:
    """The packages keep an account that they found; one that they made stays behind when they go."""
    first = concerns.things(concerns.registry()[0], Site(profiles.load("rtx-pro-6000"), "home", "home"))
    *accounts, packages = [resource.key for resource in first]
    assert "account nut" in accounts
    assert {"nut-client", "nut-server"} <= set(packages.split())
