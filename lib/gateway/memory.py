"""What the gateway asks of a memory: facts for a question, and to remember a chat that has ended."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lib.core.sections import Profile
from lib.gateway.sources import Source
from lib.memory.chats import Chat

# Longest wait for facts: an answer without them is better than none.
FACTS_S = 5.0
TITLE = 80
log = logging.getLogger(__name__)


class Context(Protocol):
    """Facts as text for a prompt, and where each stands."""

    @property
    def text(self) -> str:
        """Delimited: what stands in it is data."""

    @property
    def sources(self) -> Sequence[Source]:
        """In the order of the text."""


class Memory(Protocol):
    """The service of lib/memory, as far as the gateway needs it."""

    async def context(self, question: str, *, tokens: int) -> Context:
        """Return what is known about a question, within a budget of tokens."""

    async def remember(self, chat: Chat) -> None:
        """Keep a chat; one with the same id is replaced."""


def of(profile: Profile) -> Memory | None:
    """Return the memory that a profile asks for, or None where it asks for none.

    Raises
    ------
    RunbookError
        The profile names no embedding model or no address of it, or another process writes the memory.
    """
    if not profile.gateway.memory:
        return None
    from lib.memory.service import Memory as Service  # Chroma takes a second: only where memory is asked for

    return Service.open(profile)


def question(messages: object) -> str:
    """Return the text of the last message of the user, or the empty string."""
    place = _last_user(messages)
    return "" if place is None or not isinstance(messages, list) else _text(messages[place].get("content"))


def with_facts(messages: list[Any], facts: str) -> list[Any]:
    """Return messages with facts before the last question, in the same message: every chat template allows that."""
    place = _last_user(messages)
    if place is None or not facts:
        return messages
    asked = messages[place]
    content = asked.get("content")
    joined: object = (
        f"{facts}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": facts}, *content]
    )
    return [*messages[:place], {**asked, "content": joined}, *messages[place + 1 :]]


@dataclass
class Chats:
    """Chats that go on; one without a request for `idle_s` has ended and is remembered.

    Parameters
    ----------
    memory : Memory
        Where they go.
    idle_s : float
        0: every answer is remembered at once.
    """

    memory: Memory
    idle_s: float
    clock: Callable[[], float] = time.time
    _open: dict[str, tuple[Chat, asyncio.TimerHandle]] = field(default_factory=dict)
    _storing: set[asyncio.Task[None]] = field(default_factory=set)

    def said(self, client: str, role: str, name: str, messages: Sequence[Any], answer: str) -> None:
        """Take note of an answered request; the history that it carries is the chat so far."""
        first = next((_text(m.get("content")) for m in messages if isinstance(m, dict) and m.get("role") == "user"), "")
        number = hashlib.sha256("\0".join((client, role, name or first)).encode()).hexdigest()[:16]
        before = self._open.pop(number, None)
        if before:
            before[1].cancel()
        spoken = [
            {"role": str(m.get("role", "")), "content": _text(m.get("content"))}
            for m in messages
            if isinstance(m, dict)
        ]
        chat = Chat(
            id=number,
            role=role,
            title=" ".join(first.split())[:TITLE],
            started=before[0].started if before else self.clock(),
            messages=[*spoken, {"role": "assistant", "content": answer}],
            client=client,
        )
        timer = asyncio.get_running_loop().call_later(self.idle_s, self._ended, number)
        self._open[number] = (chat, timer)

    async def close(self) -> None:
        """Remember every chat that is still open."""
        for number in list(self._open):
            self._open[number][1].cancel()
            self._ended(number)
        await asyncio.gather(*self._storing, return_exceptions=True)

    def _ended(self, number: str) -> None:
        chat, _ = self._open.pop(number)
        task = asyncio.get_running_loop().create_task(self._store(chat))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, chat: Chat) -> None:
        try:
            await self.memory.remember(chat)
        except Exception as error:  # whatever it is, the gateway goes on; no word of the chat into the log
            log.error("chat %s was not remembered: %s", chat.id, type(error).__name__)


def answer_text(body: bytes, *, streamed: bool) -> str:
    """Return the text of an answer, whole or as it was streamed; what is no answer gives the empty string."""
    if not streamed:
        return _choice_text(body, "message")
    lines = body.split(b"\n")
    events = [line[6:] for line in lines if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return "".join(_choice_text(event, "delta") for event in events)


def _choice_text(body: bytes, place: str) -> str:
    try:
        choices = json.loads(body)["choices"]
        return _text(choices[0][place].get("content")) if choices else ""
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return ""


def _last_user(messages: object) -> int | None:
    if not isinstance(messages, list):
        return None
    places = [n for n, m in enumerate(messages) if isinstance(m, dict) and m.get("role") == "user"]
    content = messages[places[-1]].get("content") if places else None
    return places[-1] if isinstance(content, (str, list)) else None


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict) and part.get("text"))
