"""Test data: two sections and two points, and the records of a run that answers some of it."""

from typing import Any

from lib.core.evidence import Change, Check, Decision, Measurement, Provenance
from lib.core.state import RunState
from lib.report.briefing.checklist import Point
from lib.report.briefing.sections import Section

ABOUT = {"quote_ru": "`слова`", "asked": "Words.", "commands": ["make"]}


def section(name: str = "one", **more: Any) -> Section:
    return Section.model_validate({"id": name, "title": name, "chapters": ["01"], "claims": ["topic"], **ABOUT, **more})


def point(*checks: str) -> Point:
    words = {"quote_ru": "`что`", "how_ru": "как", "gist": "It is.", "corrected": "It is so.", "claims": ["a-claim"]}
    return Point.model_validate({"number": 1, "checks": list(checks), **words})


def check(name: str, status: str = "pass", **more: Any) -> Check:
    return Check.model_validate({"name": name, "status": status, **more})


def measurement(name: str, value: float, **more: Any) -> Measurement:
    return Measurement.model_validate({"name": name, "value": value, "unit": "s", "method": "made up", **more})


def file(path: str, concern: str = "serving", **more: Any) -> Change:
    values = {"status": "planned", "before": "absent", "after": "# mode 640, root:vllm\nx=1\n", "reason": "so", **more}
    return Change.model_validate(
        {"name": f"deploy.{concern}.file", "title": f"home: file {path}", "target": path, **values}
    )


def decision(name: str) -> Decision:
    return Decision(name=name, choice="This", reason="so", evidence=[], provenance=Provenance(chapter="01"))


def state(**status: str) -> RunState:
    """Return the state of a run; `c01="passed"` gives chapter 01 that status."""
    chapters = [
        {"id": key[1:], "title": f"Chapter {key[1:]}", "stem": key, "status": value, "error": "no engine\nat all"}
        for key, value in status.items()
    ]
    return RunState.model_validate(
        {"id": "x", "profile": "embedded", "mode": "plan", "started": "2026-01-01T00:00:00Z", "chapters": chapters}
    )
