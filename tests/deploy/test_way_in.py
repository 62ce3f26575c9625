"""The bastion as a concern: every file in its place, in an order that can be started, with no key in any text."""

from typing import Any

import pytest

from lib.core import profile
from lib.core.errors import RunbookError
from lib.core.sections.hosts import HostRole
from lib.deploy.bastion import files, tunnel, way_in
from lib.deploy.resources import Account, File, Folder, Kernel, Packages, Resource, Secret, Unit
from lib.deploy.site import Site

KEY = "A" * 43 + "="
SHARED = "B" * 43 + "="


def site(role: HostRole, host: str = "", hosts: dict[str, Any] | None = None, **told: Any) -> Site:
    values = {"hosts": {name: {"role": one} for name, one in (hosts or {}).items()}}
    return Site(profile.load("embedded", values), host or role, role, **told)


def met(role: HostRole) -> Site:
    names = ["home", "home2"] if role == "vps" else ["vps", "vps2"]
    shared = dict.fromkeys(names, SHARED) if role == "home" else {}
    return site(role, public_keys=dict.fromkeys(names, KEY), preshared=shared)


def everything(found: Site) -> list[Resource]:
    return [*tunnel.resources(found), *way_in.resources(found)]


@pytest.mark.parametrize("role", ["home", "vps"])
def test_before_the_other_side_is_known_only_the_ground_is_laid(role: HostRole) -> None:
    alone = site(role)
    assert way_in.resources(alone) == []
    assert any(isinstance(item, Packages) for item in tunnel.resources(alone))
    assert [probe.name for probe in way_in.probes(alone)] == ["introduced"]


@pytest.mark.parametrize("role", ["home", "vps"])
def test_every_rendered_file_is_deployed_as_it_is(role: HostRole) -> None:
    found = met(role)
    place, bastion = tunnel.here(found), tunnel.known(found)
    render: Any = files.gate if role == "vps" else files.home
    deployed = {item.path: item for item in everything(found) if isinstance(item, File)}
    for rendered in render(bastion, place, found.public_keys):
        item = deployed[way_in.FIREWALL if rendered.path == files.NFTABLES else rendered.path]
        assert (item.content, int(item.mode, 8)) == (rendered.content, rendered.mode)


@pytest.mark.parametrize("role", ["home", "vps"])
def test_what_is_read_comes_before_what_reads_it(role: HostRole) -> None:
    ready = {"/etc/wireguard", "/etc/nginx", "/etc/systemd/system", "/etc", "/var/lib", "/opt"}
    accounts = {"root"}
    for item in everything(met(role)):
        if isinstance(item, Folder):
            assert item.path.rpartition("/")[0] in ready, item.path
            ready.add(item.path)
        elif isinstance(item, File | Secret):
            assert item.path.rpartition("/")[0] in ready, item.path
            assert item.owner in accounts
            ready.add(item.path)
        elif isinstance(item, Account):
            accounts.add(item.name)
        elif isinstance(item, Unit):
            assert set(item.reads) <= ready, item.key


@pytest.mark.parametrize("role", ["home", "vps"])
def test_what_the_tunnels_driver_sets_is_recorded_before_it_comes_up(role: HostRole) -> None:
    """Undo goes backwards: the tunnel ends first, and then the kernel's value is what it was."""
    items = everything(met(role))
    (value,) = [at for at, item in enumerate(items) if isinstance(item, Kernel)]
    (tunnel_up,) = [at for at, item in enumerate(items) if item.key == "unit wg-quick@wg0.service"]
    assert (items[value].key, items[value].wanted) == (f"kernel {way_in.REDIRECTS}", "0")
    assert value < tunnel_up


@pytest.mark.parametrize("role", ["home", "vps"])
def test_no_shared_secret_is_shown(role: HostRole) -> None:
    found = met(role)
    assert SHARED not in repr(found)
    for item in everything(found):
        if isinstance(item, File) and SHARED in item.content:
            assert item.private
            assert item.mode == "600"
        else:
            assert SHARED not in repr(item)
        assert SHARED not in " ".join((item.look, item.wanted, item.restore, item.differs, *item.commands))


def test_a_home_knows_a_vps_only_with_both_keys() -> None:
    assert not tunnel.introduced(site("home", public_keys={"vps": KEY}))
    assert tunnel.introduced(site("home", public_keys={"vps": KEY}, preshared={"vps": SHARED}))
    text = {item.path: item.content for item in way_in.resources(met("home")) if isinstance(item, File)}
    assert text[files.WIREGUARD].count("[Peer]") == 2


def test_a_vps_is_given_only_machines_that_have_a_key() -> None:
    found = site("vps", public_keys={"home": KEY})
    text = {item.path: item.content for item in way_in.resources(found) if isinstance(item, File)}
    assert text[files.WIREGUARD].count("[Peer]") == 1
    assert "10.66.0.11" not in text[files.NGINX]


def test_the_owners_keys_are_deployed_and_none_are_made_up() -> None:
    mine = site("vps", public_keys={"home": KEY}, keys='{"schema": 1, "keys": [1]}')
    file = next(item for item in way_in.resources(mine) if item.key == f"file {files.KEYS}")
    assert isinstance(file, File)
    assert (file.private, file.mode, file.owner) == (True, "600", way_in.AUTH_USER)
    none = next(item for item in way_in.resources(met("vps")) if item.key == f"secret {files.KEYS}")
    assert isinstance(none, Secret)
    assert '"keys": []' in none.make


@pytest.mark.parametrize("hosts", [{"home": "home"}, {"vps": "vps"}])
def test_with_one_end_there_is_no_way_in(hosts: dict[str, str]) -> None:
    role: Any = next(iter(hosts))
    assert everything(site(role, hosts=hosts)) == []
    assert way_in.probes(site(role, hosts=hosts)) == []


def test_hosts_and_machines_are_matched_by_name_or_for_want_of_another() -> None:
    both = {"server": "home", "door": "vps"}
    assert tunnel.here(site("vps", "door", both)).name == "vps"
    assert tunnel.names(site("vps", "door", both)) == {"home": "server"}
    more = {"server": "home", "door": "vps", "vps2": "vps"}
    assert tunnel.here(site("vps", "vps2", more)).name == "vps2"
    with pytest.raises(RunbookError, match=r"bastion\.gates has no 'vsp'") as caught:
        tunnel.here(site("vps", "vsp", more | {"vsp": "vps"}))
    assert caught.value.nearest == "vps"


@pytest.mark.parametrize("role", ["home", "vps"])
def test_every_probe_can_fail(role: HostRole) -> None:
    import re

    probes = way_in.probes(met(role))
    assert len({probe.name for probe in probes}) == len(probes) >= 5
    for probe in probes:
        assert not re.fullmatch(probe.expected, ""), "no answer is no good answer"
