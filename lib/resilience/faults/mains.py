"""Faults of the mains and of the UPS, with NUT's own programs over a staged battery, and the real gateway in front."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx

from lib.core.sections import PowerSupply
from lib.deploy.ups import outage
from lib.deploy.ups.files import Engine
from lib.gateway import keys
from lib.resilience.faults.drill import Drill, Outcome, SkipError
from lib.resilience.faults.ground import MODEL, ROLE, Ground, Held, free_port, until
from lib.resilience.power import bench
from lib.resilience.power.bench import QUICK, Bench, Patch

SEEN_S = 10.0
# Ends a process and returns when it is gone, as `systemctl stop` does; a zombie is gone.
STOP = (
    'p=$(cat "$0") && kill -TERM $p; '
    'for i in $(seq 100); do grep -q "State:.[^Z]" /proc/$p/status || exit 0; sleep 0.03; done'
)
# Defences of the outage program, as they stand in it, and what stands there without them.
LATCH = ("if self.shutting() or self.on_battery():\n            return", "if False:\n            return")
WEIGHED = ("if left is not None and left <", "if left is not None and 1e9 <")


class Stage(NamedTuple):
    """A ground with its engine running and a UPS behind it."""

    ground: Ground
    bench: Bench
    engine: Held
    place: Path

    def start_engine(self) -> None:
        """Start the engine, as its unit does at boot."""
        self.engine.start()
        until(self.engine.answers, SEEN_S, "the engine does not start")
        (self.place / "engine.pid").write_text(str(self.engine.pid()))

    def stopped(self) -> bool:
        """Tell whether the engine has ended."""
        return self.engine.look()[0] != "running"

    def comes(self, true: Callable[[], object], seconds: float = SEEN_S) -> bool:
        """Tell whether something comes to be within a time."""
        try:
            until(true, seconds, "")
        except TimeoutError:
            return False
        return True

    def goes_down(self, seconds: float = SEEN_S) -> bool:
        """Tell whether the shutdown command is given within a time."""
        return self.comes(self.bench.off.exists, seconds)

    def recover(self, **readings: str) -> float:
        """Boot with the mains back and return the seconds until clients are served."""
        self.engine.stop()
        begun = time.monotonic()
        self.bench.boot("OL", **readings)
        ready = self.bench.event("ready")
        until(lambda: ready.poll() is not None, SEEN_S, "the engines may not start")
        self.start_engine()
        back = self.bench.event("back")
        until(lambda: back.poll() is not None, SEEN_S, "it is not noticed that the engine answers")
        self.ground.until_served()
        return time.monotonic() - begun


@contextmanager
def stage(
    ground: Ground, name: str, patches: Mapping[str, Patch] | None = None, p: PowerSupply = QUICK
) -> Iterator[Stage]:
    """Set up UPS, gateway and engine, all well.

    Raises
    ------
    SkipError
        NUT is not here.
    """
    if why := bench.missing():
        raise SkipError(why)
    place = ground.place(name)
    engine = ground.engine(name)
    held = Engine(ROLE, ground.engine_url, MODEL, ["sh", "-c", STOP, str(place / "engine.pid")])
    url = ground.gateway.url
    with engine.running(), Bench(place, free_port(), [held], ground.holds, url, p, patches) as ups:
        made = Stage(ground, ups, engine, place)
        (place / "engine.pid").write_text(str(engine.pid()))
        ground.until_served()
        yield made


class Streams:
    """Two streams that run when the mains go: a short one, and one that would take a minute."""

    def __init__(self, ground: Ground) -> None:
        self.short = _Stream(ground, {"tokens": 10, "each_s": 0.1})
        self.long = _Stream(ground, {"tokens": 600, "each_s": 0.1})

    def ended(self) -> tuple[str, str]:
        """Wait for both and return how each ended; empty: whole."""
        return self.short.ended(), self.long.ended()


class _Stream(Thread):
    def __init__(self, ground: Ground, wish: Mapping[str, object]) -> None:
        super().__init__(daemon=True)
        self._ground, self._wish = ground, dict(wish)
        self._how = "never ended"
        self.start()

    def run(self) -> None:
        body = {"model": ROLE, "messages": [{"role": "user", "content": "x"}], "stream": True, "fake": self._wish}
        headers = {"authorization": f"Bearer {self._ground.key}"}
        url = f"{self._ground.gateway.url}/v1/chat/completions"
        try:
            with httpx.stream("POST", url, json=body, headers=headers, trust_env=False, timeout=30) as answer:
                told = answer.read().decode()
            self._how = "" if "[DONE]" in told else "an error as its last event" if '"error"' in told else "cut"
        except httpx.TransportError as error:
            self._how = type(error).__name__

    def ended(self) -> str:
        self.join(SEEN_S)
        return self._how


def cut(ground: Ground, defended: bool) -> Outcome:
    """Take the mains away for good, with streams running; the defence is NUT's monitor."""
    with stage(ground, "cut") as on:
        if not defended:
            on.bench.kill("upsmon")
        streams = Streams(ground)
        _, kept = keys.create(ground.keys, f"before-cut-{time.monotonic_ns()}", [keys.ALL_ROLES])
        time.sleep(0.3)
        begun = time.monotonic()
        on.bench.stage("OB", battery_runtime="300")
        if not on.goes_down(SEEN_S if defended else 5):
            return Outcome(None, wrong=["no shutdown command before the battery was empty"])
        took = time.monotonic() - begun
        short, long = streams.ended()
        refused = _refusal(ground)
        wrong = [] if on.comes(on.stopped, 2) else ["the engine was still running"]
        wrong += [f"the short stream: {short}"] if short else []
        wrong += [] if long else ["the long stream ended as if it were whole"]
        wrong += [] if refused == ("503", str(QUICK.retry_after_s)) else [f"new requests got {refused}"]
        recovered = on.recover(battery_charge="60")
        # One answer that does not come is no key that is lost.
        lost = 0 if on.comes(lambda: not ground.ask(key=kept), 5) else 1
        messages = [one for one in on.bench.told() if one.startswith("Power cut")]
        wrong += [f"{len(messages)} messages instead of one"] if len(messages) != 1 else []
        return Outcome(
            recovered,
            lost,
            f"new requests 503 with Retry-After {refused[1]}, the short stream whole, the long one: {long}",
            wrong,
            f"shutdown command {took:.1f} s after the mains went",
            margin_s=300 - took - QUICK.shutdown_s,
        )


def _seen(on: Stage, event: str, times: int) -> bool:
    return on.bench.timeline().count(event) >= times


def flapping(ground: Ground, defended: bool) -> Outcome:
    """Let the mains come and go; the defence is to admit only when they are back for a while."""
    hasty = {"upssched.conf": lambda text: text.replace("EXECUTE online", "EXECUTE stable")}
    # NUT sees a change within two seconds: streams have longer than that, and so has the wait for the mains to stay.
    patient = QUICK.model_copy(update={"drain_s": 8, "stable_s": 5})
    with stage(ground, "flap", None if defended else hasty, patient) as on, ground.witness() as witness:
        since = time.monotonic()
        for number in range(1, 4):
            for status, event in (("OB", "on battery"), ("OL", "mains back")):
                on.bench.stage(status)
                on.comes(partial(_seen, on, event, number), 6)
        recovered = witness.served_again(time.monotonic(), SEEN_S)
        on.comes(lambda: "admitted again" in on.bench.timeline(), 7)
        admitted = on.bench.timeline().count("admitted again")
        wrong = [f"admitted {admitted} times"] if admitted != 1 else []
        wrong += ["the engine was stopped"] if on.stopped() else []
        held = on.bench.timeline().count("on battery")
        return Outcome(
            recovered, clients=witness.errors(since), wrong=wrong, told=f"{held} cuts, admitted {admitted} ×"
        )


def low_at_start(ground: Ground, defended: bool) -> Outcome:
    """Boot with an empty battery; the defence is to wait for its charge before engines start."""
    p = QUICK if defended else QUICK.model_copy(update={"start_charge": 0})
    with stage(ground, "low", p=p) as on:
        on.engine.stop()
        begun = time.monotonic()
        on.bench.boot("OL", battery_charge="15", battery_runtime="90")
        ready = on.bench.event("ready")
        time.sleep(1.0)
        early = ready.poll() is not None
        on.bench.stage("OL", battery_charge="45", battery_runtime="400")
        until(lambda: ready.poll() is not None, SEEN_S, "the engines may not start")
        on.start_engine()
        on.bench.event("back")
        ground.until_served()
        wrong = ["engines started at 15 %"] if early else []
        return Outcome(
            time.monotonic() - begun, clients="503 until then", wrong=wrong, told="waited for 40 % of charge"
        )


def latched(ground: Ground, defended: bool) -> Outcome:
    """Let the mains return when the shutdown is decided; the defence is not to admit requests any more."""
    hasty = {"outage": lambda text: text.replace(*LATCH)}
    with stage(ground, "latch", None if defended else hasty) as on:
        on.bench.stage("OB LB", battery_charge="5", battery_runtime="60")
        wrong = [] if on.goes_down() else ["no shutdown at a low battery"]
        on.bench.stage("OL", battery_charge="6")
        on.comes(lambda: "mains back" in on.bench.timeline(), 4)
        status = on.bench.status()
        on.bench.event("stable").wait(10)
        wrong += [] if "FSD" in status else [f"NUT forgot its FSD: {status}"]
        wrong += ["requests admitted on the way down"] if _refusal(ground)[0] != "503" or not _held(ground) else []
        recovered = on.recover(battery_charge="60")
        wrong += [] if on.bench.status() == "OL" else [f"after boot: {on.bench.status()}"]
        return Outcome(recovered, clients="503 with Retry-After", wrong=wrong, told=f"status {status} until boot")


def link_lost(ground: Ground, defended: bool) -> Outcome:
    """Lose the link to the UPS while the mains are there; the defence is that the owner is told."""
    mute = {"upssched.conf": lambda text: text.replace("AT COMMBAD * EXECUTE lost\n", "")}
    with stage(ground, "link", None if defended else mute) as on, ground.witness() as witness:
        since = time.monotonic()
        on.bench.kill("dummy-ups")
        told = on.comes(lambda: any("does not answer" in one for one in on.bench.told()), 12 if defended else 8)
        on.bench.driver()
        again = on.comes(lambda: any("answers again" in one for one in on.bench.told()), 8)
        wrong = [] if told and again else ["the owner was not told"]
        wrong += ["the engine was stopped"] if on.stopped() else []
        wrong += ["the host went down"] if on.bench.off.exists() else []
        recovered = witness.served_again(since, SEEN_S)
        return Outcome(
            recovered, clients=witness.errors(since), wrong=wrong, told="two messages", owner="the UPS's cable"
        )


def unheard(ground: Ground, defended: bool) -> Outcome:
    """Lose the link while on battery; the defence is NUT's dead time: what is not known counts as empty."""
    blind = {"upsmon.conf": lambda text: text.replace(f"DEADTIME {QUICK.dead_s}", "DEADTIME 600")}
    patient = QUICK.model_copy(update={"drain_s": 60})
    with stage(ground, "blind", None if defended else blind, patient) as on:
        on.bench.stage("OB")
        on.comes(lambda: "on battery" in on.bench.timeline())
        on.bench.kill("dummy-ups")
        if not on.goes_down(15 if defended else 8):
            return Outcome(None, wrong=["no shutdown: the battery would have run empty under load"])
        wrong = [] if on.comes(on.stopped, 2) else ["the engine was still running"]
        return Outcome(on.recover(battery_charge="60"), clients="503 with Retry-After", wrong=wrong)


def second_cut(ground: Ground, defended: bool) -> Outcome:
    """Take the mains away again while the engine loads; the defence is to weigh the run time that is left."""
    bold = {"outage": lambda text: text.replace(*WEIGHED)}
    patient = QUICK.model_copy(update={"drain_s": 60})
    with stage(ground, "second", None if defended else bold, patient) as on:
        on.engine.stop()
        on.bench.boot("OL", battery_charge="45")
        on.bench.event("ready").wait(10)
        on.start_engine()
        on.bench.stage("OB", battery_charge="40", battery_runtime="125")
        if not on.goes_down(SEEN_S if defended else 6):
            return Outcome(None, wrong=["with 125 s left it went on as if there were time"])
        back = on.bench.event("back")
        time.sleep(0.5)
        wrong = ["requests admitted on the way down"] if not _held(ground) else []
        wrong += [] if on.comes(on.stopped, 2) else ["the engine was still running"]
        back.kill()
        return Outcome(on.recover(battery_charge="60"), clients="503 with Retry-After", wrong=wrong)


def _held(ground: Ground) -> bool:
    return (ground.holds / outage.HOLD).exists()


def _refusal(ground: Ground) -> tuple[str, str]:
    """Return status and Retry-After of a new request."""
    body = {"model": ROLE, "messages": [{"role": "user", "content": "x"}]}
    headers = {"authorization": f"Bearer {ground.key}"}
    told = ground.client.post(f"{ground.gateway.url}/v1/chat/completions", json=body, headers=headers)
    return str(told.status_code), told.headers.get("retry-after", "")


DRILLS = [
    Drill("mains_cut", "The mains go for good", "NUT and the order of events", 20, cut),
    Drill("mains_flap", "The mains come and go", "requests are admitted again after a while only", 10, flapping),
    Drill("battery_low", "Low battery at the start", "engines wait for the charge", 20, low_at_start),
    Drill("fsd_latch", "The mains return when the shutdown is decided", "what is decided is done", 20, latched),
    Drill("ups_link", "The UPS stops answering, mains there", "the owner is told; nothing else happens", 8, link_lost),
    Drill("ups_link_battery", "The UPS stops answering, on battery", "silence counts as empty", 20, unheard),
    Drill("second_cut", "A second cut while the engine loads", "the run time that is left is weighed", 20, second_cut),
]
