"""Faults of what stands around the engine: gateway, nginx, Chroma; and the names that the house asks for."""

import os
import shutil
import sys
import threading
import time
from typing import Any

import httpx

from lib.gateway import keys
from lib.gateway.process import Gateway
from lib.resilience.faults.drill import Drill, Outcome, SkipError
from lib.resilience.faults.engine import LOST_S
from lib.resilience.faults.ground import MODEL, PROFILE, ROLE, Ground, environment, free_port, until
from lib.resilience.faults.kept import Kept

WAIT_S = 25.0
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
# What the command `chroma` calls, without the seconds that its own imports take.
CHROMA = "import chromadb_rust_bindings as c, sys; c.cli(['chroma', *sys.argv[1:]])"
NGINX = """
daemon off; pid {place}/nginx.pid; error_log {place}/error.log; worker_processes 2;
events {{}}
http {{
    access_log off;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


def gateway_killed(ground: Ground, defended: bool) -> Outcome:
    """Kill the gateway with SIGKILL while it serves, just after a key was made."""
    place, port = ground.place("gateway"), free_port()
    argv = Gateway(PROFILE, {**ground.settings(), "gateway.port": port}, place / "unused.log").argv
    url = f"http://127.0.0.1:{port}"
    with (
        ground.engine("gateway").running(),
        Kept(argv, place / "gateway.log", environment(), restarts=defended) as kept,
    ):
        until(lambda: not ground.ask(url=url), WAIT_S, "the gateway does not answer")
        with ground.witness(url=url) as witness:
            _, made = keys.create(ground.keys, f"before-kill-{time.monotonic_ns()}", [keys.ALL_ROLES])
            since = time.monotonic()
            kept.kill()
            recovered = witness.served_again(since, WAIT_S if defended else LOST_S)
            lost = 1 if recovered is not None and ground.ask(url=url, key=made) else 0
            return Outcome(recovered, lost, witness.errors(since), told=f"{kept.starts} starts; the new key holds")


def nginx_killed(ground: Ground, defended: bool) -> Outcome:
    """Kill nginx's first process with SIGKILL: its workers live on and hold the port."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise SkipError("apt-get install -y --no-install-recommends nginx")
    place, port = ground.place("nginx"), free_port()
    (place / "nginx.conf").write_text(NGINX.format(place=place, port=port, upstream=ground.gateway.url))
    argv = [program, "-e", str(place / "error.log"), "-p", str(place), "-c", str(place / "nginx.conf")]
    url = f"http://127.0.0.1:{port}"
    with (
        ground.engine("nginx").running(),
        Kept(argv, place / "nginx.log", environment(), restarts=defended) as kept,
    ):
        until(lambda: not ground.ask(url=url), WAIT_S, "nginx does not answer")
        with ground.witness(url=url) as witness:
            since = time.monotonic()
            kept.kill()
            recovered = witness.served_again(since, WAIT_S if defended else LOST_S)
            return Outcome(recovered, clients=witness.errors(since), told=f"{kept.starts} starts")


def chroma_killed(ground: Ground, defended: bool) -> Outcome:
    """Kill Chroma with SIGKILL in the middle of writes; the defence is a store on a disk that outlives it."""
    place, port = ground.place("chroma"), free_port()
    path = '"$2"' if defended else '"$2-$$"'  # without it every start finds a store of its own
    script = f'exec "$0" -c "$1" run --path {path} --host 127.0.0.1 --port {port}'
    argv = ["sh", "-c", script, sys.executable, CHROMA, str(place / "store")]
    base = f"http://127.0.0.1:{port}"
    with Kept(argv, place / "chroma.log", environment()) as kept, httpx.Client(trust_env=False, timeout=2) as client:
        until(lambda: _beats(client, base), WAIT_S, "Chroma does not answer")
        store = _Store(client, base)
        writing = threading.Thread(target=store.write, daemon=True)
        writing.start()
        until(lambda: len(store.written) >= 20, WAIT_S, "Chroma takes no writes")
        since = time.monotonic()
        kept.kill()
        writing.join(10)
        until(lambda: _beats(client, base), WAIT_S, "Chroma does not come back")
        recovered = time.monotonic() - since
        lost = len(store.written) - store.found()
        return Outcome(recovered, lost, "broken connections", told=f"{len(store.written)} writes acknowledged")


class _Store:
    """One collection, written to until a write fails; what was acknowledged is kept."""

    def __init__(self, client: httpx.Client, base: str) -> None:
        self._client, self._base = client, base
        self.written: list[str] = []
        self._id = self._collection()

    def write(self) -> None:
        for number in range(100_000):
            name = f"n{number}"
            body = {"ids": [name], "embeddings": [[float(number), 1.0]], "documents": [name]}
            try:
                told = self._client.post(f"{self._base}{COLLECTIONS}/{self._id}/add", json=body)
            except httpx.TransportError:
                return
            if not told.is_success:
                return
            self.written.append(name)

    def found(self) -> int:
        """Count the acknowledged ones that are there."""
        there = self._client.post(
            f"{self._base}{COLLECTIONS}/{self._collection()}/get", json={"ids": self.written, "include": []}
        )
        return len(there.json()["ids"])

    def _collection(self) -> str:
        body = {"name": "drill", "get_or_create": True}
        told: dict[str, Any] = self._client.post(f"{self._base}{COLLECTIONS}", json=body).raise_for_status().json()
        return str(told["id"])


def _beats(client: httpx.Client, base: str) -> bool:
    try:
        return client.get(f"{base}/api/v2/heartbeat").is_success
    except httpx.TransportError:
        return False


def dns_gone(ground: Ground, defended: bool) -> Outcome:
    """Take every name server away from the gateway; the defence is that engines are named by number."""
    if os.geteuid() != 0:
        raise SkipError("taking the name servers away needs root: sudo -E make runbook")
    place, port = ground.place("dns"), free_port()
    host = "127.0.0.1" if defended else "engine.home.arpa"
    engines = {ROLE: {"model": MODEL, "url": f"http://{host}:{ground.engine_port}"}}
    told = {**ground.settings(), "gateway.port": port, "gateway.engines": engines}
    apart = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /etc/resolv.conf && exec "$0" "$@"']
    argv = [*apart, *Gateway(PROFILE, told, place / "unused.log").argv]
    url = f"http://127.0.0.1:{port}"
    with ground.engine("dns").running(), Kept(argv, place / "gateway.log", environment()):
        until(lambda: _reached(url), WAIT_S, "the gateway does not listen")
        with ground.witness(url=url) as witness:
            since = time.monotonic()
            recovered = witness.served_again(since, LOST_S)
            return Outcome(recovered, clients=witness.errors(since))


def _reached(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/health", trust_env=False, timeout=1).status_code)
    except httpx.TransportError:
        return False


DRILLS = [
    Drill(
        "gateway_killed", "The gateway is killed", "its unit starts it again; keys are on the disk", 20, gateway_killed
    ),
    Drill("nginx_killed", "nginx is killed", "its unit ends what is left and starts it again", 8, nginx_killed),
    Drill("chroma_killed", "Chroma is killed in mid-write", "a store on the disk; its unit", 20, chroma_killed),
    Drill("dns_gone", "No name server answers", "inside the house numbers are used", 2, dns_gone),
]
