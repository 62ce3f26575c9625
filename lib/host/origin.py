"""Where a finding comes from: this machine, or a recorded one that is replayed."""

from collections.abc import Iterable
from typing import TypeVar

from lib.core.evidence import Record
from lib.host.probe import Host

R = TypeVar("R", bound=Record)


def marked(host: Host, records: Iterable[R]) -> list[R]:
    """Return the records; those of a recorded machine say so, unless they are cited."""
    return [item if host.kind == "live" or item.provenance.where == "cited" else _recorded(item) for item in records]


def _recorded(item: R) -> R:
    return item.model_copy(update={"provenance": item.provenance.model_copy(update={"where": "recorded"})})
