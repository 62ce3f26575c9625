"""The index of configuration files: what the deployment writes on a home and on a VPS, as chapter 16 recorded it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib.core.evidence import AnyRecord, Change
from lib.report.briefing.sections import Section, owner

_NAME = re.compile(r"deploy\.(?P<concern>\w+)\.file")
# As the deployment writes it above a file's text.
_MODE = re.compile(r"# mode (?P<mode>\d+), (?P<owner>\S+)")


@dataclass(frozen=True)
class ConfigFile:
    """One file of a host.

    Parameters
    ----------
    host, path : str
        On which host it lies, and where.
    mode, owner : str
        Rights, octal; account and group.
    template : str
        What it is rendered from, below runbook/templates; empty where the program itself writes it.
    section : Section or None
        The section of the briefing that it belongs to.
    change : Change
        The record that has its content.
    """

    host: str
    path: str
    mode: str
    owner: str
    template: str
    section: Section | None
    change: Change


def index(records: Iterable[AnyRecord], sections: Sequence[Section]) -> list[ConfigFile]:
    """Return every configuration file that a run recorded, by path; the last record of a file on a host counts."""
    found: dict[tuple[str, str], ConfigFile] = {}
    for record in records:
        file = _file(record, sections) if isinstance(record, Change) else None
        if file:
            found[file.path, file.host] = file
    return [found[key] for key in sorted(found)]


def _file(change: Change, sections: Sequence[Section]) -> ConfigFile | None:
    rights = _MODE.match(change.after)
    if not _NAME.fullmatch(change.name) or not rights:
        return None
    host = change.title.partition(":")[0]
    section = owner(sections, change.name)
    return ConfigFile(host, change.target, rights["mode"], rights["owner"], change.template, section, change)
