"""Words that code puts together from tables: kinds of resources, damages, planted files, what a backup holds.

Also the first sentence of every file that is written on a host: the document shows it as the file's reason.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from lib.core import paths
from lib.core.evidence import Verdict
from lib.core.sections.backup import DEFAULT_ITEMS
from lib.deploy.backup import KINDS
from lib.deploy.template import purpose
from lib.report.language.message import Message
from lib.resilience.backup.damage.registry import DAMAGES

# File, and the words that its code writes before a value.
_BEFORE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lib/deploy/resources/base.py", ("account", "packages", "folder", "file", "secret", "unit", "kernel")),
    ("lib/edge/probes/requests.py", ("status",)),
    (
        "lib/engine/models/manifest.py",
        ("package", "version", "derived from", "method", "layers", "weights of the base"),
    ),
    ("lib/resilience/backup/damage/registry.py", ("damage", "how", "seconds")),
    ("lib/resilience/backup/drill.py", ("restore", "memory", "gateway")),
    ("lib/agents/loop.py", ("plans", "steps")),
)
_HOSTILE = (
    *("zip bomb", "deep nesting", "entities", "deep JSON", "program", "binary", "no notebook", "encrypted PDF"),
    *("symbolic link", "named pipe", "huge file"),
)
_WHOLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lib/edge/probes/requests.py", ("none", "HTTP/1.1 without Host is refused")),
    ("lib/resilience/backup/items.py", ("made again", "made again: {0}")),
    ("lib/resilience/backup/drill.py", ("any over the line",)),
    ("lib/resilience/backup/restic.py", ("restic: {0}",)),
    ("lib/resilience/monitor/records.py", ("{0} arrives", "{0} ends")),
    ("lib/resilience/monitor/scenes/edge.py", ("nginx ends",)),
    ("lib/memory/evaluate/trial.py", ("better", "worse", "no difference shown")),
    ("lib/memory/evaluate/hostile.py", _HOSTILE),
    ("lib/engine/upgrade/trial.py", ("old",)),
    ("lib/engine/speculate/speedup.py", ("below", "crossing")),
    ("lib/engine/roofline/fractions.py", ("compute",)),
    ("lib/chapters/swap_sleep.py", ("first", "later")),
    ("lib/host/smart.py", ("reallocated", "uncorrectable")),
    ("lib/deploy/ups/outage.py", ("power",)),
    ("lib/chapters/tuner.py", ("{0} server start", "{0} server starts")),
    ("runbook/report/appendices.html", ("the claim",)),
)
_SCRIPTS = [paths.ROOT / "lib/deploy/bastion" / name for name in ("auth_service.py", "search_config.py")]
# Templates of the files of a VPS, of home and of the UPS.
_SHOWN = ("compose", "nftables", "nginx", "nut", "systemd", "wireguard")
_PLACE = re.compile(r"\{\{[^}]*\}\}")


def messages() -> Iterator[Message]:
    """Yield the words, those that stand before a value also with it."""
    for where, words in _BEFORE:
        for word in words:
            yield from (Message(text, where) for text in (word, f"{word} {{0}}"))
    for where, words in _WHOLE:
        yield from (Message(word, where) for word in words)
    for verdict in get_args(Verdict):
        yield Message(f"{verdict} here; it depends on the machine", "lib/chapters/claims/judge.py")
    for title in KINDS.values():
        yield Message(f"{title} ({{0}})", "lib/deploy/backup.py")
    for damage in DAMAGES:
        yield from (Message(text, "lib/resilience/backup/damage/registry.py") for text in (damage.how, damage.title))
    for name, item in DEFAULT_ITEMS.items():
        yield from (Message(text, "lib/core/sections/backup.py") for text in (name, item.why, item.rebuild))
    yield from _purposes()


def _purposes() -> Iterator[Message]:
    rendered = [file for folder in _SHOWN for file in sorted((paths.TEMPLATES / folder).glob("*.j2"))]
    for file in (*rendered, *_SCRIPTS):
        yield Message(_numbered(_read(file)), file.relative_to(paths.ROOT).as_posix())


def _read(file: Path) -> str:
    return purpose(file.read_text(encoding="utf-8"))


def _numbered(text: str) -> str:
    count = iter(range(len(_PLACE.findall(text))))
    return _PLACE.sub(lambda _: f"{{{next(count)}}}", text)
