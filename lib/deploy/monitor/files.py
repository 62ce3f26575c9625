"""The files of Prometheus, Alertmanager and the exporters, rendered from the profile, at the pace that is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from lib.core.sections import Profile
from lib.core.sections.monitoring import Limits, Mail
from lib.deploy.monitor import pace, targets
from lib.deploy.monitor.inhibit import INHIBITIONS
from lib.deploy.monitor.pace import Pace
from lib.deploy.monitor.targets import Job
from lib.deploy.template import render
from lib.host.xid import OF_PROGRAMS

FOLDER = "/etc/prometheus"
SECRETS = f"{FOLDER}/secrets"
PROMETHEUS, ALERTS, RULES = "prometheus.yml", "alerts.yml", "rules.yml"
ALERTMANAGER, MESSAGE, BLACKBOX, COUNTERS = "alertmanager.yml", "message.tmpl", "blackbox.yml", "dcgm-counters.csv"
# What Prometheus fills in when an alert is due; the templates of the runbook name it without braces of its own.
FILLED = {
    "where": "{{ $labels.host }}",
    "mount": "{{ $labels.mountpoint }}",
    "job": "{{ $labels.job }}",
    "value": "{{ $value | humanize }}",
    "percent": "{{ $value | humanizePercentage }}",
    "duration": "{{ $value | humanizeDuration }}",
}


class Ways(NamedTuple):
    """How the owner is told.

    Parameters
    ----------
    telegram, webhook : mapping or str
        Values of the template; empty: not this way.
    deadman : str
        Where signs of life go.
    """

    telegram: Mapping[str, object] | None = None
    mail: Mail | None = None
    webhook: str = ""
    deadman: str = ""


@dataclass(frozen=True)
class Watch:
    """Everything that the templates need.

    Parameters
    ----------
    gpu_c : float
        From where on a card is hot; the profile's `temperature_warn_c`.
    ttft_s, tpot_s : float
        Limits of latency, of the 95th percentile.
    alertmanager, blackbox : str
        Where they listen.
    trust_anybody : bool
        Certificates of the public address are not judged: a twin has one that nobody signed.
    """

    folder: str
    pace: Pace
    limits: Limits
    gpu_c: float
    power_cap_w: float
    ttft_s: float
    tpot_s: float
    jobs: Sequence[Job] = ()
    ways: Ways = field(default_factory=Ways)
    repeat_hours: float = 4
    alertmanager: str = f"{targets.HERE}:{targets.ALERTMANAGER}"
    blackbox: str = f"{targets.HERE}:{targets.BLACKBOX}"
    trust_anybody: bool = False

    def with_limits(self, **changed: Any) -> "Watch":
        """Return the same with other limits."""
        return replace(self, limits=self.limits.model_copy(update=changed))


def deployed(profile: Profile) -> Watch:
    """Return the watching of a profile as a host gets it."""
    monitoring, card = profile.monitoring, next((gpu for gpu in profile.host.gpus if gpu.vendor == "nvidia"), None)
    gate = profile.bastion.gates[0]
    messages = monitoring.messages
    telegram = {"chat": messages.telegram_chat, "secret": f"bot_token_file: {SECRETS}/telegram", "api": ""}
    return Watch(
        folder=FOLDER,
        pace=pace.deployed(monitoring),
        limits=monitoring.limits,
        gpu_c=card.temperature_warn_c if card else 83,
        power_cap_w=card.power_cap_w if card else 0,
        ttft_s=profile.batching.ttft_limit_ms / 1000,
        tpot_s=profile.batching.tpot_limit_ms / 1000,
        jobs=targets.deployed(profile),
        ways=Ways(
            telegram=telegram if messages.telegram_chat else None,
            mail=messages.mail,
            webhook=f"url_file: {SECRETS}/webhook" if messages.webhook else "",
            deadman=f"http://{gate.tunnel}:{monitoring.deadman_port}/",
        ),
        repeat_hours=messages.repeat_hours,
    )


def rules(watch: Watch) -> dict[str, str]:
    """Render what is summed up and what is due, by file name."""
    values: dict[str, object] = {
        "l": watch.limits,
        "hold": watch.pace.hold,
        "over": watch.pace.over,
        "gpu_c": watch.gpu_c,
        "power_cap_w": watch.power_cap_w,
        "ttft_s": watch.ttft_s,
        "tpot_s": watch.tpot_s,
        "stale_s": 4 * watch.pace.scrape_s + 2,
        "program_xids": " or ".join(f"DCGM_FI_DEV_XID_ERRORS == {code}" for code in OF_PROGRAMS),
        **FILLED,
    }
    return {name: render(f"prometheus/{name}.j2", **values) for name in (RULES, ALERTS)}


def watching(watch: Watch) -> dict[str, str]:
    """Render everything that the watching host needs, by file name."""
    speed = watch.pace
    scrape = pace.duration(speed.scrape_s)
    return {
        **rules(watch),
        PROMETHEUS: render(
            f"prometheus/{PROMETHEUS}.j2",
            folder=watch.folder,
            scrape=scrape,
            scrape_timeout=pace.duration(min(10, speed.scrape_s)),
            alertmanager=watch.alertmanager,
            blackbox=watch.blackbox,
            jobs=watch.jobs,
        ),
        ALERTMANAGER: render(
            f"alertmanager/{ALERTMANAGER}.j2",
            folder=watch.folder,
            secrets=f"{watch.folder}/secrets",
            group_wait=pace.duration(speed.group_wait_s),
            critical_wait=pace.duration(speed.critical_wait_s),
            group_interval=pace.duration(speed.group_interval_s),
            beat=pace.duration(speed.beat_s),
            repeat=pace.duration(watch.repeat_hours * 3600),
            inhibitions=INHIBITIONS,
            **watch.ways._asdict(),
        ),
        MESSAGE: render(f"alertmanager/{MESSAGE}.j2"),
        BLACKBOX: render(
            f"prometheus/{BLACKBOX}.j2",
            timeout=pace.duration(min(10, max(1, speed.scrape_s))),
            trust_anybody=watch.trust_anybody,
        ),
    }


def counters() -> str:
    """Render which counters of a card are exported."""
    return render(f"prometheus/{COUNTERS}.j2")
