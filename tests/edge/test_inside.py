"""What the hosts wrote, and who reaches what: green as rendered, red without the defence."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
from removal import LOOSE_HOME, without
from scene import Scene

from lib.core.evidence import Check
from lib.deploy.bastion import files
from lib.edge import inside
from lib.edge.inside import Carried
from lib.edge.stage import Stage
from lib.lab.netns.twin import Twin

pytestmark = pytest.mark.lab

LISTENER = "import socket,time; s=socket.socket(); s.bind(('0.0.0.0', 4444)); s.listen(); time.sleep(120)"
ECHO = (
    "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 51820))\n"
    "while True:\n    s.sendto(b'hello', s.recvfrom(2048)[1])"
)
MASQUERADE = """\
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept
    oifname "eth0" masquerade
  }
}
"""
LOSSY = """\
table inet lossy {
  chain output {
    type filter hook output priority 300; policy accept
    oifname "wg0" numgen random mod 10 < 3 drop
  }
}
"""
LOG_FORMAT = "'$request_time $upstream_response_time $request_id'"


def failed(found: Iterable[Check]) -> set[str]:
    return {check.name.removeprefix("bastion.probe.") for check in found if check.status == "fail"}


def written(scene: Scene) -> set[str]:
    return failed(inside.logs(scene.stage, scene.aim, scene.held))


def taken_over(scene: Scene) -> set[str]:
    return failed(inside.engine_routes(scene.stage, scene.aim))


def test_all_are_green_as_rendered(scene: Scene) -> None:
    found = [
        *inside.logs(scene.stage, scene.aim, scene.held),
        *inside.engine_routes(scene.stage, scene.aim),
        *inside.scans(scene.stage),
    ]
    assert [check for check in found if check.status != "pass"] == []
    assert {check.name.removeprefix("bastion.probe.") for check in found} == SEEN_RED


NGINX: dict[str, tuple[tuple[str, str, str], Callable[[Scene], set[str]], set[str]]] = {
    "headers in the log": (
        ("gate", LOG_FORMAT, "'$request_time $http_authorization $request'"), written, {"log.no_key", "log.no_query"}
    ),
    "bodies in the log": (("gate", LOG_FORMAT, "'$request_time $request_body'"), written, {"log.no_prompt"}),
    "the client's own headers": (
        ("gate", "proxy_set_header X-Client-Id $client_id;", "proxy_set_header X-Client-Id $http_x_client_id;"),
        written,
        {"header.client_id"},
    ),
    "home's list of paths": (
        ("home", "location / { return 404; }", LOOSE_HOME),
        taken_over,
        {"home.routes_from_gate", "home.paths_from_gate"},
    ),
}  # fmt: skip
OPEN_HOSTS = {
    "ports.gate", "ports.router", "ports.home_from_gate", "ports.gate_from_home", "home.tunnel_address",
    "home.lan_address", "home.lan_from_gate", "home.from_peer",
}  # fmt: skip
SEEN_RED = OPEN_HOSTS | {"ports.wireguard_silent", "files.secrets"}.union(*(names for *_, names in NGINX.values()))


@pytest.mark.parametrize(("removed", "ask", "names"), NGINX.values(), ids=list(NGINX))
def test_a_line_of_nginx_that_is_gone_is_seen(
    scene: Scene, removed: tuple[str, str, str], ask: Callable[[Scene], set[str]], names: set[str]
) -> None:
    with without(scene.stage, removed):
        found = ask(scene)
    for twin in (scene.stage.gate, scene.stage.home):
        twin.run(["sh", "-c", "truncate -s 0 /var/log/nginx/*.log"])
    assert names <= found
    assert not names & ask(scene)


def test_a_tunnel_that_loses_a_third_hides_no_port(scene: Scene) -> None:
    home, gate = scene.stage.home, scene.stage.gate
    home.run(["nft", "-f", "-"], feed=LOSSY)
    try:
        assert inside.ports_through(home, gate, scene.stage.bastion.gates[0].tunnel, "1-2000") == [80, 443]
    finally:
        home.run(["nft", "delete", "table", "inet", "lossy"])


@pytest.mark.parametrize(
    ("here", "there", "lost"),
    [
        (Carried(0, 1000), Carried(1000, 0), 0.0),
        (Carried(2, 1000), Carried(400, 2), 0.6),
        (Carried(400, 1000), Carried(500, 500), 0.6),  # half did not get there, a fifth of the answers not back
        (Carried(9, 1000), Carried(1009, 0), 0.0),  # what else came through is no loss
    ],
)
def test_what_a_round_lost_is_counted_at_both_ends(here: Carried, there: Carried, lost: float) -> None:
    assert inside.loss(1000, here, there) == pytest.approx(lost)


def test_secrets_that_others_may_read_are_seen(scene: Scene) -> None:
    scene.stage.gate.run(["chmod", "640", files.SECRETS])
    try:
        assert "files.secrets" in written(scene)
    finally:
        scene.stage.gate.run(["chmod", "600", files.SECRETS])


@contextmanager
def running(twin: Twin, script: str) -> Iterator[None]:
    process = twin.spawn(["/usr/bin/python3", "-c", script])
    try:
        twin.run(["sleep", "0.5"])
        assert process.poll() is None
        yield
    finally:
        # Inside: the process that spawned it is not the one that listens.
        twin.run(["pkill", "-f", "^/usr/bin/python3 -c import"])
        process.wait(10)


def test_a_server_that_answers_strangers_is_seen(scene: Scene) -> None:
    stage = scene.stage
    stage.gate.run(["wg-quick", "down", "wg0"])
    try:
        with running(stage.gate, ECHO):
            assert failed([inside.silent(stage)]) == {"ports.wireguard_silent"}
    finally:
        stage.gate.run(["wg-quick", "up", "wg0"])
    stage.home.run(["sh", "-c", f"for i in $(seq 60); do ping -c1 -W1 {stage.bastion.gates[0].tunnel} && exit; done"])


@contextmanager
def open_hosts(stage: Stage) -> Iterator[None]:
    """No firewall, hosts that forward, peers that may send as anybody, and an API that listens everywhere."""
    gate, home, other, router = stage.gate, stage.home, stage.town.homes["home2"], stage.town.router
    ours = (gate, home, other)
    for twin in (*ours, router):
        twin.run(["nft", "flush", "ruleset"])
    for twin in ours:
        twin.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    router.run(["nft", "-f", "-"], feed=MASQUERADE.replace("eth0", "wan"))
    home.run(["nft", "-f", "-"], feed=MASQUERADE)
    public = stage.public_keys
    gate.run(["wg", "set", "wg0", "peer", public["home"], "allowed-ips", "10.66.0.10/32,192.168.50.0/24"])
    gate.run(["ip", "route", "replace", "192.168.50.10/32", "dev", "wg0"])
    for twin in (home, other):
        twin.run(["wg", "set", "wg0", "peer", public["vps"], "allowed-ips", "0.0.0.0/0"])
    home.run(["ip", "route", "replace", "203.0.113.50/32", "dev", "wg0"])
    other.run(["ip", "route", "replace", "10.66.0.10/32", "dev", "wg0"])
    listens = f"listen {stage.bastion.homes[0].tunnel}:8000;"
    try:
        with without(stage, ("home", listens, f"{listens} listen 192.168.50.10:8000;")):
            yield
    finally:
        gate.run(["ip", "route", "delete", "192.168.50.10/32"])
        home.run(["ip", "route", "delete", "203.0.113.50/32"])
        other.run(["ip", "route", "delete", "10.66.0.10/32"])
        gate.run(["wg", "set", "wg0", "peer", public["home"], "allowed-ips", "10.66.0.10/32"])
        for twin in (home, other):
            twin.run(["wg", "set", "wg0", "peer", public["vps"], "allowed-ips", "10.66.0.1/32"])
        for twin in ours:
            twin.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
            twin.run(["nft", "flush", "ruleset"])
            twin.run(["nft", "-f", files.NFTABLES])
        router.run(["nft", "flush", "ruleset"])
        stage.town.open_router()


def test_open_hosts_are_seen(scene: Scene) -> None:
    stage = scene.stage
    with (
        open_hosts(stage),
        running(stage.gate, LISTENER),
        running(stage.home, LISTENER),
        running(stage.town.router, LISTENER),
    ):
        # An earlier test took the tunnel down: what reaches whom is asked once it carries both homes again.
        for home in (stage.home, stage.town.homes["home2"]):
            home.run(["ping", "-q", "-c", "1", "-w", "30", stage.bastion.gates[0].tunnel])
        found = failed(inside.scans(stage))
    assert found == OPEN_HOSTS
