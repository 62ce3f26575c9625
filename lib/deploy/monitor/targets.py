"""Who is asked: every exporter of every host, with the host that its answers tell of."""

from typing import NamedTuple
from urllib.parse import urlsplit

from lib.core.sections import Profile

NODE, NGINX, DCGM, BLACKBOX, PROMETHEUS, ALERTMANAGER = 9100, 9113, 9400, 9115, 9090, 9093
HERE = "127.0.0.1"


class Target(NamedTuple):
    """Something that is asked.

    Parameters
    ----------
    address : str
        Host and port; of a job with a module, what is probed.
    host : str
        Which host its answers tell of.
    site : str
        Hosts of one site depend on each other.
    """

    address: str
    host: str
    site: str


class Job(NamedTuple):
    """Targets of one kind; `module` is blackbox's, for what is probed from outside."""

    name: str
    targets: tuple[Target, ...]
    module: str = ""


def deployed(profile: Profile) -> list[Job]:
    """Return who is asked by the Prometheus of a profile's home."""
    bastion, site = profile.bastion, profile.name
    home, gates = bastion.homes[0].name, bastion.gates

    def here(port: int) -> Target:
        return Target(f"{HERE}:{port}", home, site)

    def on_gates(port: int) -> list[Target]:
        return [Target(f"{gate.tunnel}:{port}", gate.name, site) for gate in gates]

    found = [
        Job("node", (here(NODE), *on_gates(NODE))),
        Job("vllm", tuple(here(port) for port in engine_ports(profile))),
        Job("gateway", (here(profile.gateway.port),) if profile.gateway.port else ()),
        Job("gpu", (here(DCGM),) if profile.hardware == "cuda" else ()),
        Job("nginx", (here(NGINX), *on_gates(NGINX))),
        Job("public", (Target(f"https://{bastion.hostname}/v1/models", gates[0].name, site),), "public"),
        Job("certificate", (Target(f"{bastion.hostname}:443", gates[0].name, site),), "tls"),
        Job("deadman", tuple(on_gates(profile.monitoring.deadman_port))),
        Job("prometheus", (here(PROMETHEUS),)),
        Job("alertmanager", (here(ALERTMANAGER),)),
        Job("blackbox", (here(BLACKBOX),)),
    ]
    return [job for job in found if job.targets]


def engine_ports(profile: Profile) -> list[int]:
    """Return the ports of the engines on this machine: those behind the gateway, or the one that is served alone."""
    addresses = [engine.url for engine in profile.gateway.engines.values() if engine.url]
    ports = [urlsplit(address).port or 80 for address in addresses]
    return ports or ([profile.serving.port] if profile.serving.port else [])
