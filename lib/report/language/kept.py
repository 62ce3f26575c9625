"""What was said before: most texts of a document stand in the next one too, and saying them anew takes seconds."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from lib.core import paths
from lib.core.state import replace
from lib.report.language import catalogue

FOLDER = paths.CACHE / "language"


def load(language: str, folder: Path = FOLDER) -> dict[str, str | None]:
    """Return texts and how they were said; empty after a change of the catalogues or of this room's code."""
    try:
        known = json.loads(_file(language, folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def save(language: str, spoken: Mapping[str, str | None], folder: Path = FOLDER) -> None:
    """Keep what a document said; what an earlier one said besides, and other catalogues' texts, are let go.

    A disk that is full costs the next document its seconds, and nothing else.
    """
    file = _file(language, folder)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        replace(file, json.dumps(spoken, ensure_ascii=False).encode())
        for old in folder.glob(f"{language}-*.json"):
            if old != file:
                old.unlink(missing_ok=True)


def _file(language: str, folder: Path) -> Path:
    return folder / f"{language}-{_digest(language)}.json"


@cache
def _digest(language: str) -> str:
    """Return a digest of all that decides how a text is said."""
    code = sorted(Path(__file__).parent.rglob("*.py"))
    whole = hashlib.sha256()
    for path in (*catalogue.files(language), *code):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:12]
