"""The bastion's files, for a VPS and for a server at home, rendered from the profile. Nothing here touches a host."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lib.core.errors import RunbookError
from lib.core.sections.bastion import Bastion, Gate, Peer
from lib.deploy.bastion import auth_service
from lib.deploy.template import render

AUTH = "/opt/inference/bastion/auth_service.py"
WATCHDOG = "/opt/inference/bastion/watchdog.sh"
NGINX = "/etc/nginx/nginx.conf"
NFTABLES = "/etc/nftables.conf"
WIREGUARD = "/etc/wireguard/wg0.conf"
CERTIFICATE = "/opt/inference/bastion/certificate.sh"
ACME = "/etc/inference/acme.conf"
# Key and chain in one file: what is replaced as a whole cannot be half new.
TLS = "/etc/inference/tls/bastion.pem"
KEYS = "/etc/inference/keys.json"
SECRETS = "/etc/inference/jwt.json"
PRIVATE_KEY = "/etc/wireguard/private.key"
CLIENTS = "/etc/wireguard/clients"
CHALLENGES = "/var/lib/inference-acme"
CERTIFICATES = "/var/lib/inference-certificates"

# Status to the type and words of an error in OpenAI's shape. 497 is plain HTTP on the TLS port.
REPLIES: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The request is malformed."),
    401: ("authentication_error", "No valid API key was sent. Send it as: Authorization: Bearer KEY"),
    403: ("permission_error", "This API key is revoked or expired."),
    404: ("invalid_request_error", "There is nothing at this path."),
    405: ("invalid_request_error", "This method is not allowed here."),
    408: ("timeout_error", "The request did not arrive in time."),
    413: ("invalid_request_error", "The request is too large."),
    414: ("invalid_request_error", "The address is too long."),
    429: ("rate_limit_error", "Too many requests. Wait a moment and try again."),
    500: ("server_error", "The bastion cannot check keys at the moment."),
    502: ("server_error", "No model server can be reached at the moment."),
    503: ("server_error", "No model server can be reached at the moment."),
    504: ("server_error", "The model server did not answer in time."),
}
# What nginx calls by numbers of its own.
ALIASES = {494: 400, 495: 400, 496: 400, 497: 400, 501: 405, 505: 400, 421: 404}


class File(NamedTuple):
    """One file of a host: where, with which rights, what, and the command that judges it (FILE is its place)."""

    path: str
    mode: int
    content: str
    check: tuple[str, ...] = ()


class Known(NamedTuple):
    """Another machine of the tunnel, with its public key."""

    name: str
    tunnel: str
    public_key: str
    address: str = ""


def reply(status: int) -> str:
    """Return the body of an error, in OpenAI's shape."""
    kind, text = REPLIES[status]
    return json.dumps({"error": {"message": text, "type": kind, "param": None, "code": status}})


def gate(bastion: Bastion, here: Gate, public_keys: Mapping[str, str]) -> list[File]:
    """Render every file of a VPS.

    Parameters
    ----------
    public_keys : mapping of str to str
        WireGuard public key by the name of each home. The owner's computers join later (`bastion client add`).
    """
    peers = [_known(peer, public_keys) for peer in bastion.homes]
    return [
        File(NGINX, 0o644, _nginx("gate", bastion, here), ("nginx", "-t", "-q", "-c", "FILE")),
        File(NFTABLES, 0o644, render("nftables/gate.nft.j2", b=bastion, here=here), ("nft", "-c", "-f", "FILE")),
        _wireguard("gate", bastion, here, peers),
        File(AUTH, 0o644, Path(auth_service.__file__).read_text(), ("python3", "-m", "py_compile", "FILE")),
        unit("inference-auth.service", b=bastion, auth=AUTH),
        *_certificate(bastion),
        _drop_in(),
    ]


def home(bastion: Bastion, here: Peer, public_keys: Mapping[str, str]) -> list[File]:
    """Render every file of a server at home; `public_keys` has the key of each VPS by name."""
    peers = [_known(peer, public_keys) for peer in bastion.gates]
    watchdog = render("wireguard/watchdog.sh.j2", b=bastion, peers=peers)
    return [
        File(NGINX, 0o644, _nginx("home", bastion, here), ("nginx", "-t", "-q", "-c", "FILE")),
        File(NFTABLES, 0o644, render("nftables/home.nft.j2", b=bastion, here=here), ("nft", "-c", "-f", "FILE")),
        _wireguard("home", bastion, here, peers),
        File(WATCHDOG, 0o755, watchdog, ("sh", "-n", "FILE")),
        unit("inference-watchdog.service", watchdog=WATCHDOG),
        _drop_in(),
    ]


def _nginx(kind: str, bastion: Bastion, here: Gate | Peer) -> str:
    errors = {status: (status, *REPLIES[status]) for status in REPLIES}
    errors |= {code: (status, *REPLIES[status]) for code, status in ALIASES.items()}
    others = [gate for gate in bastion.gates if gate.name != here.name]
    places = {"pem": TLS, "challenges": CHALLENGES, "others": others}
    return render(f"nginx/{kind}.conf.j2", b=bastion, here=here, errors=errors, replies=REPLIES, reply=reply, **places)


def _certificate(bastion: Bastion) -> list[File]:
    """Render what obtains the certificate of a VPS, renews it and says when that fails."""
    places = {"pem": TLS, "state": CERTIFICATES, "challenges": CHALLENGES, "config": ACME}
    script = render("nginx/certificate.sh.j2", b=bastion, **places)
    return [
        File(ACME, 0o644, render("nginx/acme.conf.j2", b=bastion, **places), ("bash", "-n", "FILE")),
        File(CERTIFICATE, 0o755, script, ("sh", "-n", "FILE")),
        unit("inference-certificate-first.service", certificate=CERTIFICATE),
        unit("inference-certificate.service", certificate=CERTIFICATE),
        unit("inference-certificate.timer", certificate=CERTIFICATE),
    ]


def _wireguard(kind: str, bastion: Bastion, here: Gate | Peer, peers: list[Known]) -> File:
    text = render(f"wireguard/{kind}.conf.j2", b=bastion, here=here, peers=peers, clients=CLIENTS)
    return File(WIREGUARD, 0o600, text, ("wg-quick", "strip", "FILE"))


def unit(name: str, **values: object) -> File:
    """Render a unit of systemd."""
    check = ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "FILE")
    return File(f"/etc/systemd/system/{name}", 0o644, render(f"systemd/{name}.j2", **values), check)


def _drop_in() -> File:
    text = render("systemd/nginx-after-tunnel.conf.j2")
    return File("/etc/systemd/system/nginx.service.d/after-tunnel.conf", 0o644, text)


def _known(peer: Gate | Peer, public_keys: Mapping[str, str]) -> Known:
    if peer.name not in public_keys:
        raise RunbookError(
            f"the public WireGuard key of {peer.name} is not known",
            where="profile, bastion",
            fix=f"on {peer.name}: wg pubkey < {PRIVATE_KEY}",
        )
    address = peer.address if isinstance(peer, Gate) else ""
    return Known(peer.name, peer.tunnel, public_keys[peer.name], address)
