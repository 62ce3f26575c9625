"""Writes what Vane reads at its start: which models there are, where, and with which key. Standard library only.

One file, deployed as it is. Vane learns from a server that is not OpenAI's own neither the names of its models nor
that set-up is done: both stand in its `config.json`, beside the key. So the file is made on the host, mode 0600, from
settings without a secret and the key that lies there; what the owner changed in Vane's dialogs stays.

    search_config.py --settings search.json --key search.key --secret search.env --folder /var/lib/inference-search
"""

import argparse
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

NAME = "inference"


def provider(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the model provider as Vane keeps it. It knows it again by the hash of address and key."""
    config = {"apiKey": key, "baseURL": settings["base_url"]}
    packed = json.dumps(dict(sorted(config.items())), separators=(",", ":"), ensure_ascii=False)
    return {
        "id": NAME,
        "name": NAME,
        "type": "openai",
        "chatModels": [{"name": name, "key": name} for name in settings["chat"]],
        "embeddingModels": [{"name": name, "key": name} for name in settings["embeddings"]],
        "config": config,
        "hash": hashlib.sha256(packed.encode()).hexdigest(),
    }


def merged(known: dict[str, Any], settings: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the whole file: what was there, with this one provider as it is now."""
    others = [one for one in known.get("modelProviders", []) if one.get("id") != NAME]
    return {
        "version": 1,
        "preferences": {},
        "personalization": {},
        **known,
        "setupComplete": True,
        "modelProviders": [provider(settings, key), *others],
        "search": {**known.get("search", {}), "searxngURL": settings["searxng_url"]},
    }


def write(path: Path, text: str) -> None:
    """Write a file as a whole, mode 0600 from its first byte."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Return what Vane has written so far; a file that is no JSON is begun anew, as Vane would."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def main() -> int:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description="Writes Vane's config.json and SearXNG's secret.")
    for name in ("settings", "key", "secret", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    told = parser.parse_args()
    key = told.key.read_text().strip()
    if not key:
        sys.stderr.write(f"{told.key} is empty: it holds the key that Vane asks the model with\n")
        return 1
    config = told.folder / "config.json"
    write(config, json.dumps(merged(read(config), json.loads(told.settings.read_text()), key), indent=2))
    if not told.secret.exists():
        write(told.secret, f"SEARXNG_SECRET={secrets.token_hex(32)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
