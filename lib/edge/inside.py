"""Probes that need more than a client: every port from every side, and what the hosts themselves wrote and received."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from lib.core.evidence import Check
from lib.deploy.bastion import files
from lib.edge import trial
from lib.edge.probes import scan
from lib.edge.probes.target import Target
from lib.edge.stage import Stage
from lib.lab.netns.space import Space
from lib.lab.netns.town import HOME_LAN, ROUTER_PUBLIC

FIREWALL = f"nft list table inet inference; nft -f {files.NFTABLES}"
# Packets a second, and rounds. A cable loses none.
CABLE_RATE, CABLE_ROUNDS = 20000, 3
# The tunnel in user space carries fewer, and how many depends on the machine: its losses are counted.
TUNNEL_RATE, SLOWEST_RATE, MOST_ROUNDS = 10000, 2500, 8
# Asked again, until an open port was missed in every round with a smaller probability than this.
MISSED = 1e-4
# A round's loss is taken for at least this: what was lost behind the counters is not seen.
LEAST_LOSS, MUCH_LOSS = 0.01, 0.1
# For an answer: a connection's first packet that was lost is sent again after 1, 3 and 7 s.
PATIENCE_S = 8


def ports(space: Space, address: str, wanted: str, rate: int = CABLE_RATE, rounds: int = CABLE_ROUNDS) -> list[int]:
    """Return the TCP ports that are open at an address, seen from a space, at so many packets a second."""
    ours = space.run(["ip", "-o", "route", "get", address]).stdout.partition(" src ")[2].split()[0]
    first, last = _ends(wanted)
    argv = ["/usr/bin/python3", "-IS", scan.__file__, ours, address, *map(str, (first, last, rate, rounds))]
    return [int(port) for port in space.run(argv, timeout=180).stdout.split()]


def ports_through(here: Space, there: Space, address: str, wanted: str) -> list[int]:
    """Return the TCP ports that are open at the other end of the tunnel.

    The two ends count what came through. A round that lost packets is followed by others, slower ones where it lost
    many; 65,535 ports at 10,000 a second are more than wireguard-go carries on a slow processor.
    """
    first, last = _ends(wanted)
    found: set[int] = set()
    missed, rate = 1.0, TUNNEL_RATE
    for _ in range(MOST_ROUNDS):
        before = _carried(here), _carried(there)
        found |= set(ports(here, address, wanted, rate, 1))
        after = _carried(here), _carried(there)
        lost = loss(last - first + 1, after[0] - before[0], after[1] - before[1])
        missed *= max(lost, LEAST_LOSS)
        if missed <= MISSED:
            break
        rate = max(SLOWEST_RATE, rate // 2) if lost > MUCH_LOSS else rate
    return sorted(found)


@dataclass(frozen=True)
class Carried:
    """Packets that an end of the tunnel received and sent."""

    received: int
    sent: int

    def __sub__(self, before: Self) -> Self:
        return type(self)(self.received - before.received, self.sent - before.sent)


def loss(asked: int, here: Carried, there: Carried) -> float:
    """Return the share of questions whose answer, had there been one, was lost on the way there or back."""
    came = min(1.0, there.received / asked)
    back = min(1.0, here.received / there.sent) if there.sent else 1.0
    return 1 - came * back


def _carried(space: Space) -> Carried:
    told = json.loads(space.run(["ip", "-j", "-s", "link", "show", "wg0"]).stdout)[0]["stats64"]
    return Carried(told["rx"]["packets"], told["tx"]["packets"])


def _ends(wanted: str) -> tuple[int, int]:
    first, _, last = wanted.partition("-")
    return int(first), int(last or first)


def scans(stage: Stage) -> Iterator[Check]:
    """Scan from every side, and look what each side can reach."""
    b, wanted = stage.bastion, stage.bastion.scan_ports
    gate, home = b.gates[0], b.homes[0]
    with ThreadPoolExecutor() as pool:
        at_gate = pool.submit(ports, stage.client, gate.address, wanted)
        at_router = pool.submit(ports, stage.client, ROUTER_PUBLIC, wanted)
        # One after the other: each counts what the tunnel carries.
        at_home = ports_through(stage.gate, stage.home, home.tunnel, wanted)
        from_home = ports_through(stage.home, stage.gate, gate.tunnel, wanted)
    sides = [
        ("ports.gate", "The VPS, from the internet", at_gate.result(), [80, 443]),
        ("ports.router", "The home's router, from the internet", at_router.result(), []),
        ("ports.home_from_gate", "Home, from the VPS through the tunnel", at_home, [b.api_port]),
        ("ports.gate_from_home", "The VPS, from home through the tunnel", from_home, [80, 443]),
    ]
    for name, title, seen, expected in sides:
        yield _ports(name, title, seen, expected, wanted)
    tunnel = ("home.tunnel_address", "The tunnel's address of home, from the internet", home.tunnel)
    lan = ("home.lan_address", "The home's own address, from the internet", f"{HOME_LAN}.10")
    with ThreadPoolExecutor() as pool:  # side by side: each waits long for an answer that should not come
        outside = [pool.submit(unreachable, stage, *one) for one in (tunnel, lan)]
        inner = [pool.submit(ask, stage) for ask in (lan_from_gate, other_home)]
    yield from (asked.result() for asked in (*outside, *inner))
    yield silent(stage)


def _ports(name: str, title: str, seen: Sequence[int], expected: Sequence[int], wanted: str) -> Check:
    return trial.check(
        name=name,
        title=f"{title}: open TCP ports of {wanted}",
        expected=", ".join(map(str, expected)) or "none",
        observed=", ".join(map(str, seen)) or "none",
        good=list(seen) == list(expected),
        fix=FIREWALL,
    )


def unreachable(stage: Stage, name: str, title: str, address: str) -> Check:
    """Try to open the API at an address from the internet, with a route to it by the VPS as an attacker would set."""
    gate = stage.bastion.gates[0].address
    stage.client.run(["ip", "route", "replace", f"{address}/32", "via", gate])
    try:
        seen = _fetch(stage.client, f"http://{address}:{stage.bastion.api_port}/v1/models")
    finally:
        stage.client.run(["ip", "route", "delete", f"{address}/32"], check=False)
    return trial.check(
        name=name, title=f"{title}: not reached", expected="no answer", observed=seen, good=seen == "000", fix=FIREWALL
    )


def lan_from_gate(stage: Stage) -> Check:
    """Try to reach the home's network from the VPS, through the tunnel."""
    gate = stage.gate
    router = f"{HOME_LAN}.1"
    gate.run(["ip", "route", "replace", f"{router}/32", "dev", "wg0"])
    try:
        seen = _fetch(gate, f"http://{router}:{stage.bastion.api_port}/")
        alive = not gate.run(["ping", "-n", "-c", "1", "-W", "1", router], check=False).returncode
    finally:
        gate.run(["ip", "route", "delete", f"{router}/32"], check=False)
    return trial.check(
        name="home.lan_from_gate",
        title="The home's network, from the VPS: not reached",
        expected="no answer",
        observed=seen if not alive else "the router answers a ping",
        good=seen == "000" and not alive,
        fix="AllowedIPs of /32 only, and the forward chain: " + FIREWALL,
    )


def other_home(stage: Stage) -> Check:
    """Try to reach a computer that dials in from home: peers of the tunnel do not see each other."""
    peer = stage.bastion.homes[-1]
    stage.home.run(["ip", "route", "replace", f"{peer.tunnel}/32", "dev", "wg0"])
    try:
        seen = _fetch(stage.home, f"http://{peer.tunnel}:{stage.bastion.api_port}/v1/models")
    finally:
        stage.home.run(["ip", "route", "delete", f"{peer.tunnel}/32"], check=False)
    return trial.check(
        name="home.from_peer",
        title="Another machine of the tunnel, from home: not reached",
        expected="no answer",
        observed=seen,
        good=seen == "000",
        fix=FIREWALL,
    )


def silent(stage: Stage) -> Check:
    """Send WireGuard's port a message that is not signed: it must not even say that it is there."""
    gate = stage.bastion.gates[0]
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1.5)\n"
        f"for raw in (b'\\x01\\0\\0\\0' + bytes(144), b'hello', b'\\x04\\0\\0\\0' + bytes(28)):\n"
        f"    s.sendto(raw, ({gate.address!r}, {stage.bastion.wireguard_port}))\n"
        "try:\n    print(len(s.recvfrom(2048)[0]), 'bytes')\nexcept TimeoutError:\n    print('silence')\n"
    )
    seen = stage.client.run(["/usr/bin/python3", "-c", script]).stdout.strip()
    return trial.check(
        name="ports.wireguard_silent",
        title="WireGuard does not answer strangers",
        expected="silence",
        observed=seen,
        good=seen == "silence",
        fix="wg show",
    )


def engine_routes(stage: Stage, aim: Target) -> Iterator[Check]:
    """Ask home for every route of the engine from the VPS: one that was taken over finds no more than the API."""
    home, b = stage.bastion.homes[0], stage.bastion
    closed = [(method, path) for method, path in aim.routes if (method, path) not in aim.open_routes]
    base = f"http://{home.tunnel}:{b.api_port}"
    paths = [re.sub(r"\{[^}]*\}", "x", path) for _, path in closed]
    config = "".join(
        f'url = "{base}{path}"\nrequest = "{method}"\noutput = "/dev/null"\n'
        for (method, _), path in zip(closed, paths, strict=True)
    )
    argv = ["curl", "-s", "--max-time", "30", "-w", "%{http_code}\n", "-K", "-"]
    codes = stage.gate.run(argv, feed=config, check=False).stdout.split()
    reached = [f"{m} {p}: {code}" for (m, p), code in zip(closed, codes, strict=False) if code not in ("404", "405")]
    yield trial.check(
        name="home.routes_from_gate",
        title="The engine's other routes, from the VPS: not reached",
        expected=f"{len(closed)} × status 404 or 405",
        observed="; ".join(reached) or f"{len(codes)} × status 404 or 405",
        good=not reached and len(codes) == len(closed),
        fix=f"{files.NGINX} of home",
    )
    tricks = ("/metrics/..%2fv1/models", "/v1/..%2fmetrics", "//metrics", "/v1/models/../../metrics")
    seen = {trick: _fetch(stage.gate, base + trick, "--path-as-is") for trick in tricks}
    yield trial.check(
        name="home.paths_from_gate",
        title="The metrics by a detour, from the VPS: not reached",
        expected="no metrics: the list of models, or status 400 or 404",
        observed=", ".join(f"{trick}: {code}" for trick, code in seen.items()),
        good=not _metrics(stage, base, tricks) and set(seen.values()) <= {"200", "400", "404"},
        fix=f"proxy_pass with a written path in {files.NGINX} of home",
    )


def _metrics(stage: Stage, base: str, tricks: Sequence[str]) -> bool:
    told = [
        stage.gate.run(["curl", "-s", "--max-time", "5", "--path-as-is", base + trick], check=False).stdout
        for trick in tricks
    ]
    return any("# HELP" in text for text in told)


def logs(stage: Stage, aim: Target, held: trial.Wallet) -> Iterator[Check]:
    """Ask once with a mark in the prompt, once with a key in the address, and look what the hosts wrote down."""
    mark = f"mark{time.time_ns()}"
    question = {"role": "user", "content": mark}
    body = json.dumps({"model": aim.model, "messages": [question], "max_tokens": 1})
    argv = ["curl", "-s", "-o", "/dev/null", "--cacert", aim.ca_file, "--max-time", "60", "-K", "-"]
    url = f"https://{aim.hostname}"
    asked = (
        f'url = "{url}/v1/chat/completions"\nheader = "Authorization: Bearer {held.key}"\n'
        f'header = "Content-Type: application/json"\ndata = {_quoted(body)}\n'
        f'header = "X-Client-Id: {mark}"\n'
    )
    stage.client.run(argv, feed=asked)
    stage.client.run(argv, feed=f'url = "{url}/nothing?api_key={held.key}"\nheader = "Referer: {held.key}"\n')
    time.sleep(0.2)
    written = {twin.name: _written(twin) for twin in (stage.gate, stage.home)}
    everything = "\n".join(written.values())
    yield _unseen("log.no_prompt", "No prompt is in a log", mark, everything)
    yield _unseen("log.no_key", "No key is in a log", held.key[12:], everything)
    yield _unseen("log.no_query", "No query is in a log", "api_key", everything)
    yield trial.check(
        name="header.client_id",
        title="A client cannot say who it is: home is told what the key says",
        expected=f"client {held.client}",
        observed=_client(written[stage.home.name]),
        good=f'"{held.client}"' in written[stage.home.name] and mark not in everything,
        fix="proxy_set_header X-Client-Id in /etc/nginx/nginx.conf",
    )
    modes = stage.gate.run(["stat", "-c", "%a %n", files.KEYS, files.SECRETS, files.PRIVATE_KEY]).stdout
    yield trial.check(
        name="files.secrets",
        title="Secrets on the VPS are readable for their owner only",
        expected="mode 600",
        observed=", ".join(modes.split("\n")).strip(", "),
        good=all(line.startswith("600 ") for line in modes.splitlines()),
        fix=f"chmod 600 {files.KEYS} {files.SECRETS} {files.PRIVATE_KEY}",
    )


def _unseen(name: str, title: str, needle: str, everything: str) -> Check:
    there = needle in everything
    return trial.check(
        name=name,
        title=title,
        expected="not found",
        observed="FOUND" if there else f"not found in {len(everything.splitlines())} lines",
        good=not there and bool(everything),
        fix="log_format in /etc/nginx/nginx.conf",
    )


def _written(twin: Space) -> str:
    script = "cat /var/log/nginx/*.log /run/auth.log 2>/dev/null; find /run/nginx-body -type f -exec cat {} +"
    return twin.run(["sh", "-c", script], check=False).stdout


def _client(written: str) -> str:
    lines = [line for line in written.splitlines() if "/v1/chat/completions" in line]
    return f"client {lines[-1].split()[2]}" if lines else "no request arrived"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _fetch(space: Space, url: str, *more: str) -> str:
    """Return the status of a request, 000 where nothing answers."""
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(PATIENCE_S), *more, url]
    return space.run(argv, check=False).stdout.strip()
