"""Where the facts of an answer stand: told in a header, and in the answer itself.

In the body the list is one more field of the first JSON object: of the whole answer, or of the first event of a
stream. Clients that do not know it pass over it; OpenAI's own keeps it in `model_extra`. Its name begins with the
runbook's, so that nobody takes it for another service's. Nothing is parsed or written anew for it: the field is put
behind the object's first brace, and every other byte stays the engine's.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

FIELD = "runbook_sources"
HEADER_BYTES = 4096
# What stands before the first object of an event; comments, which keep a connection alive, may come before it.
_EVENT = b'data: {"'
_OBJECT = b'{"'
# An answer that has not begun within so many bytes never does.
_PATIENCE = 4096


class Source(Protocol):
    """Where a fact stands."""

    @property
    def path(self) -> Any:
        """The file."""

    @property
    def heading(self) -> Any:
        """Headings down to the place."""

    @property
    def start(self) -> int:
        """First byte."""

    @property
    def end(self) -> int:
        """Byte after the last."""


def told(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Return sources as they stand in the answer."""
    return [
        {"path": str(source.path), "heading": str(source.heading or ""), "start": source.start, "end": source.end}
        for source in sources
    ]


def header(sources: Sequence[Mapping[str, Any]]) -> str:
    """Return sources as a header: ASCII JSON, as many as have room in 4 KiB."""
    listed = list(sources)
    while len(text := json.dumps(listed, separators=(",", ":"))) > HEADER_BYTES:
        listed.pop()
    return text


class Insert:
    """Puts the field into an answer on its way.

    Parameters
    ----------
    sources : sequence of mapping
        As `told` gives them.
    streamed : bool
        Whether the answer is a stream of events.
    """

    def __init__(self, sources: Sequence[Mapping[str, Any]], *, streamed: bool) -> None:
        self._field = f"{json.dumps(FIELD)}: {json.dumps(list(sources), ensure_ascii=False)}, ".encode()
        self._mark = _EVENT if streamed else _OBJECT
        self._held: bytes | None = b""

    def pass_on(self, chunk: bytes) -> bytes:
        """Return what may go to the client now; the little before the place is held back until it is found."""
        if self._held is None:
            return chunk
        held = self._held + chunk
        place = held.find(self._mark)
        if place < 0 and len(held) < _PATIENCE:
            self._held = held
            return b""
        self._held = None
        if place < 0:
            return held
        place += len(self._mark) - 1  # behind the brace, before the first name's quote
        return held[:place] + self._field + held[place:]

    def rest(self) -> bytes:
        """Return what is still held back when the answer ends without the place."""
        held, self._held = self._held or b"", None
        return held
