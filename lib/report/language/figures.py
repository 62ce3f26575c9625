"""The words of a figure: titles, names of series, labels on axes, what appears under the pointer."""

from collections.abc import Iterator
from typing import Any

from lib.report.language.speech import Speech

Path = list[str | int]
# Where plotly keeps words; everything else in a figure is data or looks.
_WORDS = frozenset(
    {"caption", "hovertemplate", "hovertext", "labels", "name", "text", "texttemplate", "ticktext", "title", "x", "y"}
)
_BREAK = "<br>"


def texts(figure: Any, speech: Speech) -> Iterator[tuple[Path, str]]:
    """Yield the place of each text in a figure that another language says differently, and what it says."""
    for place, text in _told(figure, []):
        said = _said(text, speech)
        if said != text:
            yield place, said


def _said(text: str, speech: Speech) -> str:
    parts = [speech.say(part) if part.strip() else part for part in text.split(_BREAK)]
    return text if any(part is None for part in parts) else _BREAK.join(part for part in parts if part is not None)


def _told(value: Any, place: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "template":
                yield from _told(inner, [*place, key])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _told(inner, [*place, index])
    elif isinstance(value, str) and _named(place) in _WORDS:
        yield place, value


def _named(place: Path) -> str:
    return next((key for key in reversed(place) if isinstance(key, str)), "")
