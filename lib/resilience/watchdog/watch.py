"""The watchdog at work: look, step, do; for every engine and for the heat of the card."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag

from lib.core.sections import Watchdog
from lib.deploy.ups import outage
from lib.gateway import admission
from lib.resilience.watchdog import ask, heat, machine
from lib.resilience.watchdog.ask import Ask
from lib.resilience.watchdog.card import Card, NoCard
from lib.resilience.watchdog.engines import Engine
from lib.resilience.watchdog.heat import Heat, HeatAction
from lib.resilience.watchdog.journal import Journal
from lib.resilience.watchdog.machine import Memory, Seen
from lib.resilience.watchdog.table import Action

HEAT_HOLD = "heat"


class Watch:
    """One watchdog over the engines of a host.

    Parameters
    ----------
    settings : Watchdog
        The profile's section.
    engines : sequence of Engine
        What it watches.
    journal : Journal
        Where it tells.
    holds : Path
        The gateway's folder of holds; power's hold forbids to start anything.
    card : Card
        Whose heat and loss count.
    asks : mapping of str to Ask
        How an engine is asked, by its name; by default for a completion.
    reboot : callable
        Restarts the host.
    clock : callable
        A clock that nobody sets: the wall's jumps.
    """

    def __init__(
        self,
        settings: Watchdog,
        engines: Sequence[Engine],
        journal: Journal,
        holds: Path,
        card: Card | None = None,
        asks: Mapping[str, Ask] | None = None,
        reboot: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.engines, self.journal, self.holds = settings, engines, journal, holds
        self.card, self.asks, self.reboot, self.clock = card or NoCard(), asks or {}, reboot, clock
        self.memories = {engine.name: Memory(since=clock()) for engine in engines}
        self.heat = Heat()
        self.ended = Flag()
        self._pool = ThreadPoolExecutor(max(1, len(engines)), thread_name_prefix="watchdog")
        self._remember()

    def run(self) -> None:
        """Look again and again until `ended` is set."""
        while not self.ended.is_set():
            self.look()
            self.ended.wait(self.settings.every_s)
        self._pool.shutdown(cancel_futures=True)

    def look(self) -> None:
        """Look once at everything; engines side by side, for one that hangs costs its whole time."""
        lost = self.card.lost()
        self._heat()
        list(self._pool.map(lambda engine: self._engine(engine, lost), self.engines))
        wall, now = time.time(), self.clock()
        self.journal.keep(
            {
                "time": wall,
                "heat": self.heat.level,
                "engines": {
                    name: {
                        "state": memory.state,
                        "restarts": memory.restarts,
                        "alerted": memory.alerted,
                        "rebooted": None if memory.rebooted is None else wall - (now - memory.rebooted),
                    }
                    for name, memory in self.memories.items()
                },
            }
        )

    def _engine(self, engine: Engine, lost: bool) -> None:
        process, running_s = engine.look()
        asked = self.asks.get(engine.name, ask.completion)
        running = process == "running" and not lost
        answered = running and asked(engine.url, engine.model, self.settings.answer_s)
        seen = Seen(process, running_s, answered, lost, self._forbidden())
        before = self.memories[engine.name]
        step = machine.step(before, seen, self.settings, self.clock())
        self.memories[engine.name] = step.memory
        if step.memory.state != before.state or step.do:
            self.journal.write(
                engine=engine.name, seen=step.event, state=step.memory.state, do=",".join(step.do) or "-"
            )
        for action in step.do:
            self._do(action, engine, step.memory)

    def _do(self, action: Action, engine: Engine, memory: Memory) -> None:
        if action == "start":
            engine.start()
        elif action == "stop":
            engine.stop()
        elif action == "reboot":
            self.journal.alert(f"{engine.name}: the host is rebooted to get its card back")
            self.reboot()
        elif action == "clear":
            self.journal.alert(f"{engine.name} is well again")
        elif memory.state == "lost":
            self.journal.alert(f"{engine.name}: its card fell off the bus (Xid 79); power off, reseat it, boot")
        else:
            self.journal.alert(f"{engine.name} ends again and again: {memory.restarts} restarts without rest")

    def _heat(self) -> None:
        temperature = self.card.temperature_c()
        step = heat.step(self.heat, temperature, self.settings, self.clock())
        self.heat = step.heat
        for action in step.do:
            self.journal.write(heat=step.heat.level, temperature=temperature, do=action)
            self._cool(action)

    def _cool(self, action: HeatAction) -> None:
        if action in ("cap", "uncap"):
            self.card.cap(self.settings.cap_share if action == "cap" else 1.0)
        elif action == "shed":
            admission.hold(self.holds, HEAT_HOLD, "The card is too hot: no new requests.", round(self.settings.calm_s))
        elif action == "admit":
            admission.release(self.holds, HEAT_HOLD)
        elif action == "stop":
            self.journal.alert("the card is too hot: its engines are stopped until it is cool")
            for engine in self.engines:
                engine.stop()
        elif not (self.holds / outage.HOLD).exists():
            for engine in self.engines:
                engine.start()

    def _forbidden(self) -> bool:
        return self.heat.level == "stopped" or (self.holds / outage.HOLD).exists()

    def _remember(self) -> None:
        """Take up what an earlier watchdog noted: a restart of it must not forget a crash loop or a reboot."""
        told = self.journal.kept().get("engines")
        wall, now = time.time(), self.clock()
        for name, memory in self.memories.items():
            noted = told.get(name) if isinstance(told, dict) else None
            if not isinstance(noted, dict):
                continue
            rebooted = noted.get("rebooted")
            self.memories[name] = Memory(
                since=memory.since,
                restarts=int(noted.get("restarts") or 0),
                alerted=bool(noted.get("alerted")),
                rebooted=now - (wall - float(rebooted)) if isinstance(rebooted, int | float) else None,
            )
