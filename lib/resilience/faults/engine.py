"""Faults of the engine itself: killed, hung, deaf, ending again and again, starved of memory; and no fault at all."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from lib.resilience.faults.drill import Drill, Outcome, SkipError
from lib.resilience.faults.ground import QUICK, Ground, Held, stand_in
from lib.resilience.watchdog import ask
from lib.resilience.watchdog.watch import Watch

WAIT_S = 8.0
# Without a defence nothing is waited for longer than this.
LOST_S = 4.0
# Smaller than the answer that is asked for, larger than the stand-in at rest.
LIMIT_BYTES = 128 << 20
CGROUPS = Path("/sys/fs/cgroup")


def killed(ground: Ground, defended: bool) -> Outcome:
    """Kill the engine with SIGKILL."""
    return _struck(ground, "killed", defended, lambda engine: os.kill(engine.pid(), signal.SIGKILL))


def hung(ground: Ground, defended: bool) -> Outcome:
    """Stop the engine's process with SIGSTOP: it is there, and does nothing."""
    return _struck(ground, "hung", defended, lambda engine: os.kill(engine.pid(), signal.SIGSTOP))


def deaf(ground: Ground, defended: bool) -> Outcome:
    """Let the engine answer /health and nothing else; the defence is to ask for a real completion."""
    place, engine = ground.place("deaf"), ground.engine("deaf")
    asks = {} if defended else {engine.name: ask.health}
    with ground.watched(place, engine, asks=asks) as watch, ground.witness() as witness:
        since = time.monotonic()
        httpx.get(f"{engine.url}/deaf?on=true", trust_env=False)
        return _outcome(witness.served_again(since, WAIT_S if defended else LOST_S), witness.errors(since), watch)


def looping(ground: Ground, defended: bool) -> Outcome:
    """Let every start fail at once for two seconds, then let it succeed; the defence is the pause that grows."""
    place = ground.place("looping")
    broken = place / "broken"
    engine = ground.engine("looping", before=["test", "!", "-e", str(broken)])
    settings = QUICK if defended else QUICK.model_copy(update={"pause_s": 0.001, "pause_max_s": 0.001})
    with ground.watched(place, engine, settings=settings) as watch, ground.witness() as witness:
        since = time.monotonic()
        broken.touch()
        os.kill(engine.pid(), signal.SIGKILL)
        time.sleep(2.0)
        starts = len(engine.starts) - 1
        broken.unlink()
        seen = _outcome(witness.served_again(since, WAIT_S), witness.errors(since), watch)
    alerts = [line for line in watch.journal.lines if "again and again" in str(line.get("alert", ""))]
    # 0.2 s, 0.4 s, 0.8 s: within two seconds at most four starts.
    seen.wrong += [f"{starts} starts within 2 s"] if starts > 4 else []
    seen.wrong += [f"{len(alerts)} alerts instead of one"] if len(alerts) != 1 else []
    seen.told = f"{starts} starts within 2 s, {len(alerts)} alert"
    return seen


def blip(ground: Ground, defended: bool) -> Outcome:
    """Let one completion be too slow; the defence is to wait for a second failure before anything is done."""
    settings = QUICK if defended else QUICK.model_copy(update={"bad_after": 1})
    place, engine = ground.place("blip"), ground.engine("blip")
    # Well since its second look: the fifth is the slow one.
    answers = iter([True, True, True, True, False])
    once = {engine.name: lambda url, model, limit: next(answers, True) and ask.completion(url, model, limit)}
    with ground.watched(place, engine, settings=settings, asks=once) as watch, ground.witness() as witness:
        since = time.monotonic()
        seen = _outcome(witness.served_again(since, WAIT_S), witness.errors(since), watch)
    seen.wrong += ["an engine that works was restarted"] if len(engine.starts) > 1 else []
    seen.told = f"seen as {watch.memories[engine.name].state} in the end"
    return seen


def clock_jump(ground: Ground, defended: bool) -> Outcome:
    """Let the wall's clock jump by a day while the engine loads; the defence is a clock that nobody sets."""
    jump = {"s": 0.0}
    clock: Callable[[], float] = time.monotonic if defended else lambda: time.time() + jump["s"]
    slow = QUICK.model_copy(update={"pause_s": 60, "pause_max_s": 60})
    place, engine = ground.place("clock"), ground.engine("clock")
    with ground.watched(place, engine, settings=slow, clock=clock) as watch, ground.witness() as witness:
        os.kill(engine.pid(), signal.SIGKILL)
        time.sleep(0.5)
        began = time.monotonic()
        # Its pause of a minute has hardly begun: a jump must not end it, or a crash loop would have no pauses.
        jump["s"] = 86400.0
        time.sleep(0.8)
        early = len(engine.starts) > 1
        # A jump back by a week must not stretch it either: the owner starts the engine, and it is taken as it is.
        jump["s"] = -7 * 86400.0
        engine.start()
        seen = _outcome(witness.served_again(began, WAIT_S), witness.errors(began), watch)
        time.sleep(0.3)
    seen.wrong += ["the jump ended a pause of 60 s"] if early else []
    return seen


def starved(ground: Ground, defended: bool) -> Outcome:
    """Let the engine take more memory than its group may have: the kernel kills it, and nothing else."""
    with group("runbook-drill") as tasks:
        place = ground.place("starved")
        argv = ["sh", "-c", f"echo $$ > {tasks} && exec {' '.join(stand_in(ground.engine_port))}"]
        engine = ground.engine("starved", argv)
        gateway = ground.gateway.tree()
        with ground.watched(place, engine, on=defended) as watch, ground.witness() as witness:
            since = time.monotonic()
            ground.ask(fake={"size": LIMIT_BYTES, "tokens": 3})
            recovered = witness.served_again(since, WAIT_S if defended else LOST_S)
            seen = _outcome(recovered, witness.errors(since), watch)
        seen.wrong += ["the gateway died with it"] if ground.gateway.tree() != gateway else []
        return seen


@contextmanager
def group(name: str) -> Iterator[Path]:
    """Give the task file of a control group with little memory, of whichever version the kernel has.

    Raises
    ------
    SkipError
        Groups with a limit cannot be made here.
    """
    for base, limit in ((CGROUPS / "memory", "memory.limit_in_bytes"), (CGROUPS, "memory.max")):
        folder = base / f"{name}-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / limit).exists():
                (folder / limit).write_text(str(LIMIT_BYTES))
                yield folder / "cgroup.procs"
                return
        finally:
            _empty(folder)
    raise SkipError("a control group with a memory limit needs root, and a kernel that has them: run as root")


def _empty(folder: Path) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.05)


def _struck(ground: Ground, name: str, defended: bool, strike: Callable[[Held], None]) -> Outcome:
    place, engine = ground.place(name), ground.engine(name)
    with ground.watched(place, engine, on=defended) as watch, ground.witness() as witness:
        since = time.monotonic()
        strike(engine)
        return _outcome(witness.served_again(since, WAIT_S if defended else LOST_S), witness.errors(since), watch)


def _outcome(recovered: float | None, clients: str, watch: Watch) -> Outcome:
    told = [f"`{line['seen']} → {line['state']}`" for line in watch.journal.lines if "seen" in line]
    return Outcome(recovered, clients=clients, told=", ".join(told[:6]))


DRILLS = [
    Drill("engine_killed", "The engine is killed", "the watchdog starts it again", 6, killed),
    Drill("engine_hung", "The engine hangs (SIGSTOP)", "the watchdog ends it and starts it again", 8, hung),
    Drill("engine_deaf", "The engine answers /health and completes nothing", "a real completion is asked for", 8, deaf),
    Drill("engine_loop", "The engine ends at every start", "pauses that grow, one alert", 8, looping),
    Drill("engine_blip", "One answer is too slow", "two failures in a row before anything is done", 1, blip),
    Drill("clock_jump", "The clock jumps by a day and back by a week", "a clock that nobody sets", 5, clock_jump),
    Drill("engine_oom", "The kernel kills the engine for want of memory", "its own group; the watchdog", 8, starved),
]
