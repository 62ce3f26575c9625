"""Chapter 99: everything that this run found, in one place, and whether it may be accepted."""

from collections import Counter
from collections.abc import Sequence

import plotly.graph_objects as go

from lib.core import display, evidence, notebook, secrets
from lib.core.chapter import Chapter
from lib.core.evidence import STATUSES, AnyRecord, Check, Claim, Decision, Measurement

COLOURS = {"pass": "#3a7d44", "warn": "#d69e2e", "fail": "#b8322a", "skip": "#b9c0c7"}


def earlier_checks(chapter: Chapter) -> list[Check]:
    """Return every check of the chapters before this one."""
    return [record for record in chapter.earlier() if isinstance(record, Check)]


def overview(found: list[Check]) -> display.Html:
    """Count checks by chapter and status."""
    counts = Counter((check.provenance.chapter, check.status) for check in found)
    titles = {source.id: source.title for source in notebook.sources()}
    rows = [
        {"Chapter": f"{chapter} {titles.get(chapter, '')}"}
        | {display.WORDS[status]: str(counts[chapter, status]) for status in STATUSES}
        for chapter in sorted({check.provenance.chapter for check in found})
    ]
    return display.table(rows, "Checks by chapter", numeric=[display.WORDS[status] for status in STATUSES])


def overview_figure(found: list[Check]) -> display.Figure:
    """Draw checks by chapter as stacked bars."""
    chapters = sorted({check.provenance.chapter for check in found}, reverse=True)
    counts = Counter((check.provenance.chapter, check.status) for check in found)
    figure = go.Figure(
        [
            go.Bar(
                y=[f"chapter {chapter}" for chapter in chapters],
                x=[counts[chapter, status] for chapter in chapters],
                name=display.WORDS[status],
                marker_color=COLOURS[status],
                orientation="h",
            )
            for status in STATUSES
        ]
    )
    figure.update_layout(
        barmode="stack", legend_traceorder="normal", height=90 + 36 * len(chapters), xaxis_title="checks"
    )
    return display.figure(figure, "Checks by chapter and verdict")


def still_open(found: list[Check]) -> list[Check]:
    """Return what is not green, failures first."""
    order = {"fail": 0, "warn": 1, "skip": 2}
    return sorted((check for check in found if check.status in order), key=lambda check: order[check.status])


def verify(chapter: Chapter) -> list[Check]:
    """Check the run itself: nothing failed, every raw file is as recorded, no number without origin, no secret."""
    records = chapter.earlier()
    return [
        _nothing_failed(records),
        _files_intact(chapter, records),
        _numbers_have_origin(records),
        _no_secret(chapter),
    ]


def claims_hold(found: Sequence[Check | Claim]) -> Check:
    """Check that no claim's check leads to another verdict than the register's."""
    checks = [record for record in found if isinstance(record, Check)]
    counts = evidence.count(checks)
    wrong = [check.name for check in checks if check.status == "fail"]
    executed = len(checks) - counts["skip"]
    return Check(
        name="acceptance.claims",
        title="Every checked claim of the briefing has the verdict that its check leads to",
        status="fail" if wrong else "pass",
        expected="no contradiction",
        observed=f"{executed} of {len(found) - len(checks)} claims checked here, {counts['skip']} need another machine"
        + (f"; contradicted: {', '.join(wrong)}" if wrong else ""),
        fix="correct runbook/claims.yml: the verdict, or the check",
    )


def decide(found: list[Check], own: list[Check]) -> Decision:
    """Accept the run, or say what stands against it."""
    counts = evidence.count([*found, *own])
    accepted = not counts["fail"]
    reason = f"Passed: {counts['pass']}, warnings: {counts['warn']}, could not run on this machine: {counts['skip']}"
    if not accepted:
        reason = f"Failed: {', '.join(c.name for c in [*found, *own] if c.status == 'fail')}. {reason}"
    return Decision(
        name="acceptance.verdict",
        choice="This run is accepted" if accepted else "This run is not accepted",
        reason=reason + ".",
        evidence=[check.name for check in own],
    )


def _nothing_failed(records: list[AnyRecord]) -> Check:
    failed = [r.name for r in records if isinstance(r, Check) and r.status == "fail"]
    return Check(
        name="acceptance.checks",
        title="No check of this run failed",
        status="fail" if failed else "pass",
        expected="0 failed",
        observed=f"{len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""),
        fix="each failed check names its remedy: see the list above",
    )


def _files_intact(chapter: Chapter, records: list[AnyRecord]) -> Check:
    artifacts = {a.path: a.sha256 for record in records for a in record.provenance.artifacts}
    damaged = [
        path
        for path, digest in sorted(artifacts.items())
        if not (chapter.run / path).is_file() or evidence.sha256(chapter.run / path) != digest
    ]
    return Check(
        name="acceptance.artifacts",
        title="Every raw file is there and unchanged",
        status="fail" if damaged else "pass",
        expected="every file's SHA-256 as recorded",
        observed=f"{len(artifacts) - len(damaged)} of {len(artifacts)}"
        + (f"; not: {', '.join(damaged)}" * bool(damaged)),
        fix="python -m lib run --fresh",
    )


def _numbers_have_origin(records: list[AnyRecord]) -> Check:
    numbers = [record for record in records if isinstance(record, Measurement)]
    bare = sorted({m.name for m in numbers if not m.provenance.chapter or not (m.method or m.source)})
    return Check(
        name="acceptance.origin",
        title="Every number says how it was obtained",
        status="fail" if bare else "pass",
        expected="a method or a source with every measurement",
        observed=f"{len(numbers) - len(bare)} of {len(numbers)}" + (f"; without: {', '.join(bare)}" if bare else ""),
        fix="give the measurement its method or source where the chapter records it",
    )


def _no_secret(chapter: Chapter) -> Check:
    found = [f"{path.relative_to(chapter.run)} ({kind})" for path, kind in secrets.scan(chapter.run)]
    return Check(
        name="acceptance.secrets",
        title="No secret in any produced file",
        status="fail" if found else "pass",
        expected="no private key, password or token",
        observed=", ".join(found) or "none found",
        fix="remove the file, revoke the secret, and pass secrets as paths only",
    )
