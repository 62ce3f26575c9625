"""How long chapters took: learned from every run, used to tell the reader what to expect."""

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError


class Timing(BaseModel):
    """The last time that a chapter passed, and how long it took."""

    seconds: float
    when: datetime


Timings = dict[str, dict[str, Timing]]
_ADAPTER: TypeAdapter[Timings] = TypeAdapter(Timings)


def load(runs: Path) -> Timings:
    """Return timings by profile and chapter. A damaged file counts as none: it is learned again."""
    try:
        return _ADAPTER.validate_json((runs / "timings.json").read_bytes())
    except (OSError, ValidationError):
        return {}


def learn(runs: Path, profile: str, chapter: str, seconds: float) -> None:
    """Remember how long a chapter took; written aside and renamed, so that it is never torn."""
    known = load(runs)
    known.setdefault(profile, {})[chapter] = Timing(seconds=round(seconds, 2), when=datetime.now(UTC))
    aside = runs / "timings.json.new"
    aside.write_text(json.dumps(_ADAPTER.dump_python(known, mode="json"), indent=1))
    aside.replace(runs / "timings.json")
