"""Faults of the card, which is staged: it falls off the bus, it overheats. Watchdog, gateway and engine are real."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Literal

from lib.host.probe import Output
from lib.resilience.faults.drill import Drill, Outcome
from lib.resilience.faults.engine import LOST_S, WAIT_S
from lib.resilience.faults.ground import QUICK, Ground, until
from lib.resilience.watchdog import card
from lib.resilience.watchdog.watch import Watch

LOADED = "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64"
FELL = "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."


class StagedCard:
    """A card on stage: its temperature and its host's kernel log are set, what is done to it is kept."""

    kind: Literal["constructed"] = "constructed"

    def __init__(self) -> None:
        self.temperature: float | None = 50.0
        self.log = [LOADED]
        self.caps: list[float] = []

    def temperature_c(self) -> float | None:
        """Return what was set."""
        return self.temperature

    def lost(self) -> bool:
        """Read the kernel log with the code that reads a real one."""
        return card.gone(self)

    def cap(self, share: float) -> None:
        """Keep the share."""
        self.caps.append(share)

    def run(self, *_: str, timeout: float = 0) -> Output:  # noqa: ARG002 - a host's signature
        """Return the kernel log."""
        return Output(0, "\n".join(self.log))

    def read(self, _: str) -> None:
        """Have no files."""

    def glob(self, _: str) -> list[str]:
        """Have no files."""
        return []

    def nvml(self) -> dict[str, Any] | None:
        """Have no library."""
        return None


def lost(ground: Ground, defended: bool) -> Outcome:
    """Let the card fall off the bus; the defence is the policy that allows one reboot a day."""
    staged, boots = StagedCard(), []
    engine = ground.engine("card")

    def boot() -> None:
        boots.append(time.monotonic())
        staged.log = [LOADED]
        engine.start()

    settings = QUICK.model_copy(update={"reboot": "once_a_day" if defended else "never"})
    place = ground.place("card-lost")
    with (
        ground.watched(place, engine, staged, settings, reboot=boot) as watch,
        ground.witness() as witness,
    ):
        since = time.monotonic()
        staged.log.append(FELL)
        os.kill(engine.pid(), signal.SIGSTOP)
        recovered = witness.served_again(since, WAIT_S if defended else LOST_S)
        alerts = [line["alert"] for line in watch.journal.lines if "fell off" in str(line.get("alert", ""))]
        starts = len(engine.starts) - 1 - len(boots)
        seen = Outcome(recovered, clients=witness.errors(since), told=f"{len(boots)} reboot, {len(alerts)} alert")
    seen.wrong += [f"{len(alerts)} alerts instead of one"] if len(alerts) != 1 else []
    seen.wrong += [f"started {starts} times without its card"] if starts else []
    seen.wrong += [f"{len(boots)} reboots"] if len(boots) > 1 else []
    seen.owner = "see why: cable, slot, supply" if boots else "reboot"
    return seen


def hot(ground: Ground, defended: bool) -> Outcome:
    """Heat the card step by step and let it cool; the defence is the ladder."""
    staged, engine = StagedCard(), ground.engine("heat")
    settings = QUICK if defended else QUICK.model_copy(update={"hot_s": 1e6})
    place = ground.place("heat")
    wrong: list[str] = []
    with ground.watched(place, engine, staged, settings) as watch, ground.witness() as witness:
        since = time.monotonic()
        for level, temperature in (("capped", 81.0), ("shedding", 86.0), ("stopped", 91.0)):
            staged.temperature = temperature
            if not _reaches(watch, level):
                wrong.append(f"not {level} at {temperature:g} °C")
                break
        running = not _comes(lambda: engine.look()[0] != "running")
        wrong += ["the engine runs on at its hottest"] if running else []
        cooled = time.monotonic()
        staged.temperature = 60.0
        recovered = witness.served_again(cooled, WAIT_S) if not running else None
        cool = _reaches(watch, "cool")
        steps = [str(line["do"]) for line in watch.journal.lines if "heat" in line]
        seen = Outcome(
            recovered, clients=witness.errors(since), wrong=wrong, told=", ".join(f"`{step}`" for step in steps)
        )
    wrong += [] if cool and staged.caps == [settings.cap_share, 1.0] else [f"power limits set: {staged.caps}"]
    right = ["cap", "shed", "stop", "start", "admit", "uncap"]
    wrong += [] if steps == right else ["not one rung after the other"]
    return seen


def _reaches(watch: Watch, level: str) -> bool:
    return _comes(lambda: watch.heat.level == level)


def _comes(true: Callable[[], object]) -> bool:
    try:
        until(true, 2.5, "")
    except TimeoutError:
        return False
    return True


DRILLS = [
    Drill("card_lost", "The card falls off the bus (Xid 79)", "one reboot a day, where the policy allows it", 8, lost),
    Drill("card_hot", "The card overheats", "a lower limit, then no new requests, then no engine", 8, hot),
]
