"""Chapter 10: two models that take turns on one card by restart, asked alternately: what a change takes, how often."""

import tempfile
from pathlib import Path
from statistics import median

from lib.chapters import gate
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement
from lib.engine.serve.process import alive
from lib.gateway import keys
from lib.gateway.process import Gateway
from lib.gateway.roles import Roles
from lib.gateway.storm import Answered, Changes, changes, storm

CARD = "one for both"
# A request of the storm waits for so many starts at most, each no longer than `serving.ready_timeout_s`.
STARTS = 4


def run(chapter: Chapter) -> list[Measurement]:
    """Start a gateway with two engines of its own, send the storm, and record what was counted."""
    settings = chapter.profile.gateway
    pair = _pair(Roles(settings))
    if not settings.storm or len(pair) < 2:
        return []
    limit = STARTS * chapter.profile.serving.ready_timeout_s
    with tempfile.TemporaryDirectory(prefix="runbook-keys-") as folder:
        file = Path(folder) / "keys.json"
        _, key = keys.create(file, "storm", [keys.ALL_ROLES])
        gateway = Gateway(
            chapter.profile.name, _settings(chapter, pair, file, limit), chapter.artifact("storm.log"), limit
        )
        try:
            with chapter.engine_time("storm"), gateway:
                tree = gateway.tree()
                answered = storm(gateway.url, key, list(pair), settings.storm, settings.storm_every_s, limit)
                counted = changes(gateway.url, key)
        except RunbookError as error:
            chapter.record(_broke(error), artifacts=gate.keep(gateway.log))
            return []
    left = sum(alive(process) for process in tree)
    told = chapter.record(*_measurements(chapter, answered, counted), artifacts=gate.keep(gateway.log))
    chapter.record(_verdict(answered, counted, left))
    return list(told)


def show(found: list[Measurement]) -> display.Html:
    """Show what was measured, or that it was not asked for."""
    if found:
        return display.measurements(found)
    told = "Not measured in this run: two models change by restart with --thorough, or --set gateway.storm=24."
    return display.Html(f"<p>{told}</p>", told)


def _pair(roles: Roles) -> dict[str, str]:
    """Return two roles that chat, with models of their own."""
    chosen: dict[str, str] = {}
    for role, told in roles.settings.roles.items():
        model = roles.engine(told.engine).model
        if roles.chats(role) and model not in chosen.values() and len(chosen) < 2:
            chosen[role] = model
    return chosen


def _settings(chapter: Chapter, pair: dict[str, str], file: Path, limit: float) -> dict[str, object]:
    shares = {"card": CARD, "gib": 1.0, "switch": "restart", "url": ""}
    return {
        "gateway.engines": {role: {"model": model, **shares} for role, model in pair.items()},
        "gateway.roles": {role: {"engine": role} for role in pair},
        "gateway.cards": {CARD: 1.5},
        "gateway.queue_s": limit,
        "gateway.hold_s": chapter.profile.gateway.hold_s,
        "gateway.keys": str(file),
        "gateway.host": "127.0.0.1",
        "gateway.port": 0,
        "gateway.memory": False,
    }


def _measurements(chapter: Chapter, answered: list[Answered], counted: dict[str, Changes]) -> list[Measurement]:
    settings = chapter.profile.gateway
    load = {"requests": len(answered), "every_s": settings.storm_every_s, "hold_s": settings.hold_s}
    each = [
        Measurement(
            name="gateway.swap_seconds",
            title="One model ended, another one started and ready, by restart",
            value=round(told.seconds / told.number, 2),
            unit="s",
            n=told.number,
            method="the gateway's own histogram: sum over count",
            conditions={"engine": engine, "switch": "restart"},
        )
        for engine, told in counted.items()
        if told.number
    ]
    number = float(sum(told.number for told in counted.values()))
    waited = round(median(one.waited_s for one in answered), 2)
    more = (
        ("gateway.storm_swaps", "Changes under a storm of alternating requests", number, ""),
        ("gateway.storm_wait_s", "Wait for an engine in the storm, median", waited, "s"),
    )
    method = "requests for two models alternately, faster than either can start"
    return each + [
        Measurement(name=name, title=title, value=value, unit=unit, n=len(answered), method=method, conditions=load)
        for name, title, value, unit in more
    ]


def _verdict(answered: list[Answered], counted: dict[str, Changes], left: int) -> Check:
    number, whole = sum(told.number for told in counted.values()), sum(one.status == 200 for one in answered)
    # Without hysteresis nearly each request is a change. With it: there, back, and once more for the last ones.
    good = whole == len(answered) and 1 <= number <= max(3, len(answered) // 8) and not left
    return Check(
        name="gateway.storm",
        title="A storm of alternating requests does not thrash",
        status="pass" if good else "fail",
        expected="every request is answered; changes are at most an eighth of the requests; nothing is left running",
        observed=f"{whole} of {len(answered)} answered, {number} changes, {left} processes left",
        fix="raise gateway.hold_s; read storm.log in the raw files",
    )


def _broke(error: RunbookError) -> Check:
    return Check(
        name="gateway.storm",
        title="A storm of alternating requests does not thrash",
        status="fail",
        expected="every request is answered",
        observed=error.what,
        fix="read storm.log in the raw files",
    )
