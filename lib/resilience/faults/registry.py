"""Every drill by its name, and how they are played: side by side in a few lanes, each with a ground of its own."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib.core.errors import RunbookError, nearest
from lib.resilience.faults import access, card, disks, engine, mains, services
from lib.resilience.faults.drill import Drill, Outcome, Played, SkipError
from lib.resilience.faults.ground import Ground

DRILLS: tuple[Drill, ...] = (
    *engine.DRILLS,
    *card.DRILLS,
    *services.DRILLS,
    *disks.DRILLS,
    *access.DRILLS,
    *mains.DRILLS,
)


def chosen(names: Sequence[str]) -> list[Drill]:
    """Return drills by name, in the registry's order; none named: all.

    Raises
    ------
    RunbookError
        There is no drill of a name.
    """
    known = {drill.name: drill for drill in DRILLS}
    for name in names:
        if name not in known:
            raise RunbookError(
                f"no drill '{name}'", nearest=nearest(name, known), fix=f"one of: {', '.join(sorted(known))}"
            )
    return [drill for drill in DRILLS if not names or drill.name in names]


def play(ground: Ground, drill: Drill, began: float, defended: bool = True) -> Played:
    """Play one drill; what breaks in it is a drill that went red, with the words of what broke."""
    begun = time.monotonic()
    outcome, skipped = None, ""
    try:
        outcome = drill.play(ground, defended)
    except SkipError as reason:
        skipped = str(reason)
    except Exception as error:  # a drill that breaks off has not shown that anything holds
        outcome = Outcome(None, wrong=[f"broke off: {type(error).__name__}: {error}"])
    return Played(drill, outcome, skipped, begun - began, time.monotonic() - begun)


def play_all(folder: Path, drills: Iterable[Drill], lanes: int) -> list[Played]:
    """Play drills, so many side by side, and return them in the order of their beginning."""
    waiting, began = list(drills), time.monotonic()

    def lane(number: int) -> list[Played]:
        found = []
        with Ground(folder / f"lane-{number}") as ground:
            while waiting:
                found.append(play(ground, waiting.pop(0), began))
        return found

    with ThreadPoolExecutor(lanes) as pool:
        played = [one for found in pool.map(lane, range(lanes)) for one in found]
    return sorted(played, key=lambda one: one.began_s)
