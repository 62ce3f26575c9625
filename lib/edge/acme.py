"""A real ACME server on the lab's internet: pebble, which the people of Let's Encrypt test with."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lib.edge.authority import ACME_HOSTNAME, ACME_PORT, ACME_TRUST
from lib.edge.stage import Stage
from lib.lab.netns.space import SEARCH, LabError
from lib.lab.netns.town import INTERNET
from lib.lab.netns.twin import Link, Twin

ADDRESS = f"{INTERNET}.60"
FOLDER = "/run/acme"
MANAGEMENT_PORT = 15000
# Shorter than what is renewed, so that each run renews; longer than what alarms.
DAYS = 25
PACKAGES = {"pebble": "pebble", "dehydrated": "dehydrated", "bash": "bash", "flock": "util-linux"}
START_S = 10.0
REFUSE = f"tcp dport {ACME_PORT} reject with tcp reset"


def missing() -> str:
    """Return the command that installs what certificates by ACME need in the lab; empty if all is there."""
    absent = sorted({package for program, package in PACKAGES.items() if not shutil.which(program, path=SEARCH)})
    return f"apt-get install -y --no-install-recommends {' '.join(absent)}" if absent else ""


class AcmeServer:
    """Pebble in a twin of its own, which knows the bastion's name by the first VPS.

    Its root is a new one with every start, and nobody but the lab's client trusts it.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._process: subprocess.Popen[bytes] | None = None
        self.twin = Twin("acme", stage.town.world, Link("eth0", f"{ADDRESS}/24", "", "inet"))

    def start(self) -> None:
        """Boot it, and tell every VPS its name and whom to believe that it is it.

        Raises
        ------
        LabError
            It did not come up.
        """
        stage, twin = self._stage, self.twin
        twin.boot()
        first = stage.bastion.gates[0].address
        twin.write("/etc/hosts", f"127.0.0.1 localhost\n{first} {stage.bastion.hostname}\n")
        chain, key = stage.authority.issue(ACME_HOSTNAME)
        twin.write(f"{FOLDER}/chain.pem", chain)
        twin.write(f"{FOLDER}/key.pem", key, 0o600)
        twin.write(f"{FOLDER}/config.json", json.dumps({"pebble": _config()}))
        for gate in stage.bastion.gates:
            stage.knows(gate, f"{ADDRESS} {ACME_HOSTNAME}")
            stage.twin(gate).write(ACME_TRUST, stage.authority.certificate)
        # Its client does not repeat what pebble refuses at random, one question of twenty; in the field its timer does.
        self._process = self.twin.spawn(
            ["pebble", "-config", f"{FOLDER}/config.json"],
            PEBBLE_WFE_NONCEREJECT="0",
            PEBBLE_AUTHZREUSE="0",
            PEBBLE_VA_NOSLEEP="1",
        )
        until = time.monotonic() + START_S
        while not self._ask("roots/0"):
            if time.monotonic() > until:
                raise LabError("pebble did not come up", where=ACME_HOSTNAME)
            time.sleep(0.1)

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Let it refuse everybody for a while, as an outage would; what it knows stays."""
        chain = "add chain inet out in { type filter hook input priority 0; }"
        self.twin.run(["nft", f"add table inet out; {chain}; add rule inet out in {REFUSE}"])
        try:
            yield
        finally:
            self.twin.run(["nft", "delete", "table", "inet", "out"])

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        self.twin.stop()
        if process is not None:
            process.wait(10)

    @property
    def root(self) -> str:
        """The certificate of its root, PEM."""
        return self._ask("roots/0")

    def _ask(self, path: str) -> str:
        argv = ["curl", "-sf", "--max-time", "2", "-k", f"https://127.0.0.1:{MANAGEMENT_PORT}/{path}"]
        return self.twin.run(argv, check=False).stdout


def _config() -> dict[str, object]:
    return {
        "listenAddress": f"0.0.0.0:{ACME_PORT}",
        "managementListenAddress": f"127.0.0.1:{MANAGEMENT_PORT}",
        "certificate": f"{FOLDER}/chain.pem",
        "privateKey": f"{FOLDER}/key.pem",
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": DAYS * 86400,
    }
