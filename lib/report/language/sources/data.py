"""Data files that the page shows: claims, glossary, published figures, profiles, the catalogue of models."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lib.core import paths
from lib.report.language.english import is_sentence
from lib.report.language.message import Message

# File below runbook/, and the fields whose text the page shows, wherever in the file they stand.
FIELDS = {
    "claims.yml": ("claim", "fact", "sources"),
    "report/glossary.yml": ("term", "stands_for", "meaning"),
    "published.yml": ("setting", "stack", "hardware", "note"),
    "models.yml": ("title", "note", "source"),
    "report/sections.yml": ("title", "asked", "what"),
    "report/checklist.yml": ("gist", "corrected"),
    "smoke.yml": ("about",),
    "profiles/*.yml": ("title", "description", "question", "why", "note"),
}


# Alerts are a template and no YAML yet: what to do stands in quotes, and has no places.
ALERTS = "templates/prometheus/alerts.yml.j2"
_FIX = re.compile(r'^\s*fix: "([^"{]+)"$', re.MULTILINE)


def messages(folder: Path = paths.RUNBOOK) -> Iterator[Message]:
    """Yield the shown texts of the data files."""
    yield from (Message(found[1], f"runbook/{ALERTS}") for found in _FIX.finditer((folder / ALERTS).read_text()))
    for pattern, fields in FIELDS.items():
        for file in sorted(folder.glob(pattern)):
            where = f"runbook/{file.relative_to(folder).as_posix()}"
            content = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
            for text in _shown(content, fields):
                yield Message(text, where)


def _shown(content: Any, fields: tuple[str, ...]) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            if key in fields and isinstance(value, str):
                yield from [value] if key != "source" or is_sentence(value) else []
            elif key in fields and isinstance(value, list):
                yield from filter(is_sentence, (_after_address(one) for one in value if isinstance(one, str)))
            else:
                yield from _shown(value, fields)
    elif isinstance(content, list):
        for value in content:
            yield from _shown(value, fields)


def _after_address(source: str) -> str:
    """Return what is said of a source beside its address."""
    address, _, rest = source.partition(" ")
    return rest if address.startswith("https://") else source
