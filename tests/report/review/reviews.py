"""Annotations as the page's annotator exports them, made on the spot."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from lib.report.review.annotation import Annotation

EDITION = "a" * 64


def item(words: str = "Wrong unit.", *, element: str = "cell-01-look", exact: str = "", **more: Any) -> dict[str, Any]:
    """Return one annotation as JSON."""
    selectors: list[dict[str, str]] = [{"type": "FragmentSelector", "value": element}]
    if exact:
        around = {"prefix": more.pop("prefix", ""), "suffix": more.pop("suffix", "")}
        selectors.insert(0, {"type": "TextQuoteSelector", "exact": exact, **around})
    made: dict[str, Any] = {
        "@context": "http://www.w3.org/ns/anno.jsonld",
        "id": f"urn:uuid:{uuid.uuid4()}",
        "type": "Annotation",
        "motivation": "commenting",
        "created": "2026-11-24T10:00:00Z",
        "creator": {"type": "Person", "name": more.pop("name", "Reviewer One")},
        "body": [{"type": "TextualBody", "purpose": "commenting", "value": words}],
        "target": {"source": f"urn:runbook:edition:{more.pop('edition', EDITION)}", "selector": selectors},
    }
    return made | more


def correction(path: str, before: str, after: str, cell: str = "", words: str = "Like this.") -> dict[str, Any]:
    """Return a correction as JSON: `before` is the whole text that was read."""
    made = item(words, motivation="editing")
    made["body"].append({"type": "TextualBody", "purpose": "editing", "value": after})
    digest = hashlib.sha256(before.encode()).hexdigest()
    return made | {"runbook:source": {"path": path, "cell": cell, "sha256": digest}}


def annotation(*args: Any, **more: Any) -> Annotation:
    """Return one valid annotation."""
    return Annotation.model_validate(item(*args, **more))


def export(folder: Path, *items: Any, name: str = "review.json") -> Path:
    """Write an export file and return it."""
    file = folder / name
    page = {"@context": ["http://www.w3.org/ns/anno.jsonld"], "type": "AnnotationPage", "items": list(items)}
    file.write_text(json.dumps(page), encoding="utf-8")
    return file
