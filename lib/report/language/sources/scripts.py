"""What the page's scripts say: the first argument of `say("…")`, the texts of `SAID` tables."""

import re
from collections.abc import Iterator
from pathlib import Path

from lib.core import paths
from lib.report.language.message import Message

_SAID = re.compile(r'\bsay\(\s*"((?:[^"\\]|\\.)*)"')
FILES = ("script.js", "annotator.js")


def messages(folder: Path = paths.REPORT_TEMPLATE) -> Iterator[Message]:
    """Yield the messages of the scripts."""
    for name in FILES:
        for found in _SAID.finditer((folder / name).read_text(encoding="utf-8")):
            yield Message(found[1], f"runbook/report/{name}")
