"""Messages out to translators and back: lists of JSON, cut into pieces of one size."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.state import replace
from lib.report.language.message import CODE, PLACE, TAG, Message, bare

# In a translation: what stands in this place is a name, a command, a formula; it is not said, and its brackets pair.
AS_IT_IS = re.compile(r"\{(\d+)=\}")
CHOICE = re.compile(r"\{(\d+)\|([^{}|]*)\|([^{}|]*)\|([^{}|]*)\}")


class Refused(NamedTuple):
    """A translation that was not taken, and why."""

    text: str
    reason: str


def write(messages: Sequence[Message], folder: Path, pieces: int = 8) -> list[Path]:
    """Write messages as `01.json` … of about equally many words, neighbours together; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(messages, key=lambda message: message.where)
    files = []
    for number, part in enumerate(_parts(ordered, pieces), 1):
        content = [{"id": message.text, "where": message.where, "ru": ""} for message in part]
        file = folder / f"{number:02d}.json"
        replace(file, f"{json.dumps(content, ensure_ascii=False, indent=1)}\n".encode())
        files.append(file)
    return files


def read(files: Iterable[Path]) -> tuple[dict[str, str], list[Refused]]:
    """Return what translators filled in, and what cannot be taken.

    Raises
    ------
    RunbookError
        A file is no list of messages.
    """
    taken: dict[str, str] = {}
    refused: list[Refused] = []
    for file in files:
        for text, translation in _filled(file):
            if reason := fault(text, translation):
                refused.append(Refused(text, reason))
            else:
                taken[text] = translation
    return taken, refused


def fault(text: str, translation: str) -> str:
    """Return what is wrong with a translation; empty when it can be shown."""
    if not translation.strip():
        return "empty"
    chosen = AS_IT_IS.sub(r"{\1}", CHOICE.sub("", translation))
    if {found[1] for found in CHOICE.finditer(translation)} - set(PLACE.findall(text)):
        return "chooses a form by a place that the message has not"
    if sorted(set(PLACE.findall(text))) != sorted(set(PLACE.findall(chosen))):
        return "other places than the message's"
    if sorted(TAG.findall(text)) != sorted(TAG.findall(translation)) or not _nested(translation):
        return "other tags than the message's"
    if sorted(CODE.findall(text)) != sorted(CODE.findall(translation)):
        return "other code than the message's"
    return ""


def _nested(translation: str) -> bool:
    opened: list[str] = []
    for found in TAG.finditer(translation):
        if not found[1]:
            opened.append(found[2])
        elif not opened or opened.pop() != found[2]:
            return False
    return not opened


def _parts(messages: Sequence[Message], pieces: int) -> Iterator[list[Message]]:
    words = [len(bare(message.text).split()) for message in messages]
    share, part, held, left = sum(words) / pieces, [], 0, pieces
    for message, count in zip(messages, words, strict=True):
        part.append(message)
        held += count
        if held >= share and left > 1:
            yield part
            part, held, left = [], 0, left - 1
    if part:
        yield part


def _filled(file: Path) -> Iterator[tuple[str, str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        for entry in content:
            if entry["ru"].strip():
                yield entry["id"], entry["ru"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunbookError(
            f"not a list of messages: {error}",
            where=paths.short(file),
            fix='[{"id": "English", "where": "file", "ru": "Russian"}, …]',
        ) from error
