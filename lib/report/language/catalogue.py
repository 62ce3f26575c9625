"""The catalogues: gettext files, one a kind of source, kept in step by `python -m lib language update`."""

import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.state import replace
from lib.report.language.message import Message
from lib.report.language.sources import every

FOLDER = paths.REPORT_TEMPLATE / "i18n"
PARTS = {"notebooks/": "notebooks", "runbook/report/": "page", "runbook/": "data", "lib/": "code"}
# A date in the header would change a file whose messages did not.
_EPOCH = datetime(2026, 11, 24, tzinfo=UTC)


def files(language: str, folder: Path = FOLDER) -> list[Path]:
    """Return the catalogue's files of a language."""
    return [folder / f"{language}.{part}.po" for part in dict.fromkeys(PARTS.values())]


@cache
def load(language: str, folder: Path = FOLDER) -> Mapping[str, str]:
    """Return every message of a language that is translated; what is marked fuzzy is not.

    Raises
    ------
    RunbookError
        A file is missing or no gettext file.
    """
    found: dict[str, str] = {}
    for file in files(language, folder):
        for message in _read(file):
            if message.id and message.string and not message.fuzzy:
                found[str(message.id)] = str(message.string)
    return found


def untranslated(language: str, folder: Path = FOLDER) -> list[Message]:
    """Return the messages of the sources that a language lacks."""
    known = load(language, folder)
    return [message for message in every.messages() if message.text not in known]


def update(language: str, taken: Mapping[str, str] | None = None, folder: Path = FOLDER) -> dict[str, int]:
    """Write a language's catalogue anew from the sources; translations stay, what the sources no longer say goes.

    Parameters
    ----------
    taken : mapping of str to str, optional
        New translations; they replace older ones.

    Returns
    -------
    dict
        How many messages there are, and how many of them are translated.
    """
    known = {**(load(language, folder) if _present(language, folder) else {}), **(taken or {})}
    messages = list(every.messages())
    folder.mkdir(parents=True, exist_ok=True)
    for file in files(language, folder):
        part = file.name.split(".")[1]
        own = [message for message in messages if part_of(message) == part]
        replace(file, rendered(language, own, known).encode())
    load.cache_clear()
    return {"messages": len(messages), "translated": sum(message.text in known for message in messages)}


def rendered(language: str, messages: Iterable[Message], known: Mapping[str, str]) -> str:
    """Return the text of one gettext file, the same for the same messages and translations."""
    catalogue = Catalog(
        locale=language,
        project="Inference Runbook",
        version="1",
        msgid_bugs_address="none",
        header_comment="# Messages of the report; written by: python -m lib language update",
        fuzzy=False,
        creation_date=_EPOCH,
        revision_date=_EPOCH,
        last_translator="none",
        language_team="none",
    )
    for text, where in sorted(messages, key=lambda message: (message.where, message.text)):
        added = catalogue.add(text, known.get(text, ""), locations=[(where, 0)])
        added.flags -= {"python-format", "python-brace-format"}  # "95 % interval" is none, `{0|one|few|many}` our own
    out = io.BytesIO()
    write_po(out, catalogue, width=0, include_lineno=False)
    return out.getvalue().decode()


def part_of(message: Message) -> str:
    """Return which file of a catalogue holds a message."""
    return next(part for place, part in PARTS.items() if message.where.startswith(place))


def _present(language: str, folder: Path) -> bool:
    return all(file.exists() for file in files(language, folder))


def _read(file: Path) -> Catalog:
    try:
        with file.open("rb") as opened:
            return read_po(opened, abort_invalid=True)
    except (OSError, ValueError) as error:
        raise RunbookError(
            f"no catalogue: {error}", where=paths.short(file), fix="python -m lib language update"
        ) from error
