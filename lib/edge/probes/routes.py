"""Every route that the engine has, without and with a key: what is not on the list is not there."""

import re

from lib.edge.probes.registry import Ask, Probe
from lib.edge.probes.target import Target, ask

FIX = "bastion.paths_get and bastion.paths_post in the profile"


def probes(target: Target) -> list[Probe]:
    """Return two probes for each route of the engine's openapi.json."""
    found = []
    for method, path in target.routes:
        is_open = (method, path) in target.open_routes
        name = re.sub(r"[^a-z0-9]+", "_", f"{method} {path}".lower()).strip("_")
        for keyed in (False, True):
            found.append(_one(name, method, path, is_open, keyed))
    return found


def _one(name: str, method: str, path: str, is_open: bool, keyed: bool) -> Probe:
    how = "with_key" if keyed else "without_key"
    if not is_open:
        expected = "status 404 or 405, from the bastion itself"
    else:
        expected = "the engine's own answer" if keyed else "status 401"
    title = f"{method} {path} with a key" if keyed else f"{method} {path} without a key"
    return Probe(f"route.{name}.{how}", title, expected, FIX, _asker(method, path, is_open, keyed))


def _asker(method: str, path: str, is_open: bool, keyed: bool) -> Ask:
    def run(target: Target) -> tuple[bool, str]:
        body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
        filled = re.sub(r"\{[^}]*\}", "x", path)
        reply = ask(target, filled, method=method, key=target.key if keyed else "", body=body)
        if not is_open:
            return reply.status in (404, 405) and reply.openai_error, reply.told
        if not keyed:
            return reply.status in (401, 429) and reply.openai_error, reply.told
        return reply.status in (200, 400, 422), reply.told

    return run
