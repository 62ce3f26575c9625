"""Fixed words of the page that no sentence holds: states, verdicts, origins, kinds, names of compared quantities."""

from collections.abc import Iterator
from typing import get_args

from lib.core import display, evidence, profile
from lib.core.state import ChapterStatus
from lib.host import nvml
from lib.report import beside
from lib.report.claims import table
from lib.report.language.message import Message
from lib.report.review import anchor, annotation, store

# Type of the field, and the module that names its values.
_STATES = (
    (ChapterStatus, "lib/core/state.py"),
    (evidence.Status, "lib/core/evidence.py"),
    (evidence.Where, "lib/core/evidence.py"),
    (evidence.Change.model_fields["status"].annotation, "lib/core/evidence.py"),
    (evidence.Provenance.model_fields["weights"].annotation, "lib/core/evidence.py"),
    (annotation.Severity, "lib/report/review/annotation.py"),
    (annotation.Verdict, "lib/report/review/annotation.py"),
    (store.State, "lib/report/review/store.py"),
    (anchor.Anchoring, "lib/report/review/anchor.py"),
)
_KINDS = ("check", "measurement", "change", "decision", "claim")
# Single words that code puts into tables and legends.
_SINGLE = (
    "yes",
    "no",
    "on",
    "off",
    "none",
    "weights",
    "reserve",
    "estimate",
    "unknown",
    "compared",
    "started",
    "new",
    "virtual",
)
# What an error says when a check shows it; errors are not the document's words otherwise.
_ERRORS = ("the request failed: {0}",)
# The heading of an operating point, put together from its conditions.
_POINTS = ("{0} requests at a time", "{0} request at a time")
_TOGETHER = ("random and real", "real and random")


def messages() -> Iterator[Message]:
    """Yield the fixed words; those that are counted also with their number."""
    for states, where in _STATES:
        yield from (Message(word, where) for word in get_args(states) if word)
    for word in (*_KINDS, *_TOGETHER, *_SINGLE):
        yield Message(word, "lib/core/evidence.py")
    yield from (Message(said, "lib/engine/roofline/capture.py") for said in _ERRORS)
    yield from (Message(point, "lib/report/summary.py") for point in _POINTS)
    for word in display.WORDS.values():
        yield from (Message(text, "lib/core/display.py") for text in (word, f"{{0}} {word}", f"<1>{{0}}</1> {word}"))
    for counted in ("{0} check passed", "{0} checks passed"):
        yield Message(counted, "lib/report/summary.py")
    for words in (display.WHERE.values(), table.VERDICTS.values(), table.WAYS.values()):
        yield from (Message(word, "lib/report/claims/table.py") for word in words)
    for way in table.WAYS.values():
        yield Message(f"{{0}} {way}", "lib/report/claims/table.py")
    for reason in nvml.EVENT_REASONS.values():
        yield Message(reason.replace("_", " "), "lib/host/nvml.py")
    for option in sorted({field for name in profile.names() for field in profile.load(name).tuner.space}):
        option = option.replace("_", " ").lstrip("-")
        yield from (Message(text, "lib/chapters/tuner.py") for text in (option, f"{option} {{0}}"))
    yield Message("Table {0}", "lib/report/sanitize.py")
    for quantity in beside.QUANTITIES:
        yield Message(beside.title(quantity), "lib/report/beside.py")
