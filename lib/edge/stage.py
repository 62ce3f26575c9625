"""The bastion set up on the lab's twins: rendered files in place, keys made on each host, services started."""

import shlex
import time
from pathlib import Path
from typing import NamedTuple

from lib.core.evidence import Check, Provenance
from lib.core.lifetime import Lifetime
from lib.core.sections.bastion import Bastion, Gate, Peer
from lib.deploy.bastion import files
from lib.edge import tokens
from lib.edge.authority import Authority, at_lab
from lib.lab.netns.doors import Door
from lib.lab.netns.space import LabError
from lib.lab.netns.town import Town
from lib.lab.netns.twin import Twin

# Where the lab's client keeps the certificate of the lab's authority.
CA_FILE = "/etc/inference/ca.pem"
RELOAD_S = 10.0


class Engine(NamedTuple):
    """Where the API answers on this machine."""

    host: str
    port: int


class Stage(Lifetime):
    """A town with the bastion of a profile on it. A context manager.

    Parameters
    ----------
    bastion : Bastion
        The profile's section.
    engine : Engine, optional
        What serves behind both homes; `serve` names it later, where it is not there yet.
    """

    def __init__(self, bastion: Bastion, engine: Engine | None = None) -> None:
        self.bastion, self.engine = at_lab(bastion), engine
        self.town = Town(
            {gate.name: gate.address for gate in bastion.gates}, tuple(home.name for home in bastion.homes)
        )
        self.authority = Authority(self.town.world)
        self.public_keys: dict[str, str] = {}
        self._doors: dict[str, Door] = {}

    @property
    def client(self) -> Twin:
        """A machine on the internet that knows the names."""
        return self.town.client

    @property
    def gate(self) -> Twin:
        """The first VPS."""
        return self.town.vps[self.bastion.gates[0].name]

    @property
    def home(self) -> Twin:
        """The first server at home."""
        return self.town.homes[self.bastion.homes[0].name]

    def twin(self, place: Gate | Peer) -> Twin:
        """Return the twin of a VPS or a home."""
        return (self.town.vps | self.town.homes)[place.name]

    def start(self) -> None:
        """Start the twins, exchange public keys, install and start everything."""
        self.town.start()
        self.authority.start()
        self._exchange()
        for gate in self.bastion.gates:
            self.install(gate)
            self.start_gate(gate)
        for home in self.bastion.homes:
            self.install(home)
            self.start_home(home)
        self.names([gate.address for gate in self.bastion.gates[:1]])
        self.client.write(CA_FILE, self.authority.certificate)

    def stop(self) -> None:
        """End everything."""
        for door in self._doors.values():
            door.close()
        self.town.stop()

    def names(self, addresses: list[str]) -> None:
        """Let the client's resolver give these addresses for the bastion's name, in this order."""
        lines = ["127.0.0.1 localhost", *(f"{address} {self.bastion.hostname}" for address in addresses)]
        self.client.write("/etc/hosts", "\n".join(lines) + "\n")

    def knows(self, gate: Gate, *lines: str) -> None:
        """Let a VPS know itself by the bastion's name, and others by lines of `/etc/hosts`."""
        known = ["127.0.0.1 localhost", f"{gate.address} {self.bastion.hostname}", *lines]
        self.twin(gate).write("/etc/hosts", "\n".join(known) + "\n")

    def install(self, place: Gate | Peer) -> None:
        """Put the rendered files of a host into its place."""
        for file in self.rendered(place):
            self.twin(place).write(file.path, file.content, file.mode)
        if isinstance(place, Gate):
            self.knows(place)
            self.twin(place).write(files.TLS, "".join(reversed(self.authority.issue(self.bastion.hostname))), 0o600)

    def rendered(self, place: Gate | Peer) -> list[files.File]:
        """Return the files of a host, with the public keys that the hosts made."""
        if isinstance(place, Gate):
            return files.gate(self.bastion, place, self.public_keys)
        return files.home(self.bastion, place, self.public_keys)

    def judge(self, place: Gate | Peer, file: files.File) -> Check:
        """Let the program that reads a file judge it, on the host where it lies."""
        argv = [file.path if word == "FILE" else word for word in file.check]
        done = self.twin(place).run(argv, check=False)
        # systemd-analyze also names units that only exist on a host with its packages.
        told = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        faults = [line for line in told if Path(file.path).name in line] if argv[0] == "systemd-analyze" else told
        bad = bool(faults) if argv[0] == "systemd-analyze" else bool(done.returncode)
        return Check(
            name="bastion.file.valid",
            title=f"{argv[0]} accepts {file.path}",
            status="fail" if bad else "pass",
            expected="no error",
            observed="; ".join(faults)[:300] if bad else "no error",
            fix=shlex.join(argv),
            conditions={"host": place.name, "path": file.path},
            provenance=Provenance(where="lab"),
        )

    def start_gate(self, gate: Gate) -> None:
        """Start what a VPS runs, in the order of its units."""
        twin = self.twin(gate)
        twin.run(["nft", "-f", files.NFTABLES])
        twin.run(["wg-quick", "up", "wg0"])
        self.start_auth(gate)
        self.start_nginx(twin)

    def start_auth(self, gate: Gate) -> None:
        """Start the key service with the words of its unit."""
        twin = self.twin(gate)
        unit = twin.path("/etc/systemd/system/inference-auth.service").read_text()
        command = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).removeprefix("ExecStart=")
        twin.run(["sh", "-c", "mkdir -p /run/inference-auth && chgrp www-data /run/inference-auth"])
        twin.run(["sh", "-c", f"setsid setpriv --regid www-data --clear-groups {command} >/run/auth.log 2>&1 &"])
        self._await(twin, "/run/inference-auth/auth.sock")

    def start_home(self, home: Peer) -> None:
        """Start what a server at home runs."""
        twin = self.twin(home)
        twin.run(["nft", "-f", files.NFTABLES])
        twin.run(["wg-quick", "up", "wg0"])
        self._open_door(home)
        self.start_nginx(twin)
        twin.run(["sh", "-c", f"setsid {files.WATCHDOG} >/run/watchdog.log 2>&1 &"])

    def start_nginx(self, twin: Twin) -> None:
        """Start nginx after its files were tested."""
        twin.run(["sh", "-c", "mkdir -p /run/nginx-body /var/log/nginx /var/lib/nginx && nginx -t -q && nginx"])

    def reload(self, twin: Twin) -> None:
        """Test the files of nginx, let it read them again, and wait until nothing of before accepts connections."""
        before = _workers(twin)
        twin.run(["sh", "-c", "nginx -t -q && nginx -s reload"])
        until = time.monotonic() + RELOAD_S
        while not (now := _workers(twin)) or now & before:
            if time.monotonic() > until:
                raise LabError(f"nginx on {twin.name} did not take over its new files", where=files.NGINX)
            time.sleep(0.02)

    def serve(self, engine: Engine) -> None:
        """Let an engine answer behind every home."""
        self.engine = engine
        for home in self.bastion.homes:
            self._open_door(home)

    def _open_door(self, home: Peer) -> None:
        if self.engine:
            port = int(self.bastion.upstream.rpartition(":")[2])
            self._doors[home.name] = Door(self.twin(home), port, self.engine.host, self.engine.port)

    def show(self, gate: Gate, chain: str, key: str) -> None:
        """Let a VPS show a certificate."""
        self.twin(gate).write(files.TLS, key + chain, 0o600)
        self.reload(self.twin(gate))

    def close_door(self, home: Peer) -> None:
        """Let nothing answer behind a home."""
        if home.name in self._doors:
            self._doors.pop(home.name).close()

    def use(self, store: Path) -> None:
        """Copy the owner's key store, and the secrets of tokens beside it, to every VPS."""
        for gate in self.bastion.gates:
            self.twin(gate).write(files.KEYS, store.read_text(), 0o600)
            self.twin(gate).write(files.SECRETS, tokens.secrets_of(store).read_text(), 0o600)

    def _exchange(self) -> None:
        """Make WireGuard keys on every host, and carry public keys and preshared keys between them."""
        places: list[Gate | Peer] = [*self.bastion.gates, *self.bastion.homes]
        for place in places:
            twin = self.twin(place)
            twin.run(["sh", "-c", f"umask 077; mkdir -p /etc/wireguard; wg genkey > {files.PRIVATE_KEY}"])
            self.public_keys[place.name] = twin.run(["sh", "-c", f"wg pubkey < {files.PRIVATE_KEY}"]).stdout.strip()
        world = self.town.world
        for gate in self.bastion.gates:
            for home in self.bastion.homes:
                shared = world.run(["wg", "genpsk"]).stdout
                self.twin(gate).write(f"/etc/wireguard/{home.name}.psk", shared, 0o600)
                self.twin(home).write(f"/etc/wireguard/{gate.name}.psk", shared, 0o600)

    def _await(self, twin: Twin, path: str) -> None:
        script = f"for i in $(seq 100); do [ -S {path} ] && exit 0; sleep 0.05; done; exit 1"
        if twin.run(["sh", "-c", script], check=False).returncode:
            raise LabError(
                f"{path} did not come up on {twin.name}", where=twin.path("/run/auth.log").read_text()[-500:]
            )


def _workers(twin: Twin) -> set[str]:
    """Return the processes of nginx that accept connections; one that ends says so in its name."""
    told = twin.run(["pgrep", "-fa", "^nginx: worker process"], check=False).stdout
    return {line.split()[0] for line in told.splitlines() if "shutting down" not in line}
