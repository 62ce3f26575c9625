"""What a profile says about the way in from outside: VPS, tunnel, homes, clients, limits (chapter 11)."""

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from lib.core.sections.base import Section


class Gate(Section):
    """One VPS: the public side of the bastion."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,10}$")
    address: str = Field(description="Public IPv4 address; the lab uses 203.0.113.0/24")
    tunnel: str = Field(description="Its address in the tunnel")


class Peer(Section):
    """A machine that dials in: a server at home, or a computer of the owner's."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,10}$")
    tunnel: str = Field(description="Its address in the tunnel")


FaultName = Literal[
    "tunnel_cut",
    "wireguard_home",
    "wireguard_vps",
    "nginx_reload",
    "nginx_restart",
    "home_address",
    "vps_reboot",
    "home_power_cut",
    "second_home",
    "second_vps",
]


class Faults(Section):
    """Which faults chapter 11 lets happen, and how long it waits before it calls one not survived."""

    kinds: list[FaultName] = Field(default=list(get_args(FaultName)), description="In the order of the runbook")
    wait_s: float = Field(default=30, gt=0)


class Acme(Section):
    """Who certifies the bastion's name, by ACME over HTTP, and when."""

    directory: str = Field(
        default="https://acme-v02.api.letsencrypt.org/directory",
        pattern=r"^https://[A-Za-z0-9.:/_-]+$",
        description="Directory of the ACME server",
    )
    trust: str = Field(
        default="", pattern=r"^[A-Za-z0-9./_-]*$", description="File of who certifies that server; none: the system's"
    )
    contact: str = Field(
        default="", pattern=r"^([A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)?$", description="Mail address of the account"
    )
    renew_days: int = Field(default=30, ge=2, description="A new one is asked for so many days before the end")
    alarm_days: int = Field(default=21, ge=1, description="Below that, renewal has failed for long and a check is red")

    @model_validator(mode="after")
    def _renews_before_it_alarms(self) -> Self:
        if self.alarm_days >= self.renew_days:
            raise ValueError(f"alarm_days ({self.alarm_days}) must be below renew_days ({self.renew_days})")
        return self


class Search(Section):
    """AI search on the VPS: Vane (formerly Perplexica) with SearXNG, answered by the private model."""

    chat: list[str] = Field(default=[], description="Models or roles that Vane may choose from; none: no search")
    embeddings: list[str] = Field(default=[], description="Models for files that are put into Vane")
    port: int = Field(default=3000, ge=1, le=65535, description="On the VPS's address in the tunnel")
    bridge: str = Field(
        default="inf-search", pattern=r"^[a-z][a-z0-9-]{0,14}$", description="Network of the containers"
    )
    vane_image: str = Field(default="itzcrazykns1337/vane:slim-v1.12.1", description="Without a SearXNG inside")
    searxng_image: str = Field(
        default="docker.io/searxng/searxng:2026.9.13-e61d09756", description="A rolling release: one of its days"
    )
    memory: str = Field(default="1g", pattern=r"^[0-9]+[mg]$", description="What Vane may take")


class Bastion(Section):
    """The way in from outside (chapter 11): a VPS, a tunnel that the home opens, keys, limits."""

    hostname: str = Field(default="llm.example.org", pattern=r"^[a-z0-9.-]+$", description="Name in the certificate")
    acme: Acme = Acme()
    gates: list[Gate] = Field(
        default=[
            Gate(name="vps", address="203.0.113.10", tunnel="10.66.0.1"),
            Gate(name="vps2", address="203.0.113.20", tunnel="10.66.0.2"),
        ],
        min_length=1,
        description="The first is used; the further ones take over",
    )
    homes: list[Peer] = Field(
        default=[Peer(name="home", tunnel="10.66.0.10"), Peer(name="home2", tunnel="10.66.0.11")],
        min_length=1,
        description="Servers behind the router; the first is used, the further ones take over",
    )
    clients: list[Peer] = Field(
        default=[Peer(name="pc", tunnel="10.66.0.100"), Peer(name="laptop", tunnel="10.66.0.101")],
        description="Addresses kept for the owner's own computers; others of the network are given as they come",
    )
    network: str = Field(default="10.66.0.0/24", description="The tunnel's network")
    wireguard_port: int = Field(default=51820, ge=1, le=65535)
    keepalive_s: int = Field(default=25, ge=1, le=65535)
    mtu: int = Field(default=1420, ge=1280, le=1500)
    watch_ports: list[int] = Field(
        default=[9100, 9113, 9911], description="Of a VPS, open to homes in the tunnel: exporters, dead man's switch"
    )
    status_port: int = Field(default=8099, ge=1, le=65535, description="Where nginx tells its counts, on its own host")
    watchdog_s: int = Field(default=3, ge=1, description="How often home looks whether the tunnel still carries")
    api_port: int = Field(default=8000, ge=1, le=65535, description="On home's tunnel address")
    upstream: str = Field(default="127.0.0.1:8000", description="What serves the API on home itself")
    paths_get: list[str] = ["/v1/models"]
    paths_post: list[str] = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/rerank",
    ]
    body_mib: int = Field(default=16, ge=1, description="Largest request")
    read_timeout_s: int = Field(
        default=600, ge=10, description="Longest silence of the engine: a long prefill, a queue"
    )
    slow_timeout_s: int = Field(default=10, ge=1, description="Longest silence of a client in the middle of a request")
    address_requests_s: int = Field(default=20, ge=1, description="Requests a second from one address, any key or none")
    address_burst: int = Field(default=40, ge=1)
    address_connections: int = Field(default=64, ge=1)
    bad_keys_minute: int = Field(default=10, ge=1, description="Wrong keys from one address; then 429 for the rest")
    ssh_port: int = Field(default=22, ge=1, le=65535)
    ssh_from: list[str] = Field(default=[], description="Networks that may open SSH on the VPS; none: the tunnel only")
    lan: list[str] = Field(default=["192.168.0.0/16"], description="Networks at home that may open SSH there")
    path_delay_ms: list[float] = Field(default=[0, 40], description="Round trips that the tax is measured with")
    tax_requests: int = Field(default=24, ge=4, description="Short answers of each way, in turn: the first token")
    tax_streams: int = Field(default=8, ge=3, description="Longer ones on both ways at once: each further token")
    tax_tokens: int = Field(default=64, ge=8)
    tax_concurrency: int = Field(default=8, ge=1)
    scan_ports: str = Field(default="1-65535", pattern=r"^\d+-\d+$", description="Ports probed from every side")
    search: Search = Search()
    faults: Faults = Faults()
