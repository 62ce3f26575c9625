"""Grafana's dashboards, made from the runbook's list of panels."""

import json
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from lib.deploy.monitor.files import Watch
from lib.deploy.template import render

SOURCE = {"type": "prometheus", "uid": "prometheus"}
# Grafana's grid is 24 wide: two panels beside each other.
WIDTH, HEIGHT = 12, 8
# The format of files that Grafana 9 and later read.
SCHEMA = 38


def listed(watch: Watch) -> list[dict[str, Any]]:
    """Return the dashboards as the runbook lists them."""
    text = render(
        "grafana/dashboards.yml.j2",
        l=watch.limits,
        gpu_c=watch.gpu_c,
        ttft_s=watch.ttft_s,
        tpot_s=watch.tpot_s,
        over=watch.pace.over,
    )
    return list(YAML(typ="safe", pure=True).load(text))


def expressions(watch: Watch) -> dict[str, str]:
    """Return every expression, by dashboard, panel and legend."""
    return {
        f"{board['title']} / {panel['title']} / {legend}": expression
        for board in listed(watch)
        for panel in board["panels"]
        for legend, expression in panel["series"].items()
    }


def files(watch: Watch) -> dict[str, str]:
    """Return Grafana's JSON of every dashboard by file name."""
    return {f"{board['uid']}.json": json.dumps(_board(board), indent=1) + "\n" for board in listed(watch)}


def _board(board: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uid": board["uid"],
        "title": board["title"],
        "tags": ["inference"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "panels": [_panel(number, panel) for number, panel in enumerate(board["panels"])],
    }


def _panel(number: int, panel: Mapping[str, Any]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if "limit" in panel:
        steps.append({"color": "red", "value": panel["limit"]})
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel["title"],
        "datasource": SOURCE,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": panel["unit"],
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "line" if "limit" in panel else "off"}},
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel["series"].items())
        ],
    }
