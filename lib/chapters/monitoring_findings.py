"""Chapter 12: what the drills left behind: messages on every way, data for every panel, the disk that it takes."""

from collections.abc import Sequence

from lib.chapters.monitoring import Ground
from lib.core.evidence import Check, Measurement
from lib.deploy.monitor import dashboards, targets
from lib.resilience.monitor import show, size
from lib.resilience.monitor.receiver import Event

# A fault and what follows from it, as the gateway's drill shows them.
CAUSE, EFFECT = "GatewayEngineFault", "GatewayErrors"
# Whatever a panel found at any moment of the drills.
LIVE = "last_over_time(({expression})[10m:1s])"


def messages(ground: Ground) -> tuple[Check, ...]:
    """Check that one fault gave one message, on every way."""
    if ground.show is None:
        return ()
    receiver = ground.show.receiver
    found = [
        _arrived("telegram", "Telegram's interface", receiver.chats),
        _arrived("mail", "a mail server", receiver.mails),
    ]
    if "gateway" in {scene.name for scene in ground.show.scenes}:
        found.append(_one_message(ground.show))
    return ground.chapter.record(*found)


def _one_message(running: show.Show) -> Check:
    """Tell whether an effect was held back while its cause was due: both were due at the same time, one was told."""
    both = running.stack.query(f"max_over_time((count({_due(EFFECT)} and on (host) {_due(CAUSE)}))[10m:1s])")
    told = told_beside(running.receiver.events)
    observed = f"both were due; {told} messages about the effect" if both else "they were never due at the same time"
    return Check(
        name="monitoring.one_message",
        title=f"While {CAUSE} is due, {EFFECT} is due too and is not told",
        status="pass" if both and not told else "fail",
        expected="both due, no message about the effect",
        observed=observed,
        fix="lib/deploy/monitor/inhibit.py",
    )


def _due(alert: str) -> str:
    return f'ALERTS{{alertname="{alert}",alertstate="firing"}}'


def told_beside(events: Sequence[Event]) -> int:
    """Count messages about the effect that came while the cause was due on the same host."""
    due: dict[str, bool] = {}
    told = 0
    for event in events:
        name, host = event.labels["alertname"], event.labels.get("host", "")
        if name == CAUSE:
            due[host] = event.status == "firing"
        told += name == EFFECT and event.status == "firing" and due.get(host, False)
    return told


def _arrived(way: str, words: str, texts: list[str]) -> Check:
    due = [text for text in texts if "DUE" in text]
    return Check(
        name="monitoring.message",
        title=f"Messages arrive at {words}, with what to do",
        status="pass" if due else "fail",
        expected="at least one",
        observed=f"{len(texts)}, of which {len(due)} tell of something due",
        conditions={"way": way},
    )


def live(ground: Ground) -> Check | None:
    """Ask Prometheus every expression of the dashboards: each must have had an answer during the drills."""
    if ground.show is None:
        return None
    stack = ground.show.stack
    wanted = dashboards.expressions(stack.watch)
    if ground.engine is None:
        wanted = {place: text for place, text in wanted.items() if not place.startswith("Engine")}
    empty = [place for place, text in wanted.items() if not stack.query(LIVE.format(expression=text))]
    (check,) = ground.chapter.record(
        Check(
            name="monitoring.dashboard.live",
            title="Every panel of the dashboards has data",
            status="fail" if empty else "pass",
            expected=f"{len(wanted)} expressions with an answer",
            observed=f"nothing for: {'; '.join(empty)}" if empty else f"{len(wanted)} of {len(wanted)}",
            fix="runbook/templates/grafana/dashboards.yml.j2",
        )
    )
    return check


def storage(ground: Ground) -> list[Measurement]:
    """Compute the disk that the watching needs, from the series of the targets; record whether the profile has it."""
    if ground.show is None:
        return []
    chapter, monitoring = ground.chapter, ground.chapter.profile.monitoring
    told = ground.show.stack.query("sum(scrape_samples_post_metric_relabeling) + count({__name__=~'host:.+'})")
    # Each kind of target once, as often as the profile has it; here every fault has one of its own.
    each = {
        item["metric"]["job"]: float(item["value"][1])
        for item in ground.show.stack.query("max by (job) (scrape_samples_post_metric_relabeling)")
    }
    wanted = [job.name for job in targets.deployed(chapter.profile) for _ in job.targets]
    here = sum(each.get(name, 0) for name in wanted) + size.NODE_SERIES * wanted.count("node")
    need = size.need(here, monitoring)
    found = chapter.record(
        Measurement(
            name="monitoring.series",
            title="Series of the targets of this profile",
            value=round(here),
            unit="series",
            method="samples of one scrape of each kind of target, and a node exporter with all of its collectors",
            conditions={"in the drills": float(told[0]["value"][1]) if told else 0.0},
        ),
        Measurement(
            name="monitoring.storage_gb",
            title=f"Disk for {need.days} days",
            value=round(need.gigabytes, 2),
            unit="GB",
            method=f"series × samples a day × days × {size.BYTES_A_SAMPLE:g} bytes × {size.MARGIN:g}",
            source=size.SOURCE,
        ),
    )
    chapter.record(
        Check(
            name="monitoring.storage",
            title="The watching fits into its storage",
            status="pass" if need.gigabytes <= monitoring.storage_gb else "warn",
            expected=f"{need.days} days in {monitoring.storage_gb:g} GB",
            observed=f"{need.gigabytes:.2f} GB; {size.days(here, monitoring):.0f} days would fit",
            fix="monitoring.storage_gb or monitoring.retention_days in the profile",
        )
    )
    return list(found)
