"""Which language the document opens in: `REPORT_LANG`, or an option of the command."""

import os
from functools import cache

from lib.core.errors import RunbookError, nearest
from lib.report.language import catalogue, kept
from lib.report.language.speech import Speech

ENGLISH = "en"
NAMES = {ENGLISH: "English", "ru": "Русский"}
VARIABLE = "REPORT_LANG"


def chosen(option: str = "") -> str:
    """Return the language that was asked for: the option's, else the environment's, else English.

    Raises
    ------
    RunbookError
        There is no such language.
    """
    asked = option or os.environ.get(VARIABLE, "") or ENGLISH
    if asked in NAMES:
        return asked
    raise RunbookError(
        f"unknown language '{asked}'",
        where="--lang" if option else VARIABLE,
        nearest=nearest(asked.lower(), NAMES) or ENGLISH,
        fix=f"one of: {', '.join(NAMES)}",
    )


@cache
def speech(language: str) -> Speech:
    """Return what is needed to say the document in a language other than English."""
    return Speech(catalogue.load(language), kept.load(language))
