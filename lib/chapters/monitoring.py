"""Chapter 12: what is watched and who is told; every alert seen to fire and to clear, against the real programs."""

import atexit
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from lib.chapters import gate
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Decision
from lib.deploy.monitor import dashboards, files, targets
from lib.engine.models import fetch
from lib.engine.serve.server import Server, StartError
from lib.resilience.monitor import alerts, judge, records, scenes, show
from lib.resilience.monitor.drill import Outcome, Scene
from lib.resilience.monitor.scenes.engine import OVERLOAD, Engine, small
from lib.resilience.monitor.scenes.host import DISK_ALERTS

ENGINE_ALERTS = (*OVERLOAD, "EngineDown")


def look(chapter: Chapter) -> display.Html:
    """Show who is asked."""
    rows = [
        {"Asked as": job.name, "Host": target.host, "Address": target.address, "From outside": job.module or "no"}
        for job in targets.deployed(chapter.profile)
        for target in job.targets
    ]
    return display.table(rows, f"Every {chapter.profile.monitoring.scrape_s} s")


def plan(chapter: Chapter) -> display.Html:
    """Show every alert: when it is due, how bad it is, what is to be done."""
    rows = [
        {
            "Alert": alert.name,
            "Due when": display.code(alert.expr),
            "For": display.duration(alert.hold_s) if alert.hold_s else "at once",
            "Severity": alert.severity,
            "What to do": alert.fix,
        }
        for alert in alerts.read(files.deployed(chapter.profile)).values()
    ]
    return display.table(rows, f"{len(rows)} alerts")


def changes(chapter: Chapter) -> tuple[Change, ...]:
    """Record every file of the watching as a planned change; the files are raw files."""
    watch = files.deployed(chapter.profile)
    texts = {f"{files.FOLDER}/{name}": text for name, text in files.watching(watch).items()}
    texts[f"{files.FOLDER}/{files.COUNTERS}"] = files.counters()
    texts |= {f"/var/lib/grafana/dashboards/{name}": text for name, text in dashboards.files(watch).items()}
    found: list[Change] = []
    for path, text in texts.items():
        saved = chapter.save(f"files/{Path(path).name}", text)
        change = Change(
            name="monitoring.file",
            title=Path(path).name,
            status="planned",
            target=path,
            before="(not there)",
            after=f"{len(text.splitlines())} lines",
            reason="Rendered from the profile; no secret is in it",
            undo="python -m lib deploy undo",
        )
        found += chapter.record(change, artifacts=[saved])
    return tuple(found)


def verify(chapter: Chapter) -> tuple[Check, ...]:
    """Let every program judge its files, and promtool try every alert."""
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder, ThreadPoolExecutor(2) as pool:
        place = Path(folder)
        tested = pool.submit(judge.cases, place / "cases")
        watch = files.deployed(chapter.profile)
        checks = judge.syntax(watch, place / "files")
        checks.append(judge.expressions(dashboards.expressions(watch), place))
        return chapter.record(*checks, tested.result())


class Ground:
    """The drills of this chapter: the engine, everything else, and one Prometheus that watches it all."""

    def __init__(self, chapter: Chapter) -> None:
        self.chapter = chapter
        self.engine: Server | None = None
        self.show: show.Show | None = None
        self.outcomes: list[Outcome] = []
        self._stack = ExitStack()
        # However the chapter ends, everything ends with it.
        atexit.register(self.close)

    def start(self) -> tuple[Check, ...]:
        """Start everything; without the programs all is a visible skip."""
        if lacking := judge.missing():
            return self.chapter.record(_no_programs(lacking))
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=_scratch())))
        played = show.possible(scenes.scenes())
        wait = self.chapter.profile.monitoring.wait_s
        with self.chapter.engine_time("start"), ThreadPoolExecutor(1) as pool:
            started = pool.submit(self._start_engine)
            self.show = self._stack.enter_context(
                show.opened_show(folder, played, wait, late=lambda: self._engine_scenes(started))
            )
        return tuple(self.chapter.checks("serving."))

    def _engine_scenes(self, started: Future[None]) -> list[Scene]:
        """Wait for the engine, which starts while everything else does."""
        started.result()
        if self.engine is None:
            return []
        scene = Engine(self.engine)
        self._stack.callback(scene.close)
        return [scene]

    def _start_engine(self) -> None:
        profile, model = small(self.chapter.profile), gate.model(self.chapter)
        folder = fetch.folder(model.name, profile.models.store)
        engine = Server(profile, model, folder, self.chapter.artifact("engine.log"), gate.progress(self.chapter))
        error = None
        try:
            engine.start()
        except StartError as failure:
            error = failure
        found = gate.started(engine, error)
        self.chapter.record(found.check, artifacts=found.artifacts, command=found.command, model=model.name)
        self.engine = None if error else engine

    def close(self) -> None:
        """End everything but the engine. Doing it twice does no harm."""
        self._stack.close()
        self.show = None


def play(ground: Ground) -> tuple[Check, ...]:
    """Break everything, wait for the messages, mend it, wait for their end."""
    if ground.show is None:
        return ()
    chapter, wait = ground.chapter, ground.chapter.profile.monitoring.wait_s
    with chapter.engine_time("drills"):
        ground.outcomes = ground.show.play()
    logs = chapter.save("programs.txt", paths.portable(show.short_logs(ground.show.folder)))
    told = chapter.save("messages.txt", "\n\n".join(ground.show.receiver.chats))
    chapter.record(*records.records(ground.outcomes, wait), artifacts=[logs, told])
    chapter.record(records.every_alert(list(alerts.read(alerts.reference())), ground.outcomes, _left_out(ground)))
    return (*chapter.checks("monitoring.alert."), *chapter.checks("monitoring.every_alert"))


def _left_out(ground: Ground) -> list[str]:
    """Return the alerts whose drills cannot be done here: no engine, or no right to mount."""
    played = {scene.name for scene in ground.show.scenes} if ground.show else set()
    return [
        *(() if "engine" in played else ENGINE_ALERTS),
        *(() if "disk" in played else DISK_ALERTS),
    ]


def stop(ground: Ground) -> tuple[Check, ...]:
    """End everything, and check that nothing of the engine is left."""
    ground.close()
    return gate.stop(ground.chapter, ground.engine)


def decide(chapter: Chapter) -> Decision:
    """Say whether this watching may be relied on."""
    seen = chapter.checks("monitoring.alert.")
    failed = [check for check in chapter.checks("monitoring.") if check.status == "fail"]
    if not seen:
        return Decision(
            name="monitoring.reliable",
            choice="Nothing is decided",
            reason="Nothing was tried: Prometheus and its exporters are not here.",
            evidence=[check.name for check in chapter.checks() if check.status == "skip"],
        )
    if failed:
        return Decision(
            name="monitoring.reliable",
            choice="This watching is not to be relied on",
            reason="Failed: " + "; ".join(f"{check.title} ({check.observed})" for check in failed[:5]),
            evidence=[check.name for check in failed],
        )
    slowest = max(chapter.measurements("alert.fired_seconds"), key=lambda one: one.value)
    recorded = sum(check.conditions["source"] == "recorded" for check in seen)
    return Decision(
        name="monitoring.reliable",
        choice="This watching may be relied on, at the pace of the profile",
        reason=f"{len(seen)} alerts arrived and ended; the slowest, {slowest.conditions['alert']}, took "
        f"{slowest.value:.1f} s. {recorded} of them were raised by recorded words of hardware that is not here.",
        evidence=["monitoring.every_alert", "monitoring.rules.tested", "alert.fired_seconds", "alert.cleared_seconds"],
        alternatives=["a hosted service: sees the house only from outside, and costs every month"],
    )


def _scratch() -> Path:
    folder = paths.CACHE / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _no_programs(lacking: list[str]) -> Check:
    return Check(
        name="monitoring.programs",
        title="Prometheus, Alertmanager and exporters are here",
        status="skip",
        expected="all of them",
        observed=f"not here: {', '.join(lacking)}",
        fix=f"sudo apt-get install -y --no-install-recommends {' '.join(lacking)}",
    )
