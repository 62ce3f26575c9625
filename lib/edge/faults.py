"""Faults of the way in: what a client sees while each happens, and how long until it is served again."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from lib.core.evidence import Check, Measurement
from lib.edge.clients import Way
from lib.edge.stage import CA_FILE, Stage
from lib.edge.tax import PROMPT, Client
from lib.edge.trial import lab

POLL_S = 0.05
# A stream is on its way when this has passed.
UNDER_WAY_S = 0.8
# A client gives up a stream that says nothing for so long. After a cut of 3 s the tunnel may be back after 8, and TCP
# then waits for its next try, 12.6 s after the first one that was lost.
STREAM_TIMEOUT_S = 15
# An answer that took longer was not served as usual.
SLOW_S = 1.0
FORGET_S = 2.2
ROUTER_NEXT = "203.0.113.31"


class Fault(NamedTuple):
    """One fault: what is done, and what the owner may expect of it."""

    name: str
    title: str
    strike: Callable[[Stage], None]
    mend: Callable[[Stage], None]
    survives: bool


def _nothing(_: Stage) -> None:
    """Nothing is left to mend."""


def _cut(stage: Stage) -> None:
    stage.town.router.cable(plugged=False, interface="wan")
    time.sleep(3)
    stage.town.router.cable(plugged=True, interface="wan")


def _tunnel_home(stage: Stage) -> None:
    stage.home.run(["wg-quick", "down", "wg0"])
    stage.home.run(["wg-quick", "up", "wg0"])


def _tunnel_gate(stage: Stage) -> None:
    stage.gate.run(["wg-quick", "down", "wg0"])
    stage.gate.run(["wg-quick", "up", "wg0"])


def _nginx(stage: Stage) -> None:
    # As its unit does: asked to end gracefully, and told to after five seconds.
    gone = "for i in $(seq 100); do pgrep -x nginx >/dev/null || break; sleep 0.05; done"
    stage.gate.run(["sh", "-c", f"nginx -s quit; {gone}; pkill -x nginx; nginx"])


def _nginx_reload(stage: Stage) -> None:
    stage.reload(stage.gate)


def _address(stage: Stage) -> None:
    stage.town.new_address(ROUTER_NEXT)


def _address_back(stage: Stage) -> None:
    stage.town.new_address("203.0.113.30")


def _gate_reboots(stage: Stage) -> None:
    stage.gate.power_cut()
    stage.gate.boot()
    stage.start_gate(stage.bastion.gates[0])


def _home_power(stage: Stage) -> None:
    home = stage.bastion.homes[0]
    stage.close_door(home)
    stage.home.power_cut()
    stage.home.boot()
    stage.start_home(home)


def _home_lost(stage: Stage) -> None:
    home = stage.bastion.homes[0]
    stage.close_door(home)
    stage.home.power_cut()


def _home_back(stage: Stage) -> None:
    stage.home.boot()
    stage.start_home(stage.bastion.homes[0])


def _gate_lost(stage: Stage) -> None:
    stage.gate.power_cut()


def _gate_back(stage: Stage) -> None:
    stage.gate.boot()
    stage.start_gate(stage.bastion.gates[0])


FAULTS = [
    Fault("tunnel_cut", "Home's line is dead for 3 s", _cut, _nothing, survives=True),
    Fault("wireguard_home", "WireGuard restarted at home", _tunnel_home, _nothing, survives=True),
    Fault("wireguard_vps", "WireGuard restarted on the VPS", _tunnel_gate, _nothing, survives=False),
    Fault("nginx_reload", "nginx reads its files again", _nginx_reload, _nothing, survives=True),
    Fault("nginx_restart", "nginx restarted on the VPS", _nginx, _nothing, survives=False),
    Fault("home_address", "Home gets another public address", _address, _address_back, survives=False),
    Fault("vps_reboot", "The VPS loses power and boots", _gate_reboots, _nothing, survives=False),
    Fault("home_power_cut", "The server at home loses power and boots", _home_power, _nothing, survives=False),
    Fault("second_home", "The server at home is gone: the second one answers", _home_lost, _home_back, survives=False),
    Fault("second_vps", "The VPS is gone: the second one answers", _gate_lost, _gate_back, survives=False),
]


class Seen(NamedTuple):
    """What a client saw of one fault."""

    fault: Fault
    recovery_s: float | None
    refused: list[str]
    stream: dict[str, Any]

    @property
    def client(self) -> str:
        """In words."""
        stream = "ran to its end" if self.whole else f"broke off: {self.stream['error'] or 'no end'}"
        tries = f"; {len(self.refused)} requests failed first: {self.refused[0]}" if self.refused else ""
        return f"its stream {stream}{tries}"

    @property
    def whole(self) -> bool:
        """Whether the stream that was on its way came to its own end."""
        return not self.stream["error"] and self.stream["finish"] in ("stop", "length")


class Witnesses(NamedTuple):
    """Two clients on the internet: one in the middle of a stream, one that asks again and again."""

    streaming: Client
    asking: Client


@contextmanager
def witnesses(stage: Stage, way: Way) -> Iterator[Witnesses]:
    """Start both, and end them afterwards."""
    both = Witnesses(Client(way, stage.client, CA_FILE), Client(way, stage.client, CA_FILE))
    try:
        # A client that is still starting would not be in the middle of a stream when the first fault comes.
        for one in both:
            one.ask("probe", timeout=10)
        yield both
    finally:
        both.streaming.close()
        both.asking.close()


def suffer(stage: Stage, fault: Fault, both: Witnesses, tokens: int, wait_s: float) -> Seen:
    """Let a fault happen in the middle of a stream, and ask until the API answers again."""
    both.streaming.begin("stream", tokens=tokens, prompt=PROMPT, times=1, timeout=STREAM_TIMEOUT_S)
    time.sleep(UNDER_WAY_S)
    begun = time.monotonic()
    striking = threading.Thread(target=fault.strike, args=(stage,), daemon=True)
    striking.start()
    try:
        recovery, refused = _ask_until(both.asking, begun, wait_s, striking)
        striking.join(60)
        [stream] = both.streaming.result()
    finally:
        fault.mend(stage)
    _settle(both.asking, wait_s)
    return Seen(fault, recovery, refused, stream)


def _ask_until(
    asking: Client, begun: float, wait_s: float, striking: threading.Thread
) -> tuple[float | None, list[str]]:
    """Ask again and again; served again is when two answers came in a row after the fault was over."""
    refused: list[str] = []
    good, since, slowest = 0, 0.0, 0.0
    while time.monotonic() - begun < wait_s:
        over, asked = not striking.is_alive(), time.monotonic()
        error = asking.ask("probe", timeout=2)
        now = time.monotonic()
        slowest = max(slowest, now - asked)
        if error:
            refused.append(error)
            good = 0
        elif good == 0:
            good, since = 1, now
        elif over:
            return (since - begun if refused or slowest > SLOW_S else 0.0), refused
        time.sleep(POLL_S)
    return None, refused


def _settle(asking: Client, wait_s: float) -> None:
    """Wait until everything is as before, so that the next fault meets a whole bastion."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until and asking.ask("probe", timeout=2):
        time.sleep(POLL_S)
    # nginx forgets by then that a home did not answer.
    time.sleep(FORGET_S)


def records(seen: Seen, wait_s: float) -> Iterator[Check | Measurement]:
    """Yield the verdict on a fault, and the seconds to recovery."""
    fault = seen.fault
    conditions: dict[str, str | int | float | bool | None] = {"fault": fault.name}
    good = seen.recovery_s is not None and (seen.whole or not fault.survives)
    back = "not within the time" if seen.recovery_s is None else f"served again after {seen.recovery_s:.1f} s"
    # A stream that was cut must end in an error: an answer that looks whole and is not would be worse.
    honest = seen.whole or bool(seen.stream["error"])
    yield Check(
        name=f"bastion.fault.{fault.name}",
        title=fault.title,
        status="pass" if good and honest else "fail",
        expected=f"served again within {wait_s:g} s" + (", the stream runs on" if fault.survives else ""),
        observed=f"{back}; {seen.client}"[:300],
        fix="journalctl -u inference-watchdog -u nginx; wg show",
        conditions=conditions,
        provenance=lab(),
    )
    if seen.recovery_s is not None:
        yield Measurement(
            name="bastion.recovery_seconds",
            title=fault.title,
            value=round(seen.recovery_s, 2),
            unit="s",
            method="from the fault to the first of two answers in a row; 0: no request failed or was slow",
            conditions=conditions,
            provenance=lab(),
        )
