"""Drills: a fault is brought about, the alert arrives as a message, the fault ends, and so does the alert."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from lib.deploy.monitor.targets import Job
from lib.resilience.monitor.receiver import Receiver

Source = Literal["real", "recorded"]
Act = Callable[[], None]


@dataclass(frozen=True)
class Drill:
    """One fault and the alerts that it must raise.

    Parameters
    ----------
    alerts : tuple of str
        Alerts that must arrive, and end.
    fault : str
        What happens, in words.
    cause, end : callable
        Bring the fault about and take it away.
    source : str
        real: the thing itself was broken. recorded: hardware that is not here, told by what it would say.
    labels : mapping
        Labels of the alerts beside their name and host.
    """

    alerts: tuple[str, ...]
    fault: str
    cause: Act
    end: Act
    source: Source = "real"
    labels: Mapping[str, str] = field(default_factory=dict)


class Scene(Protocol):
    """Something that can be watched and broken: a context of its own, with a host name of its own."""

    name: str

    def open(self, folder: Path) -> None:
        """Start it."""

    def jobs(self) -> Sequence[Job]:
        """Return who is asked, once it is open."""

    def drills(self) -> Sequence[Drill]:
        """Return its drills, in the order in which they are done."""

    def close(self) -> None:
        """End it. Doing it twice does no harm."""


class Outcome(NamedTuple):
    """What came of one alert of a drill; None: it did not come within the time."""

    alert: str
    scene: str
    fault: str
    source: Source
    fired_s: float | None
    cleared_s: float | None


def play(scenes: Sequence[Scene], receiver: Receiver, wait_s: float) -> list[Outcome]:
    """Do the drills of all scenes, side by side; within a scene one after the other."""
    with ThreadPoolExecutor(max(1, len(scenes))) as pool:
        found = list(pool.map(lambda scene: _scene(scene, receiver, wait_s), scenes))
    return [outcome for outcomes in found for outcome in outcomes]


def _scene(scene: Scene, receiver: Receiver, wait_s: float) -> list[Outcome]:
    return [outcome for drill in scene.drills() for outcome in _drill(scene.name, drill, receiver, wait_s)]


def _drill(host: str, drill: Drill, receiver: Receiver, wait_s: float) -> list[Outcome]:
    """Do one drill; the fault is taken away whatever happens."""
    began = time.monotonic()
    try:
        drill.cause()
        fired = _wait(host, drill, "firing", receiver, began, wait_s)
    finally:
        ended = time.monotonic()
        drill.end()
    due = [name for name, seconds in fired.items() if seconds is not None]
    cleared = _wait(host, drill, "resolved", receiver, ended, wait_s, due)
    return [Outcome(name, host, drill.fault, drill.source, fired[name], cleared.get(name)) for name in drill.alerts]


def _wait(
    host: str,
    drill: Drill,
    status: str,
    receiver: Receiver,
    since: float,
    wait_s: float,
    names: Sequence[str] | None = None,
) -> dict[str, float | None]:
    """Return the seconds to this status of every alert; all are waited for together."""
    until = time.monotonic() + wait_s
    return {
        name: receiver.wait(
            {"alertname": name, "host": host, **drill.labels}, status, since, max(0.1, until - time.monotonic())
        )
        for name in (drill.alerts if names is None else names)
    }
