"""Chats: each becomes a Markdown file of the memory's own, which is then remembered as any other file."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from lib.memory.files import Place

ROOT = FOLDER = "chats"
UNSAFE = re.compile(r"[^\w.-]+")
LONGEST_TITLE = 120


class Chat(NamedTuple):
    """A conversation.

    Parameters
    ----------
    id : str
        Stable: the same chat, longer, replaces itself.
    role : str
        Which of the gateway's roles answered: `planner`, `coder` ...
    title : str
        Empty: the first question.
    started : float
        Seconds since 1970.
    messages : sequence of mapping
        With `role` and `content`, as the OpenAI interface has them.
    client : str
        Whose chat it is; a client can opt out.
    """

    id: str
    role: str
    title: str
    started: float
    messages: Sequence[Mapping[str, Any]]
    client: str


def write(folder: Path, chat: Chat) -> Place:
    """Write a chat as Markdown, whole or not at all, for its owner's eyes only; return its place."""
    root = (folder / FOLDER).resolve()
    client = UNSAFE.sub("-", chat.client).strip(".-") or "client"
    name = f"{client}/{_day(chat)}-{hashlib.sha256(f'{chat.client}/{chat.id}'.encode()).hexdigest()[:16]}.md"
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_suffix(".tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(markdown(chat))
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)
    return Place(ROOT, root, name)


def markdown(chat: Chat) -> str:
    """Return a chat as Markdown: front matter, then each message below a heading."""
    when = datetime.fromtimestamp(chat.started, UTC)
    front = [
        "---",
        f'title: "{_line(chat.title or _first(chat)) or "chat"}"',
        f"role: {_line(chat.role)}",
        f"client: {_line(chat.client)}",
        f"started: {when:%Y-%m-%d %H:%M:%S} UTC",
        "tags: [chat]",
        "---",
    ]
    # A message may hold headings of its own; those below its own heading do no harm.
    said = [f"## {_line(str(m.get('role', '')))}\n\n{text(m)}\n" for m in chat.messages if text(m)]
    return "\n".join([*front, "", *said])


def text(message: Mapping[str, Any]) -> str:
    """Return what a message says in words; images and tool calls have none."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content.strip()
    parts = [str(part.get("text", "")) for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _first(chat: Chat) -> str:
    return next((text(message) for message in chat.messages if message.get("role") == "user"), "")


def _line(words: str) -> str:
    return " ".join(words.replace('"', "'").split())[:LONGEST_TITLE]


def _day(chat: Chat) -> str:
    return f"{datetime.fromtimestamp(chat.started, UTC):%Y-%m-%d}"
