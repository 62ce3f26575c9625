"""The register of probes: name, what is expected, what to do when it is red."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from lib.edge.probes.target import Target

Ask = Callable[[Target], tuple[bool, str]]


class Probe(NamedTuple):
    """One thing that is tried from outside. `ask` returns whether it was as expected, and what was seen."""

    name: str
    title: str
    expected: str
    fix: str
    ask: Ask
    last: bool = False


ALL: dict[str, Probe] = {}


def probe(name: str, title: str, expected: str, fix: str, *, last: bool = False) -> Callable[[Ask], Ask]:
    """Register a probe; `last` ones use up a limit and run after all others."""

    def register(ask: Ask) -> Ask:
        add(Probe(name, title, expected, fix, ask, last))
        return ask

    return register


def add(made: Probe) -> None:
    """Put a probe into the register; a name is given once."""
    if made.name in ALL:
        raise ValueError(f"two probes are named {made.name}")
    ALL[made.name] = made


def in_order(names: set[str] | None = None) -> Iterator[Probe]:
    """Yield the named probes, or all; those that use up limits come last."""
    chosen = [made for made in ALL.values() if names is None or made.name in names]
    yield from sorted(chosen, key=lambda made: made.last)
