"""Unit tests of the alerts: the runbook's cases, written as promtool takes them, and what promtool says."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML

from lib.core import paths
from lib.deploy.monitor import files
from lib.resilience.monitor.alerts import Alert

CASES = paths.TEMPLATES / "prometheus" / "cases.yml"
STEP = "1m"


def cases() -> dict[str, dict[str, Any]]:
    """Return the runbook's cases by alert."""
    return dict(YAML(typ="safe", pure=True).load(CASES))


def tests(known: Mapping[str, Alert], wanted: Mapping[str, dict[str, Any]]) -> str:
    """Return promtool's file of tests, to lie beside the rules.

    Every case is tried three times: when it must be due, a minute before it may be, and with the quiet series.
    """
    told: list[dict[str, Any]] = []
    for name, case in wanted.items():
        told.append(_test(case["due"], list(_due(known[name], case))))
        if "quiet" in case:
            told.append(_test(case["quiet"], [{"eval_time": case["at"], "alertname": name, "exp_alerts": []}]))
    whole = {"rule_files": [files.RULES, files.ALERTS], "evaluation_interval": STEP, "tests": told}
    return json.dumps(whole, indent=1)  # JSON is YAML too


def _test(series: Mapping[str, Any], expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": STEP,
        "input_series": [{"series": name, "values": str(values)} for name, values in series.items()],
        "alert_rule_test": expected,
    }


def _due(alert: Alert, case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if alert.hold_s > 60:
        yield {"eval_time": f"{round(alert.hold_s) - 60}s", "alertname": alert.name, "exp_alerts": []}
    labels = {**case.get("labels", {}), **alert.labels}
    annotations = {"summary": case["says"], "fix": alert.fix}
    exact = {"exp_labels": labels, "exp_annotations": annotations}
    yield {"eval_time": case["at"], "alertname": alert.name, "exp_alerts": [exact]}
