"""Chapter 16: what would be set on the hosts, rehearsed on twins, applied where the owner says so."""

import html
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from lib.chapters import rehearsal_spaces
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Decision, Measurement, append
from lib.core.sections import Profile
from lib.deploy import apply as deploy
from lib.deploy import gate, serving, verify
from lib.deploy.bastion import tunnel
from lib.deploy.concerns import concerns, things
from lib.deploy.plan import Difference, plan
from lib.deploy.rehearsal import play
from lib.deploy.served import STORE
from lib.deploy.serving import Service
from lib.deploy.site import Site
from lib.deploy.target import connected
from lib.edge import tokens
from lib.engine.models import catalogue
from lib.engine.serve import command
from lib.gateway import keys
from lib.lab.settings import Role
from lib.lab.tools import NoLabError

SERVICE_PORT = 8000
ROLES: tuple[Role, ...] = ("home", "vps")
UNKNOWN = "deploy.bastion.introduced"
Say = Callable[[str], None]


def services(profile: Profile) -> tuple[Service, ...]:
    """Return the engines that a home serves: the profile's model, with the flags that chapter 05 starts it with."""
    model = catalogue.load()[profile.models.served]
    store = Path(profile.models.store)
    folder = (store if store.is_absolute() else Path(STORE)) / model.name
    flags = command.arguments(profile, model, folder, profile.serving.port or SERVICE_PORT)
    return (serving.service(profile, model.name, flags, command.environment(profile)),)


def site(profile: Profile, host: str) -> Site:
    """Return a host of the profile as the concerns see it; its neighbours were asked for their public keys.

    Raises
    ------
    RunbookError
        A host on the other side of the tunnel cannot be reached.
    """
    role = profile.hosts[host].role
    serves = services(profile) if role == "home" else ()
    store = keys.place(profile.gateway.keys)
    place = Site(
        profile,
        host,
        role,
        serves,
        keys=_text(store) if role == "vps" else "",
        token_secrets=_text(store.with_name(tokens.SECRETS)) if role == "vps" else "",
    )
    if role not in ROLES or not tunnel.wanted(place):
        return place
    with ExitStack() as stack:
        others = {
            machine: stack.enter_context(connected(name, profile.hosts[name], profile.deploy.connect_timeout_s))
            for machine, name in tunnel.names(place).items()
        }
        return tunnel.met(place, others)


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def fresh(profile: Profile, role: Role) -> list[Difference]:
    """Return what a fresh host of a role would get, without looking at any; keys have no text before they are made."""
    host = next((name for name, access in profile.hosts.items() if access.role == role), role)
    bastion = profile.bastion
    other = bastion.homes[:1] if role == "vps" else bastion.gates[:1]
    told = {machine.name: f"(made on {machine.name})" for machine in other}
    serves = services(profile) if role == "home" else ()
    place = Site(profile, host, role, serves, public_keys=told, preshared=told if role == "home" else {})
    return [Difference(each.name, item, "absent") for each in concerns(place) for item in things(each, place)]


def planned(profile: Profile, host: str) -> list[Difference]:
    """Look at a host of the profile and return what would change. Changes nothing."""
    with connected(host, profile.hosts[host], profile.deploy.connect_timeout_s) as target:
        return plan(target, site(profile, host))


def rehearse(profile: Profile, folder: Path, say: Say) -> play.Play:
    """Rehearse on fresh twins; transcript and evidence go to the folder, and a green one opens the gate.

    Where twins cannot run, network namespaces show what they can: the gate stays closed, and the evidence says why.

    Raises
    ------
    RunbookError
        The play broke off; the transcript says where.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work, known = play.Play(profile, services(profile), say), gate.digest(profile)
    try:
        play.rehearse(work, ROLES)
    except NoLabError as error:
        say(str(error))
        work.add(*rehearsal_spaces.rehearse(profile, error))
    finally:
        (folder / "transcript.txt").write_text(paths.portable("\n".join(work.transcript) + "\n"))
    (folder / "evidence.jsonl").unlink(missing_ok=True)
    append(folder / "evidence.jsonl", work.records)
    if work.green:
        gate.remember(profile, "virtual machines", work.seconds, known=known)
    return work


def apply(profile: Profile, host: str, say: Say) -> tuple[list[Change], list[Check]]:
    """Apply to a host of the profile, and verify it.

    Raises
    ------
    RefusedError
        No green rehearsal of this digest, or the host's name was not typed.
    RunbookError
        The host cannot be reached or changed.
    """
    gate.need_rehearsal(profile)
    gate.need_name(host)
    place = site(profile, host)
    with connected(host, profile.hosts[host], profile.deploy.connect_timeout_s) as target:
        done = deploy.apply(target, place, gate.digest(profile), say)
        return done.changes, verify.verify(target, place, "apply")


def apply_all(profile: Profile, say: Say) -> list[Change | Check]:
    """Apply to every host of the profile; one that did not know the other side of the tunnel yet gets a second turn.

    Raises
    ------
    RefusedError
        Not every host's name was typed, or there is no green rehearsal; nothing was changed then.
    """
    gate.need_rehearsal(profile)
    hosts = sorted((name for name in profile.hosts if profile.hosts[name].role in ROLES), key=_door_first(profile))
    changed: list[Change] = []
    verdicts: dict[str, list[Check]] = {}
    for host in (*hosts, *hosts):
        if host in verdicts and not any(check.name == UNKNOWN for check in verdicts[host] if check.status == "fail"):
            continue
        done, verdicts[host] = apply(profile, host, say)
        changed += done
    return [*changed, *(check for found in verdicts.values() for check in found)]


def _door_first(profile: Profile) -> Callable[[str], bool]:
    """Order hosts so that a VPS has made its keys before a home asks for them."""
    return lambda name: profile.hosts[name].role != "vps"


def undo(profile: Profile, host: str, say: Say) -> list[str]:
    """Take back everything that was applied to a host of the profile.

    Raises
    ------
    RefusedError
        The host's name was not typed.
    RunbookError
        The host cannot be reached, or something could not be restored.
    """
    gate.need_name(host)
    with connected(host, profile.hosts[host], profile.deploy.connect_timeout_s) as target:
        return deploy.undo(target, say)


def overview(profile: Profile) -> display.Html:
    """Show what each role gets, concern by concern."""
    rows = []
    for role in ROLES:
        for found in {item.concern: None for item in fresh(profile, role)}:
            items = [item.resource.key for item in fresh(profile, role) if item.concern == found]
            rows.append({"Host": role, "Concern": found, "Things": str(len(items)), "Which": ", ".join(items)})
    return display.table(rows)


def changes(chapter: Chapter) -> tuple[Change, ...]:
    """Record and return everything that a fresh home and a fresh VPS would get."""
    return chapter.record(*(item.change(role) for role in ROLES for item in fresh(chapter.profile, role)))


def do(chapter: Chapter) -> display.Html:
    """Rehearse or apply as the run's mode says; in mode plan nothing is done, and the last rehearsal is named."""
    if chapter.mode == "plan":
        known = gate.rehearsed(chapter.profile)
        words = f"rehearsed {known['time']}, green, {known['tier']}" if known else "not rehearsed yet: make rehearse"
        told = f"Mode plan: nothing is done. This digest ({gate.digest(chapter.profile)}) was {words}."
        return display.Html(f"<p>{told}</p>", told)
    lines: list[str] = []
    if chapter.mode == "rehearse":
        with chapter.engine_time("rehearsal"):
            work = rehearse(chapter.profile, chapter.artifact("transcript.txt").parent, lines.append)
        chapter.record(*work.records, artifacts=[chapter.artifacts / "transcript.txt"], command="make rehearse")
    else:
        chapter.record(*apply_all(chapter.profile, lines.append))
    shown = "\n".join(lines[-12:])
    return display.Html(f'<pre class="rb-diff">{html.escape(shown)}</pre>', shown)


def not_rehearsed(found: Sequence[Check]) -> list[Check]:
    """Return what no twin can show."""
    return [check for check in found if check.status == "skip"]


def times(found: Sequence[Measurement]) -> list[Measurement]:
    """Return the times of the steps."""
    return [item for item in found if item.name.startswith("rehearsal.")]


def decide(chapter: Chapter) -> Decision:
    """Return whether the gate is open."""
    known = gate.rehearsed(chapter.profile)
    return Decision(
        name="rehearsal.decision",
        title="Apply",
        choice="The gate is open for this digest" if known else "The gate is closed: apply is refused",
        reason=f"A green rehearsal of {gate.digest(chapter.profile)} is on record."
        if known
        else "There is no green rehearsal of this profile, code and templates.",
        evidence=["rehearsal.seconds", "rehearsal.second_apply", "rehearsal.undo", "rehearsal.nothing_left"],
    )
