"""Text of terminals and logs, made fit for a page: no control sequences, no folders of this machine, not too long."""

import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from lib.core import paths

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_FIRST_LETTER = re.compile(r"^((?:\s*<[^>]*>)*\s*)(\w)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Excerpt:
    """The beginning and the end of a text, and how many lines between them are left out."""

    head: str
    omitted: int = 0
    tail: str = ""


def plain(text: str) -> str:
    """Return text as a terminal would leave it: colours gone, each progress bar in its last state."""
    bare = _ANSI.sub("", text.replace("\r\n", "\n"))
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1].rstrip() for line in bare.split("\n")]
    return _CONTROL.sub("", "\n".join(lines)).strip("\n")


def portable(text: str) -> str:
    """Return text with paths relative to the repository: documents travel, this machine's folders do not."""
    return text.replace(f"{paths.ROOT}/", "").replace(str(paths.ROOT), ".").replace(str(Path.home()), "~")


def excerpt(text: str, head: int = 16, tail: int = 6) -> Excerpt:
    """Keep the first and the last lines of a text; one that is only a little longer is kept whole."""
    lines = text.split("\n")
    omitted = len(lines) - head - tail
    if omitted <= 3:
        return Excerpt(text)
    return Excerpt("\n".join(lines[:head]), omitted, "\n".join(lines[-tail:]))


def size(count: int) -> str:
    """Render a number of bytes as a person says it."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1e6:.1f} MB"


def capitalize_first(markup: Markup) -> Markup:
    """Return markup whose first word begins with a capital, inside or outside an element."""
    return Markup(_FIRST_LETTER.sub(lambda found: found[1] + found[2].upper(), markup, count=1))  # noqa: S704  # as safe as it came
