"""The files of the AI search on a VPS: containers, settings and a unit. Nothing here touches a host."""

import json
from pathlib import Path

from lib.core.sections.bastion import Bastion, Gate
from lib.deploy.bastion import search_config
from lib.deploy.bastion.files import File, unit
from lib.deploy.template import render

FOLDER = "/etc/inference/search"
SCRIPT = "/opt/inference/bastion/search_config.py"
COMPOSE = f"{FOLDER}/compose.yml"
SETTINGS = f"{FOLDER}/searxng.yml"
MODELS = f"{FOLDER}/models.json"
# Secrets: the key is put there by the owner, the other is made on the host.
KEY = "/etc/inference/search.key"
SECRET = "/etc/inference/search.env"  # noqa: S105 - a place, not a secret
DATA = "/var/lib/inference-search"


def search(bastion: Bastion, here: Gate) -> list[File]:
    """Render every file of the search; none where the profile has no models for it."""
    told = bastion.search
    if not told.chat:
        return []
    places = {"data": DATA, "secret": SECRET, "settings": SETTINGS, "bridge": told.bridge}
    compose = render("compose/search.yml.j2", b=bastion, here=here, search=told, **places)
    models = {
        "base_url": f"https://{bastion.hostname}/v1",
        "chat": told.chat,
        "embeddings": told.embeddings,
        "searxng_url": "http://searxng:8080",
    }
    started = {"script": SCRIPT, "models": MODELS, "key": KEY, "secret": SECRET, "data": DATA, "compose": COMPOSE}
    judge = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "FILE")
    return [
        File(COMPOSE, 0o644, compose, judge),
        # The container's own user reads it.
        File(SETTINGS, 0o644, render("compose/searxng.yml.j2")),
        File(MODELS, 0o644, json.dumps(models, indent=2) + "\n", ("python3", "-m", "json.tool", "FILE")),
        File(SCRIPT, 0o644, Path(search_config.__file__).read_text(), ("python3", "-m", "py_compile", "FILE")),
        unit("inference-search.service", **started),
    ]
