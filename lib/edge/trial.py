"""The probes run from the lab's client against the stage: which target, with which keys, and what came of it."""

import base64
import json
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core.evidence import Check, Provenance
from lib.deploy.bastion import auth_service
from lib.edge import tokens
from lib.edge.probes.target import Target
from lib.edge.stage import CA_FILE, Stage
from lib.gateway import keys

SMALL_SHARE = 3


def lab() -> Provenance:
    """Return the provenance of what is seen on twins, with the time of now."""
    return Provenance(where="lab")


class Wallet(NamedTuple):
    """Keys of every kind, made for one trial; they open nothing but the stage."""

    store: Path
    key: str
    revoked: str
    expired: str
    small: str
    token: str
    bad_tokens: Mapping[str, str]
    client: str


def wallet(store: Path) -> Wallet:
    """Make a store with a good key, and with others that must not open."""
    every = [keys.ALL_ROLES]
    made, good = keys.create(store, "trial", every, requests_per_minute=6000)
    ended, revoked = keys.create(store, "revoked", every)
    keys.revoke(store, ended.id)
    _, expired = keys.create(store, "expired", every, days=1e-9)
    _, small = keys.create(store, "small", every, requests_per_minute=SMALL_SHARE)
    token = tokens.token("probe", store, requests_per_minute=600)
    return Wallet(store, good, revoked, expired, small, token, _bad_tokens(store), made.id)


def target(stage: Stage, held: Wallet, model: str, routes: Sequence[tuple[str, str]]) -> Target:
    """Describe the stage's first VPS as an attacker who holds a valid key sees it."""
    bastion = stage.bastion
    listed = {("GET", path) for path in bastion.paths_get} | {("POST", path) for path in bastion.paths_post}
    return Target(
        hostname=bastion.hostname,
        address=bastion.gates[0].address,
        ca_file=CA_FILE,
        model=model,
        key=held.key,
        revoked=held.revoked,
        expired=held.expired,
        token=held.token,
        bad_tokens=held.bad_tokens,
        routes=list(routes),
        open_routes=[route for route in routes if route in listed],
        slow_timeout_s=bastion.slow_timeout_s,
        body_mib=bastion.body_mib,
        small_key=held.small,
        small_share=SMALL_SHARE,
        connections=bastion.address_connections,
    )


def probe(stage: Stage, aim: Target, only: Collection[str] | None = None) -> list[Check]:
    """Run probes on the client and return a check for each; keys travel on standard input."""
    names = sorted(only) if only is not None else None
    told = json.dumps({"target": aim._asdict(), "only": names})
    lines = stage.client.python("lib.edge.probes", told).splitlines()
    return [check(**json.loads(line)) for line in lines]


def check(*, name: str, title: str, expected: str, fix: str, good: bool, observed: str) -> Check:
    """Return the check of one probe."""
    return Check(
        name=f"bastion.probe.{name}",
        title=title,
        status="pass" if good else "fail",
        expected=expected,
        observed=observed[:300],
        fix=fix,
        provenance=lab(),
    )


def routes(openapi: Mapping[str, Mapping[str, Mapping[str, object]]]) -> list[tuple[str, str]]:
    """Return method and path of every route, those added that an engine serves without describing them."""
    methods = ("get", "post", "put", "delete", "patch")
    found = {(method.upper(), path) for path, item in openapi["paths"].items() for method in item if method in methods}
    # Mounted beside the described ones: metrics, and the pages that FastAPI makes.
    found |= {("GET", path) for path in ("/metrics", "/openapi.json", "/docs", "/redoc")}
    return sorted(found, key=lambda route: (route[1], route[0]))


def _bad_tokens(store: Path) -> dict[str, str]:
    entry = json.loads(tokens.secrets_of(store).read_text())["secrets"][-1]
    kid, secret, now = entry["id"], entry["secret"], time.time()
    good = auth_service.token("probe", kid, secret, 300, now)
    head, body, signature = good.split(".")

    def packed(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return {
        "none": f"{packed({'alg': 'none', 'kid': kid})}.{body}.",
        "signature": f"{head}.{packed({**claims, 'sub': 'other'})}.{signature}",
        "expired": auth_service.token("probe", kid, secret, 60, now - 3600),
        "long": auth_service.token("probe", kid, secret, 86400, now),
        "audience": auth_service.token("probe", kid, secret, 300, now, audience="somebody-else"),
        "secret": auth_service.token("probe", kid, packed("another secret of some length"), 300, now),
    }
