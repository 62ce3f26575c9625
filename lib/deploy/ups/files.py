"""NUT's files and the settings of the outage program, rendered from the profile. Nothing here touches a host."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lib.core.sections import PowerSupply
from lib.deploy.template import render

FOLDER = "/etc/inference-power"
OUTAGE = f"{FOLDER}/outage"
SETTINGS = f"{FOLDER}/outage.json"
STATE = "/var/lib/inference-power"
RUN = "/run/inference-power"
PORT = 3493
# Debian's and Ubuntu's own place, which the last script of a shutdown asks for.
POWERDOWN_FLAG = "/etc/killpower"
# NUT's events; those that upssched has no line for are only logged.
EVENTS = ("ONLINE", "ONBATT", "LOWBATT", "FSD", "COMMOK", "COMMBAD", "SHUTDOWN", "REPLBATT", "NOCOMM", "NOPARENT")


class Place(NamedTuple):
    """What differs between a host and the lab.

    Parameters
    ----------
    driver, port : str
        Of the UPS.
    nut_port : int
        Where upsd listens on this machine.
    secret : str
        The password between upsmon and upsd, or what stands for it until it is filled in.
    outage : str
        The program that events call.
    state, run : str
        Folders: what outlives a boot, and what does not.
    lab : bool
        In the lab nothing is written to the system's log.
    """

    driver: str
    port: str
    secret: str
    nut_port: int = PORT
    outage: str = OUTAGE
    state: str = STATE
    run: str = RUN
    powerdown_flag: str = POWERDOWN_FLAG
    upssched: str = "/sbin/upssched"
    lab: bool = False


class Engine(NamedTuple):
    """An engine as the outage program holds it: how it is stopped, and how a real answer is asked for."""

    name: str
    url: str
    model: str
    stop: Sequence[str]
    task: str = "chat"

    def told(self) -> dict[str, object]:
        """Return its part of the settings."""
        chat = {"model": self.model, "messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 1}
        vector = {"model": self.model, "input": "yes"}
        path, ask = ("/v1/chat/completions", chat) if self.task == "chat" else ("/v1/embeddings", vector)
        return {"name": self.name, "url": self.url, "stop": list(self.stop), "path": path, "ask": ask}


def nut(p: PowerSupply, place: Place) -> dict[str, str]:
    """Return NUT's files by name."""
    values = {
        "p": p,
        "events": EVENTS,
        "drain_s": max(1, round(p.drain_s)),
        "stable_s": max(1, round(p.stable_s)),
        **place._asdict(),
    }
    names = ("nut.conf", "ups.conf", "upsd.conf", "upsd.users", "upsmon.conf", "upssched.conf")
    return {name: render(f"nut/{name}.j2", **values) for name in names}


def settings(
    p: PowerSupply, place: Place, engines: Sequence[Engine], holds: str, gateway: str, more: Mapping[str, object]
) -> str:
    """Return the settings of the outage program, JSON.

    Parameters
    ----------
    holds : str
        The gateway's folder of holds.
    gateway : str
        Its address, for its count of running requests.
    more : mapping
        What the lab replaces: the shutdown command for instance.
    """
    told = {
        "ups": f"{p.ups}@127.0.0.1:{place.nut_port}",
        "upsc": ["upsc"],
        "upsmon": ["/sbin/upsmon"],
        "holds": holds,
        "state": place.state,
        "run": place.run,
        "gateway": gateway,
        "engines": [engine.told() for engine in engines],
        "drain_s": p.drain_s,
        "stop_s": p.stop_s,
        "shutdown_s": p.shutdown_s,
        "margin_s": p.margin_s,
        "start_charge": p.start_charge,
        "retry_after_s": p.retry_after_s,
        "poll_s": p.poll_s,
        "notify": p.notify,
        "final": ["/sbin/shutdown", "-h", "now"],
        **more,
    }
    return json.dumps(told, indent=1) + "\n"
