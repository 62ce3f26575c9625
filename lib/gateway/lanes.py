"""Which engine has the card: requests wait in lanes, and the lane that waited longest gets room.

Two rules keep a storm of alternating requests from thrashing. An engine that was woken keeps its card for `hold_s` as
long as it is asked, and no longer than `linger_s` without requests. None leaves its card while it answers: once another
one waited long enough no new request enters, and the last answer opens the card.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from lib.core.errors import RunbookError
from lib.core.sections.gateway import Gateway
from lib.gateway import errors
from lib.gateway.queue import FairQueue, Ticket
from lib.gateway.switch import Way

State = Literal["awake", "asleep", "changing"]
log = logging.getLogger(__name__)


class Swap(NamedTuple):
    """One change of a card: who left, who came, how long both took, s."""

    left: tuple[str, ...]
    came: str
    seconds: float


class Lane:
    """One engine, the requests that it works on, and those that wait for it."""

    def __init__(self, name: str, way: Way, *, card: str, gib: float, running: int = 0) -> None:
        self.name, self.way, self.card, self.gib, self.limit = name, way, card, gib, running
        self.state: State = "awake"
        self.waiting = FairQueue()
        self.running = 0
        self.draining = False
        self.awake_since = self.last_used = float("-inf")
        self.down_until = float("-inf")
        self.fault = ""

    @property
    def open(self) -> bool:
        """Whether a request may enter now."""
        return self.state == "awake" and not self.draining and not (self.limit and self.running >= self.limit)

    @property
    def idle(self) -> bool:
        """Whether nobody wants anything of it."""
        return not self.running and not self.waiting


class Scheduler:
    """Lets requests into lanes, and moves engines on and off their cards.

    Parameters
    ----------
    settings : Gateway
        Bounds and times.
    lanes : sequence of Lane
        All engines.
    on_swap : callable
        Told after each change of a card.
    """

    def __init__(self, settings: Gateway, lanes: Sequence[Lane], on_swap: Callable[[Swap], None]) -> None:
        self.settings, self.on_swap = settings, on_swap
        self.lanes: Mapping[str, Lane] = {lane.name: lane for lane in lanes}
        self._changing: dict[str, asyncio.Task[None]] = {}
        self._alarms: dict[str, asyncio.TimerHandle] = {}

    def down(self, name: str) -> str:
        """Return why an engine is out of use now, or the empty string."""
        lane = self.lanes[name]
        return lane.fault if lane.down_until > _now() else ""

    async def enter(self, name: str, client: str) -> float:
        """Wait for a place in an engine's lane, and return how long that took, s. Whoever enters has to `leave`.

        Raises
        ------
        RefusalError
            Too many wait already (429), the wait got too long, or the engine cannot be had (503).
        """
        lane = self.lanes[name]
        if lane.down_until > _now():
            raise errors.unavailable(lane.fault, lane.down_until - _now())
        if lane.open and not lane.waiting:
            self._admit(lane)
            return 0.0
        if len(lane.waiting) >= self.settings.queue:
            raise errors.too_many(f"{len(lane.waiting)} requests wait for {name} already", self._patience(lane))
        ticket = Ticket(client, _now())
        lane.waiting.add(ticket)
        self._step(lane.card)
        try:
            async with asyncio.timeout(self.settings.queue_s):
                await ticket.turn
        except TimeoutError:
            waited = f"{name} had no room within {self.settings.queue_s:g} s"
            raise errors.unavailable(waited, self._patience(lane)) from None
        except asyncio.CancelledError:
            if ticket.turn.done() and not ticket.turn.cancelled() and ticket.turn.exception() is None:
                self.leave(name)  # it had been let in at the same moment
            raise
        finally:
            lane.waiting.remove(ticket)
            self._step(lane.card)
        return _now() - ticket.since

    def leave(self, name: str) -> None:
        """Give back a place."""
        lane = self.lanes[name]
        lane.running -= 1
        lane.last_used = _now()
        if lane.waiting or not lane.running:
            self._step(lane.card)

    def fail(self, name: str, why: str, seconds: float = 0) -> None:
        """Take an engine out of use for a while, and refuse those who wait for it: they may have another one."""
        lane = self.lanes[name]
        lane.fault, lane.down_until = why, _now() + (seconds or self.settings.probe_s)
        for ticket in lane.waiting.clear():
            if not ticket.turn.done():
                ticket.turn.set_exception(errors.unavailable(why, self.settings.probe_s))
        self._step(lane.card)

    async def look(self, name: str) -> None:
        """Ask an engine whether it is on its card: at the start, and after it was out of use."""
        lane = self.lanes[name]
        if lane.card in self._changing:
            return
        before = lane.state
        try:
            awake = await lane.way.awake()
        except RunbookError as error:
            self.fail(name, error.what)
            return
        if lane.card in self._changing or lane.state != before:
            return  # a change of the card overtook the answer
        lane.state = "awake" if awake else "asleep"
        lane.down_until, lane.awake_since = float("-inf"), _now() - self.settings.hold_s
        self._step(lane.card)

    async def close(self) -> None:
        """Wait for changes under way; an engine is not left half asleep."""
        for alarm in self._alarms.values():
            alarm.cancel()
        await asyncio.gather(*self._changing.values(), return_exceptions=True)

    def _admit(self, lane: Lane) -> None:
        lane.running += 1
        lane.last_used = _now()

    def _step(self, card: str) -> None:
        """Let in who may enter; then begin a change of the card, if one is due."""
        lanes = [lane for lane in self.lanes.values() if lane.card == card]
        for lane in lanes:
            self._let_in(lane)
        if card in self._changing:
            return
        wanted = min(
            (lane for lane in lanes if lane.waiting and lane.state == "asleep" and lane.down_until <= _now()),
            key=lambda lane: lane.waiting.oldest,
            default=None,
        )
        if wanted is None:
            for lane in lanes:  # whoever wanted the card has gone
                lane.draining = False
                self._let_in(lane)
            return
        self._make_room(card, lanes, wanted)

    def _let_in(self, lane: Lane) -> None:
        while lane.waiting and lane.open:
            ticket = lane.waiting.pop()
            if not ticket.turn.done():
                self._admit(lane)
                ticket.turn.set_result(None)

    def _make_room(self, card: str, lanes: Sequence[Lane], wanted: Lane) -> None:
        victims = self._victims(card, lanes, wanted)
        if victims is None:
            self.fail(wanted.name, f"{wanted.name} does not fit on {card} beside what always stays there")
            return
        due = max((self._free_at(lane) for lane in victims), default=0.0)
        if due > _now():
            self._alarm(card, due)
            return
        for lane in victims:
            lane.draining = True
        if not any(lane.running for lane in victims):
            task = asyncio.get_running_loop().create_task(self._change(card, victims, wanted))
            self._changing[card] = task

    def _victims(self, card: str, lanes: Sequence[Lane], wanted: Lane) -> list[Lane] | None:
        """Return who has to leave, least recently used first; None where that is not enough."""
        awake = [lane for lane in lanes if lane.state == "awake"]
        if not card:
            return []  # a place of its own
        free = self.settings.cards[card] - sum(lane.gib for lane in awake)
        victims: list[Lane] = []
        for lane in sorted(awake, key=lambda lane: lane.last_used):
            if free >= wanted.gib:
                break
            if lane.way.name != "always":
                victims.append(lane)
                free += lane.gib
        return victims if free >= wanted.gib else None

    def _free_at(self, lane: Lane) -> float:
        if lane.draining:
            return float("-inf")  # decided already; whoever came since then waits
        held = lane.awake_since + self.settings.hold_s
        # An engine that is idle for a moment after each answer would linger anew each time, and never go.
        return min(held, lane.last_used + self.settings.linger_s) if lane.idle else held

    def _alarm(self, card: str, due: float) -> None:
        if card in self._alarms:
            self._alarms[card].cancel()
        self._alarms[card] = asyncio.get_running_loop().call_at(due, self._step, card)

    async def _change(self, card: str, victims: Sequence[Lane], wanted: Lane) -> None:
        begun, at_work = _now(), wanted
        try:
            for at_work in victims:
                at_work.state = "changing"
                await at_work.way.leave()
                at_work.state, at_work.draining = "asleep", False
            at_work = wanted
            wanted.state = "changing"
            await wanted.way.come()
            wanted.state, wanted.awake_since = "awake", _now()
            wanted.last_used = _now()
            self.on_swap(Swap(tuple(lane.name for lane in victims), wanted.name, _now() - begun))
        except Exception as error:
            told = error.what if isinstance(error, RunbookError) else f"{type(error).__name__}: {error}"
            log.error("%s did not change its card: %s", at_work.name, told)
            at_work.state, at_work.draining = "asleep", False
            self.fail(at_work.name, f"{at_work.name} could not be changed: {told}")
        finally:
            del self._changing[card]
            self._step(card)

    def _patience(self, lane: Lane) -> float:
        """Return after how many seconds a refused client may come again."""
        return 1.0 if lane.state == "awake" and not lane.draining else max(1.0, self.settings.hold_s / 2)


def _now() -> float:
    return asyncio.get_running_loop().time()
