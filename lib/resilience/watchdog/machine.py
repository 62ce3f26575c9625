"""One step of the watchdog, without any doing: what was seen becomes an event, the table says what follows."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

from lib.core.sections import Watchdog
from lib.resilience.watchdog.table import TABLE, Action, Event, State

Process = Literal["running", "ended", "off"]
DAY_S = 86400.0


class Seen(NamedTuple):
    """What a look at an engine showed.

    Parameters
    ----------
    process : str
        running, ended by itself, or off: stopped on purpose.
    running_s : float
        How long its process runs.
    answered : bool
        Whether a real completion came back in time.
    card_lost : bool
        The driver says that the card is gone.
    forbidden : bool
        Power or heat forbid that it runs.
    """

    process: Process
    running_s: float = 0.0
    answered: bool = False
    card_lost: bool = False
    forbidden: bool = False


@dataclass(frozen=True)
class Memory:
    """What the watchdog knows of an engine from before; times are those of one steady clock, s."""

    state: State = "starting"
    since: float = 0.0
    good: int = 0
    bad: int = 0
    restarts: int = 0
    alerted: bool = False
    rebooted: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is worth keeping over the watchdog's own restart."""
        return asdict(self)


class Step(NamedTuple):
    """What one look led to."""

    memory: Memory
    event: Event
    do: tuple[Action, ...]


def pause(restarts: int, settings: Watchdog) -> float:
    """Return the pause before the next start, s: each is twice the one before, up to a limit."""
    # The exponent is bounded: a crash loop of weeks must not overflow.
    return min(settings.pause_s * 2.0 ** min(restarts, 30), settings.pause_max_s)


def event(memory: Memory, seen: Seen, settings: Watchdog, now: float) -> Event:
    """Name what was seen, in the light of what was before."""
    if seen.card_lost:
        return "card_lost_reboot" if _may_reboot(memory, settings, now) else "card_lost"
    waiting = memory.state == "waiting"
    if seen.forbidden or (seen.process == "off" and not waiting):
        return "off"
    if waiting:
        return _waiting(memory, seen, settings, now)
    if memory.state in ("off", "lost"):
        return "up" if seen.process == "running" else "ended"
    if seen.process == "ended":
        return "ended"
    return _asked(memory, seen, settings, now)


def step(memory: Memory, seen: Seen, settings: Watchdog, now: float) -> Step:
    """Return what follows from a look. Doing it is somebody else's work."""
    named = event(memory, seen, settings, now)
    row = TABLE[memory.state, named]
    do = tuple(action for action in row.do if _wanted(action, memory))
    moved = row.next != memory.state
    running = row.next in ("starting", "well", "doubtful") and not (moved and row.next == "starting")
    after = replace(
        memory,
        state=row.next,
        since=now if moved else memory.since,
        good=memory.good + 1 if running and seen.answered else 0,
        bad=memory.bad + 1 if running and not seen.answered else 0,
        restarts=0 if named == "rested" else memory.restarts + ("start" in do),
        alerted=("alert" in do or memory.alerted) and "clear" not in do,
        rebooted=now if "reboot" in do else memory.rebooted,
    )
    return Step(after, named, do)


def _wanted(action: Action, memory: Memory) -> bool:
    """Tell whether an action of the table says something new: one alert for one fault, one word when it is over."""
    if action == "alert":
        return not memory.alerted
    return action != "clear" or memory.alerted


def _may_reboot(memory: Memory, settings: Watchdog, now: float) -> bool:
    if settings.reboot == "never" or memory.state == "lost":
        return False
    return memory.rebooted is None or now - memory.rebooted > DAY_S


def _waiting(memory: Memory, seen: Seen, settings: Watchdog, now: float) -> Event:
    if seen.process == "running":
        return "up"
    if now - memory.since < pause(memory.restarts, settings):
        return "nothing"
    return "loop" if memory.restarts + 1 >= settings.loop_after else "due"


def _asked(memory: Memory, seen: Seen, settings: Watchdog, now: float) -> Event:
    if seen.answered:
        if memory.good + 1 < settings.good_after:
            return "good"
        rested = memory.restarts and memory.state == "well" and now - memory.since >= settings.rest_s
        return "rested" if rested else "good_enough"
    if memory.bad + 1 < settings.bad_after:
        return "bad"
    if memory.state != "starting":
        return "bad_enough"
    return "late" if seen.running_s >= settings.ready_s else "bad"
