"""Configurations for the owner's clients. A key never stands in them: each names where the client takes it from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lib.core.sections import Profile
from lib.core.sections.gateway import Gateway
from lib.deploy.template import render

KEY = "RUNBOOK_KEY"


class Client(NamedTuple):
    """One program of the owner: its name, its file, and the endpoints that it calls."""

    name: str
    file: str
    calls: tuple[str, ...]


CLIENTS = (
    Client("Continue (IDE)", "continue/config.yaml", ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")),
    Client("Cline and other OpenAI-compatible plug-ins", "cline/settings.json", ("/v1/chat/completions", "/v1/models")),
    Client("Obsidian (Copilot, Text Generator)", "obsidian/provider.json", ("/v1/chat/completions", "/v1/embeddings")),
    Client("n8n", "n8n/workflow.json", ("/v1/chat/completions", "/v1/models")),
    Client("Open WebUI", "open-webui/open-webui.env", ("/v1/models", "/v1/chat/completions", "/v1/embeddings")),
    Client("LangChain", "langchain/retriever.py", ("/v1/chat/completions", "/v1/embeddings")),
)


def write(profile: Profile, folder: Path, url: str = "") -> list[Path]:
    """Write every client's file and return the paths.

    Parameters
    ----------
    profile : Profile
        Roles become the names that clients choose from.
    folder : Path
        Where the files go.
    url : str, optional
        Address without `/v1`; default: the profile's own.
    """
    settings = profile.gateway
    base = (url or f"http://{settings.host}:{settings.port}").rstrip("/") + "/v1"
    values = {"base": base, "key": KEY, "roles": _roles(settings), "memory": settings.memory}
    written = []
    for client in CLIENTS:
        path = folder / client.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_render(client, values), encoding="utf-8")
        written.append(path)
    return written


def _roles(settings: Gateway) -> dict[str, str]:
    """Return for each use the role that serves it: the profile's of that name, or the first one."""
    first = next(iter(settings.roles))
    chat = next((role for role in ("planner", "fast", "coder") if role in settings.roles), first)
    return {
        "chat": f"memory/{chat}" if settings.memory else chat,
        "code": "coder" if "coder" in settings.roles else chat,
        "fast": "fast" if "fast" in settings.roles else chat,
        "embed": "embed" if "embed" in settings.roles else "",
    }


def _render(client: Client, values: Mapping[str, Any]) -> str:
    text = render(f"clients/{client.file}.j2", **values)
    if client.file.endswith(".json"):
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    return text
