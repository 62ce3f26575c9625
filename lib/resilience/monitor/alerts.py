"""What alerts there are, read from the rules as they are rendered."""

from typing import NamedTuple

from ruamel.yaml import YAML

from lib.core.sections.monitoring import Limits
from lib.deploy.monitor import files, pace
from lib.deploy.monitor.files import Watch


class Alert(NamedTuple):
    """One alert: what is asked, how long it must hold, how bad it is, and what is said."""

    name: str
    expr: str
    hold_s: float
    labels: dict[str, str]
    summary: str
    fix: str

    @property
    def severity(self) -> str:
        """One of none, warning, critical."""
        return self.labels["severity"]


SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def reference(speed: pace.Pace | None = None, folder: str = "") -> Watch:
    """Return the watching that unit tests and drills are written for: the defaults, and the owner's card."""
    return Watch(
        folder=folder,
        pace=speed or pace.Pace(15, pace.FOREVER_S, pace.FOREVER_S, 30, 5, 60, 60),
        limits=Limits(),
        gpu_c=83,
        power_cap_w=450,
        ttft_s=1.5,
        tpot_s=0.05,
    )


def read(watch: Watch) -> dict[str, Alert]:
    """Return the alerts of a watching by name, in the order of the rules."""
    rules = YAML(typ="safe", pure=True).load(files.rules(watch)[files.ALERTS])
    listed = [rule for group in rules["groups"] for rule in group["rules"]]
    return {
        rule["alert"]: Alert(
            rule["alert"],
            rule["expr"],
            seconds(rule.get("for", "0s")),
            rule["labels"],
            rule["annotations"]["summary"],
            rule["annotations"]["fix"],
        )
        for rule in listed
    }


def seconds(text: str) -> float:
    """Return a duration of Prometheus's in seconds; one unit, as the runbook writes them."""
    number = text.rstrip("smhd")
    return float(number) * SECONDS[text[len(number) :]]
