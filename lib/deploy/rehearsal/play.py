"""The play: apply on fresh twins, verify, apply again, cut the power, verify, take back, see that nothing is left."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lib.core.evidence import Check, Measurement, Provenance, Record
from lib.core.sections import Profile
from lib.core.sections.hosts import HostAccess
from lib.deploy import apply as deploy
from lib.deploy import gate, plan
from lib.deploy.bastion import tunnel
from lib.deploy.concerns import GROUND
from lib.deploy.rehearsal import network, snapshot, storage
from lib.deploy.serving import Service
from lib.deploy.site import Site
from lib.deploy.target import Target, connected
from lib.deploy.verify import verify
from lib.lab import image
from lib.lab.settings import Role
from lib.lab.twins import Lab, lab

PLACE = image.PLACE / "rehearsal"
LAB = Provenance(where="lab")
# A twin without KVM on a busy machine needs its time for SSH's arithmetic.
GREETING_S = 60
# What no twin can have, and so what a green rehearsal does not say.
NOT_REHEARSED = {
    "driver": "the packages of the NVIDIA driver: a twin has no card, and reaches no repository that has them",
    "engine": "the engine's process: its Python packages come from a registry, and a twin reaches none; chapter 05 "
    "starts it on this machine",
    "governor": "clock governor and power limit: a twin has neither; their files and units are rehearsed",
}


@dataclass
class Step:
    """A step with one host, and the seconds that it took."""

    host: str
    seconds: float = 0


@dataclass
class Play:
    """A rehearsal at work: what it found so far, and its transcript.

    Parameters
    ----------
    say : callable
        Gets every line of progress.
    """

    profile: Profile
    services: tuple[Service, ...] = ()
    say: Callable[[str], None] = lambda _: None
    records: list[Record] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def green(self) -> bool:
        """Whether every check so far passed; a skip is no failure, but none at all is no success."""
        checks = [record for record in self.records if isinstance(record, Check)]
        return bool(checks) and all(check.status in ("pass", "skip") for check in checks)

    @property
    def seconds(self) -> float:
        """Time since the curtain rose."""
        return time.monotonic() - self.started

    def tell(self, line: str) -> None:
        """Add a line to the transcript, with the time, and say it."""
        text = f"{self.seconds:6.1f} s  {line}"
        self.transcript.append(text)
        self.say(text)

    @contextmanager
    def step(self, name: str, host: str) -> Iterator["Step"]:
        """Announce a step and measure it."""
        self.tell(f"== {name.replace('_', ' ')} {host}")
        step, began = Step(host), time.monotonic()
        yield step
        step.seconds = round(time.monotonic() - began, 2)
        self.records.append(
            Measurement(
                name="rehearsal.step_seconds",
                title="Time of a step of the rehearsal",
                value=step.seconds,
                unit="s",
                method="monotonic clock",
                conditions={"step": name, "host": host},
                provenance=LAB,
            )
        )

    def check(self, name: str, title: str, good: bool, expected: str, observed: str, step: "Step") -> None:
        """Record a verdict about a step of the play."""
        self.add(
            Check(
                name=f"rehearsal.{name}",
                title=title,
                status="pass" if good else "fail",
                expected=expected,
                observed=observed,
                fix="make rehearse  (the transcript has every step)",
                conditions={"host": step.host, "seconds": step.seconds},
                provenance=LAB,
            )
        )

    def add(self, *found: Check) -> None:
        """Record verdicts; what is not green is told at once."""
        for item in found:
            self.records.append(item.model_copy(update={"provenance": LAB}))
            if item.status == "fail":
                self.tell(f"FAIL {item.name}: expected {item.expected}; {item.observed}")


def rehearse(play: Play, roles: Sequence[Role] = ("home", "vps"), folder: Path = PLACE) -> Play:
    """Go through the whole play on fresh twins; they are gone afterwards, whatever happens.

    Raises
    ------
    RunbookError
        Twins cannot run here (`NoLabError`), or a step failed in a way that leaves nothing to judge.
    """
    with _told(play), lab(folder, roles, play.tell) as twins:
        play.tell(f"twins up: {', '.join(f'{item.role} {item.way}' for item in twins.running.values())}")
        _together(play, twins, roles)
    play.add(
        Check(
            name="rehearsal.tier",
            title="Where it was rehearsed",
            status="pass",
            expected="virtual machines",
            observed="virtual machines",
        )
    )
    for name, words in NOT_REHEARSED.items():
        play.add(
            Check(name=f"rehearsal.not_rehearsed.{name}", title=f"Not rehearsed: {name}", status="skip", observed=words)
        )
    seconds = round(play.seconds, 1)
    play.records.append(
        Measurement(
            name="rehearsal.seconds",
            title="Time of the whole rehearsal",
            value=seconds,
            unit="s",
            method="monotonic clock",
            conditions={"twins": ", ".join(roles), "tier": "virtual machines"},
            provenance=LAB,
        )
    )
    play.tell(f"{'green' if play.green else 'NOT green'} after {seconds:g} s")
    return play


class Meeting:
    """Where the twins wait for each other, and are introduced.

    Parameters
    ----------
    number : int
        How many there are.
    """

    def __init__(self, number: int) -> None:
        self._barrier = threading.Barrier(number)
        self.targets: dict[Role, Target] = {}

    def wait(self) -> None:
        """Wait until all are here."""
        self._barrier.wait()

    def introduce(self, place: Site, role: Role, target: Target) -> Site:
        """Bring a twin's connection along; return its site with what the others say of themselves."""
        self.targets[role] = target
        self.wait()
        bastion = place.profile.bastion
        names = {"home": bastion.homes[0].name, "vps": bastion.gates[0].name}
        met = tunnel.met(place, {names[one]: found for one, found in self.targets.items() if one != role})
        self.wait()
        return met

    def leave(self) -> None:
        """Let nobody wait any longer."""
        self._barrier.abort()


def _together(play: Play, twins: Lab, roles: Sequence[Role]) -> None:
    """Go through all twins at once: each has a processor of its own, and two of them wait for different things."""
    pool, meeting = ThreadPoolExecutor(len(roles)), Meeting(len(roles))

    def host(role: Role) -> None:
        try:
            _host(play, twins, role, meeting)
        except BaseException:
            meeting.leave()
            raise

    try:
        for done in as_completed([pool.submit(host, role) for role in roles]):
            # Who waited in vain for another has nothing to say; the other has.
            with contextlib.suppress(threading.BrokenBarrierError):
                done.result()
    finally:
        meeting.leave()
        # Not waited for: when one failed or ctrl-C came, the twins go, and what still talks to them ends with that.
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _told(play: Play) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        play.tell(f"ended: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        raise


def site(play: Play, role: Role) -> Site:
    """Return a twin as the concerns see it: the same profile, the same code, and a mark that it is a twin."""
    return Site(network.reachable(play.profile), role, role, play.services if role == "home" else (), lab=True)


def access(twins: Lab, role: Role) -> HostAccess:
    """Return how a twin is reached: over SSH, like any host."""
    known = str(twins.folder / "known_hosts")
    return HostAccess(role=role, address="127.0.0.1", port=twins.port(role), key=str(image.KEY), known_hosts=known)


def _host(play: Play, twins: Lab, role: Role, meeting: Meeting) -> None:
    """Go through the play with one twin; it waits for the others wherever one needs another."""
    place, known = site(play, role), gate.digest(play.profile)

    def told(line: str) -> None:
        play.tell(f"{role:5} {line}")

    network.lay(twins, play.profile, role)
    storage.lay(twins, play.profile, role, told)
    with _reached(twins, role) as target:
        with play.step("look", role):
            before, broken = snapshot.take(target), snapshot.failed(target)
        with play.step("apply", role) as step:
            changes = deploy.apply(target, place, known, told, only=GROUND).changes
            place = meeting.introduce(place, role, target)
            for item in plan.plan(target, place):
                play.transcript.append(item.diff())
            changes += deploy.apply(target, place, known, told).changes
        play.check("apply", "The plan was carried out", bool(changes), "changes", f"{len(changes)} changes", step)
        meeting.wait()
        with play.step("verify", role):
            play.add(*verify(target, place, "apply", "rehearsal"))
        with play.step("second_apply", role) as step:
            again = deploy.apply(target, place, known, told).changes
        seen = ", ".join(change.title for change in again) or "0 changes"
        play.check("second_apply", "A second apply changes nothing", not again, "0 changes", seen, step)
    meeting.wait()
    with play.step("power_cut", role) as step:
        twins.power_cut(role)
        twins.power_on(role)
    with _reached(twins, role) as target:
        # Waits for the end of the boot, nothing else: how our units fare is asked by `verify`, one by one.
        target.run("timeout 180 systemctl is-system-running --wait || true")
        meeting.wait()
        with play.step("verify_after_power_cut", role):
            found = verify(target, place, "power cut", "rehearsal")
        play.add(*found)
        bad = [check.name for check in found if check.status == "fail"]
        good = f"all of {len(found)} checks green"
        play.check("power_cut", "A power cut changes nothing", not bad, good, ", ".join(bad) or good, step)
        new = sorted(snapshot.failed(target) - broken)
        seen = ", ".join(new) or "none"
        play.check(
            "failed_units", "After a power cut no unit has failed that had not before", not new, "none", seen, step
        )
        meeting.wait()
        with play.step("undo", role) as step:
            restored = deploy.undo(target, told)
        wanted, seen = len({change.title for change in changes}), f"{len(restored)} restored and equal"
        title = "Everything was taken back and is as its record says"
        play.check("undo", title, len(restored) == wanted, f"{wanted} restored and equal", seen, step)
        with play.step("nothing_left", role) as step:
            left = snapshot.difference(before, snapshot.take(target))
        play.transcript += left
        title = "Files, packages, units, firewall, kernel values and accounts are as before"
        play.check("nothing_left", title, not left, "no difference", "; ".join(left[:8]) or "no difference", step)


@contextmanager
def _reached(twins: Lab, role: Role) -> Iterator[Target]:
    with connected(role, access(twins, role), GREETING_S) as target:
        yield target
