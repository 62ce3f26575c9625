"""Chapter 13: the way down on battery, the watchdog's table, and every fault played against real processes."""

import json
import tempfile
import time
from pathlib import Path

from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Decision, Measurement
from lib.deploy.template import purpose
from lib.deploy.ups import files, outage
from lib.host import probe
from lib.resilience.faults import registry
from lib.resilience.faults.drill import Played, records
from lib.resilience.power import budget
from lib.resilience.watchdog import heat, table

# Stands in the plan where the host fills in what only it knows.
SECRET = "(made on the host)"  # noqa: S105 - no secret


def runtime(chapter: Chapter) -> tuple[Check, ...]:
    """Record whether the battery lasts for the way down."""
    return chapter.record(budget.check(probe.current(), chapter.profile))


def way_down(chapter: Chapter) -> display.Html:
    """Show the steps from the mains' end to disks at rest, with their seconds."""
    p = chapter.profile.power_supply
    rows, at = [], 0.0
    for phase in budget.phases(p):
        rows.append({"From": f"{at:g} s", "Step": phase.name, "At most": f"{phase.seconds:g} s"})
        at += phase.seconds
    return display.table(rows, f"On battery; {at:g} s of run time are needed", numeric=("From", "At most"))


def states() -> display.Html:
    """Show the watchdog's table."""
    rows = [
        {**row, "next state": display.code(row["next state"]), "and is done": display.code(row["and is done"])}
        for row in table.rows()
    ]
    return display.table(rows, "The watchdog; what a state does not name changes nothing")


def ladder(chapter: Chapter) -> display.Html:
    """Show what is done about heat."""
    return display.table(heat.rows(chapter.profile.watchdog), "Heat, one step at a time")


def changes(chapter: Chapter) -> list[Change]:
    """Record the files of NUT as planned changes; they are raw files."""
    p = chapter.profile.power_supply
    rendered = files.nut(p, files.Place(driver=p.driver, port=p.port, secret=SECRET))
    found: list[Change] = []
    for name, text in rendered.items():
        saved = chapter.save(f"nut/{name}", text)
        change = Change(
            name="power.file",
            title=f"NUT: {name}",
            status="planned",
            target=f"/etc/nut/{name}",
            before="(as the package brings it)",
            after=f"{len(text.splitlines())} lines",
            reason=purpose(text),
            undo="restored from what was found",
        )
        found += chapter.record(change, artifacts=[saved])
    return found


def play(chapter: Chapter) -> list[Played]:
    """Play the profile's drills and record what each showed; all that was seen is a raw file."""
    wanted = chapter.profile.faults
    drills = registry.chosen(wanted.drills)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="drills-") as folder:
        played = registry.play_all(Path(folder), drills, min(wanted.lanes, len(drills)))
    told = [
        {"drill": one.drill.name, "began_s": round(one.began_s, 2), "took_s": round(one.took_s, 2), **_told(one)}
        for one in played
    ]
    raw = chapter.save("drills.json", json.dumps(told, indent=1))
    for one in played:
        chapter.record(*records(one), artifacts=[raw])
    chapter.record(_enough(played, time.monotonic() - started))
    return played


def verdicts(chapter: Chapter) -> list[Check]:
    """Return the verdicts of all drills."""
    return chapter.checks("drill.")


def seconds(chapter: Chapter) -> list[Measurement]:
    """Return what was measured of the way down: the margin."""
    return chapter.measurements("power.")


def faults_table(played: list[Played]) -> display.Html:
    """Show for each fault what clients saw, what was lost, the seconds to recovery, and what is left for the owner."""
    rows = []
    for one in played:
        seen = one.outcome
        back = None if seen is None else seen.recovery_s
        rows.append(
            {
                "Fault": one.drill.title,
                "Held by": one.drill.defence,
                "Clients saw": "not played here" if seen is None else seen.clients,
                "Lost": "" if seen is None else str(seen.lost),
                "Seconds": "-" if back is None else f"{back:.1f}",
                "The owner": "" if seen is None else seen.owner,
            }
        )
    return display.table(rows, "Every fault that was played", numeric=("Lost", "Seconds"))


def decide(chapter: Chapter) -> Decision:
    """Decide whether the house stands on its own, from what the drills showed."""
    found = verdicts(chapter)
    red = [check.title for check in found if check.status == "fail"]
    skipped = [check.title for check in found if check.status == "skip"]
    lost = sum(one.value for one in chapter.measurements("drill.lost"))
    choice = f"Not yet: {', '.join(red)}" if red else "It may run unattended, as far as these faults go"
    reason = (
        f"{len(found) - len(red) - len(skipped)} of {len(found)} checks hold, {lost:g} acknowledged things were lost. "
        + (f"Not played on this machine: {', '.join(skipped)}. " if skipped else "")
        + f"{outage.HOLD.capitalize()} and heat stop admission through the gateway's folder of holds; the watchdog "
        "starts nothing that power forbids."
    )
    names = ["drill.recovery_seconds", "drill.lost", "power.shutdown_margin_seconds"]
    return Decision(
        name="faults.decision",
        title="Unattended for weeks",
        choice=choice,
        reason=reason,
        evidence=[name for name in names if chapter.measurements(name)],
        alternatives=["somebody at hand day and night"],
    )


def _told(one: Played) -> dict[str, object]:
    seen = one.outcome
    return {"skipped": one.skipped} if seen is None else {"green": one.green, **vars(seen)}


def _enough(played: list[Played], took_s: float) -> Check:
    """Judge how many of the drills could be played."""
    done = [one for one in played if one.outcome is not None]
    return Check(
        name="faults.played",
        title="Drills played",
        status="pass" if len(done) == len(played) else "warn",
        expected=f"all {len(played)} that the profile names",
        observed=f"{len(done)} of {len(played)}, in {took_s:.0f} s",
        fix="; ".join(sorted({one.skipped for one in played if one.skipped})),
    )
