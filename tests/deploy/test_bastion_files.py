"""The bastion's files: rendered from the profile, complete, without a secret, and as strict as they say."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.core import profile, secrets
from lib.core.errors import RunbookError
from lib.core.sections.bastion import Acme, Bastion
from lib.deploy.bastion import files

KEY = "A" * 43 + "="


@pytest.fixture(scope="module")
def bastion() -> Bastion:
    return profile.load("embedded").bastion


def known(bastion: Bastion) -> dict[str, str]:
    everybody = [*bastion.gates, *bastion.homes]
    return dict.fromkeys([one.name for one in everybody], KEY)


def gate(bastion: Bastion) -> dict[str, files.File]:
    return {file.path: file for file in files.gate(bastion, bastion.gates[0], known(bastion))}


def home(bastion: Bastion) -> dict[str, files.File]:
    return {file.path: file for file in files.home(bastion, bastion.homes[0], known(bastion))}


def test_no_file_holds_a_secret(bastion: Bastion, tmp_path: Path) -> None:
    for number, file in enumerate([*gate(bastion).values(), *home(bastion).values()]):
        (tmp_path / str(number)).write_text(file.content)
    assert list(secrets.scan(tmp_path)) == []
    assert gate(bastion)[files.WIREGUARD].mode == home(bastion)[files.WIREGUARD].mode == 0o600


def test_a_key_that_is_not_known_yet_is_named(bastion: Bastion) -> None:
    with pytest.raises(RunbookError, match="the public WireGuard key of home2 is not known"):
        files.gate(bastion, bastion.gates[0], {name: KEY for name in known(bastion) if name != "home2"})


def test_every_peer_has_one_address(bastion: Bastion) -> None:
    for side in (gate(bastion), home(bastion)):
        allowed = re.findall(r"AllowedIPs = (.*)", side[files.WIREGUARD].content)
        assert allowed
        assert all(re.fullmatch(r"10\.66\.0\.\d+/32", one) for one in allowed)
    assert "ListenPort" not in home(bastion)[files.WIREGUARD].content, "home dials out"


def test_every_error_of_nginx_has_openais_shape(bastion: Bastion) -> None:
    text = gate(bastion)[files.NGINX].content
    bodies = re.findall(r"return (\d+) '(\{.*?\})';", text)
    assert {int(code) for code, _ in bodies} >= set(files.REPLIES)
    for code, body in bodies:
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == int(code)
    routed = {int(code) for code in re.findall(r"error_page (\d+) =", text)}
    assert routed == set(files.REPLIES) | set(files.ALIASES)


def test_each_path_of_the_profile_has_its_own_place_on_both_sides(bastion: Bastion) -> None:
    changed = bastion.model_copy(update={"paths_post": ["/v1/chat/completions"], "paths_get": ["/v1/models"]})
    for side in (gate(changed), home(changed)):
        text = side[files.NGINX].content
        places = set(re.findall(r"location = (/v1\S*)", text))
        assert places == {"/v1/chat/completions", "/v1/models"}
        assert all(f"{path};" in text for path in places), "proxy_pass with a written path"
    guarded = re.findall(r"location = /v1\S* \{(.*?)\n        \}", gate(changed)[files.NGINX].content, re.S)
    assert len(guarded) == 2
    assert all("auth_request /_auth;" in block and "proxy_pass_request_headers off;" in block for block in guarded)


def test_the_second_home_is_a_spare(bastion: Bastion) -> None:
    text = gate(bastion)[files.NGINX].content
    spares = re.findall(r"server (10\.66\.\S+) .*?( backup)?;", text)
    assert [bool(spare) for _, spare in spares] == [False, True]


def test_firewalls_drop_what_they_do_not_name(bastion: Bastion) -> None:
    for side in (gate(bastion), home(bastion)):
        text = side[files.NFTABLES].content
        assert text.count("policy drop") == 2
    assert "ssh" not in gate(bastion)[files.NFTABLES].content
    opened = bastion.model_copy(update={"ssh_from": ["198.51.100.0/24"]})
    assert "ip saddr { 198.51.100.0/24 } tcp dport 22 accept" in gate(opened)[files.NFTABLES].content
    [tunnel] = [line for line in gate(bastion)[files.NFTABLES].content.splitlines() if "dport 22" in line]
    assert 'iifname "wg0"' in tunnel
    assert all(one.tunnel in tunnel for one in (*bastion.homes, *bastion.gates)), "no server opens SSH on another"


@pytest.mark.parametrize(("side", "path"), [(home, files.WATCHDOG), (gate, files.CERTIFICATE)])
def test_scripts_are_clean(
    bastion: Bastion, tmp_path: Path, side: Callable[[Bastion], dict[str, files.File]], path: str
) -> None:
    script = side(bastion)[path]
    assert script.mode == 0o755
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck")
    place = tmp_path / "script.sh"
    place.write_text(script.content)
    done = subprocess.run(["shellcheck", str(place)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_the_watchdog_looks_at_every_vps(bastion: Bastion) -> None:
    script = home(bastion)[files.WATCHDOG].content
    assert all(gate.tunnel in script and gate.address in script for gate in bastion.gates)


def test_the_authority_is_the_profiles(bastion: Bastion) -> None:
    usual = gate(bastion)[files.ACME].content
    assert 'CA="https://acme-v02.api.letsencrypt.org/directory"' in usual
    assert "CURL_OPTS" not in usual
    told = Acme(directory="https://ca.example:14000/dir", trust="/etc/ca.pem", contact="me@example.org")
    other = gate(bastion.model_copy(update={"acme": told}))[files.ACME].content
    assert 'CA="https://ca.example:14000/dir"' in other
    assert 'CURL_OPTS="--cacert /etc/ca.pem"' in other
    assert 'CONTACT_EMAIL="me@example.org"' in other


def test_each_vps_passes_on_what_the_others_are_asked(bastion: Bastion) -> None:
    text = gate(bastion)[files.NGINX].content
    assert f"server {bastion.gates[1].address}:80;" in text
    assert f"server {bastion.gates[0].address}:80;" not in text
    alone = gate(bastion.model_copy(update={"gates": bastion.gates[:1]}))[files.NGINX].content
    assert "elsewhere" not in alone
