"""Verdicts: what follows from probes, and a register that says something else fails."""

from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from lib.chapters import acceptance
from lib.chapters.claims import judge, register
from lib.chapters.claims.judge import Finding, find
from lib.chapters.claims.known import Known
from lib.chapters.claims.register import Entry, Formula, Measured, Register, Trial
from lib.core import evidence, paths
from lib.core.evidence import Check, Claim, Measurement, Verdict

TRUE, FALSE = Formula(formula="1 < 2"), Formula(formula="2 < 1")
NOT_HERE = Formula(formula="installed('no-such-package') > version('1')")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@cache
def known() -> Known:
    """Return what can be known with the evidence of the reference machine, which is in the repository."""
    files = sorted((paths.RUNBOOK / "reference").glob("*/evidence.jsonl"))
    return Known(records=[record for file in files for record in evidence.read(file)])


@cache
def findings() -> dict[str, Finding]:
    return {entry.id: find(entry.check, known()) for entry in register.load().claims if entry.check}


def executed() -> list[Entry]:
    return [e for e in register.load().claims if e.check and findings()[e.id].state in ("decided", "open")]


def entry(verdict: Verdict, trial: Trial | None) -> Register:
    made = Entry(
        id="a-claim", topic="driver", quote_ru="сказано", claim="It is so.", verdict=verdict, fact="It is.",
        sources=["https://example.org/"], by_hand="look", check=trial,
    )  # fmt: skip
    return Register(read="2026-11-23", claims=[made])


def judged(verdict: Verdict, trial: Trial | None, what: Known | None = None) -> tuple[Check | None, Claim]:
    records = judge.judge(entry(verdict, trial), what or Known())
    checks = [record for record in records if isinstance(record, Check)]
    claims = [record for record in records if isinstance(record, Claim)]
    assert len(claims) == 1
    return (checks[0] if checks else None), claims[0]


def test_the_whole_register_agrees_with_its_checks() -> None:
    records = judge.judge(register.load(), known())
    claims = [record for record in records if isinstance(record, Claim)]
    failed = [(r.name, r.observed) for r in records if isinstance(r, Check) and r.status == "fail"]
    assert failed == []
    assert len(claims) == 146
    assert sum(claim.way == "executed" for claim in claims) >= 90
    assert acceptance.claims_hold(records).status == "pass"


def test_without_any_run_at_least_eighty_five_are_checked_all_the_same() -> None:
    records = judge.judge(register.load(), Known())
    assert sum(isinstance(r, Claim) and r.way == "executed" for r in records) >= 85
    assert [r.name for r in records if isinstance(r, Check) and r.status == "fail"] == []


def test_every_other_verdict_of_every_executed_claim_fails() -> None:
    assert len(executed()) >= 90
    wrong = []
    for one in executed():
        for verdict in VERDICTS:
            book = Register(read="2026-11-23", claims=[one.model_copy(update={"verdict": verdict})])
            status = next(r.status for r in judge.judge(book, known()) if isinstance(r, Check))
            if (status == "fail") is (verdict == one.verdict):
                wrong.append((one.id, verdict, status))
    assert wrong == []


@pytest.mark.parametrize(
    ("trial", "verdict"),
    [
        (Trial(says=[TRUE]), "confirmed"),
        (Trial(says=[TRUE, TRUE]), "confirmed"),
        (Trial(says=[TRUE, FALSE]), "refuted"),
        (Trial(says=[FALSE]), "refuted"),
        (Trial(says=[FALSE, NOT_HERE]), "refuted"),
        (Trial(says=[FALSE], partly=[TRUE]), "corrected"),
        (Trial(says=[TRUE], partly=[FALSE]), "confirmed"),
        (Trial(says=[FALSE], fact=[TRUE]), "refuted"),
    ],
)
def test_a_verdict_follows(trial: Trial, verdict: Verdict) -> None:
    check, claim = judged(verdict, trial)
    assert check
    assert (check.status, claim.verdict, claim.way) == ("pass", verdict, "executed")
    assert check.name == claim.name == "claims.a_claim"
    for other in VERDICTS:
        found, told = judged(other, trial)
        assert found
        assert (found.status == "fail") is (other != verdict)
        assert told.verdict == other, "the record keeps what the register says when the check disagrees"


@pytest.mark.parametrize(
    "trial",
    [
        Trial(says=[FALSE], partly=[FALSE]),
        Trial(says=[FALSE], fact=[FALSE]),
        Trial(says=[TRUE], fact=[FALSE]),
    ],
)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_contradiction_fits_no_verdict(trial: Trial, verdict: Verdict) -> None:
    check, _ = judged(verdict, trial)
    assert check
    assert check.status == "fail"
    assert check.observed.startswith("no verdict of the register fits")
    assert "a-claim in runbook/claims.yml" in check.fix


@pytest.mark.parametrize(
    "trial", [Trial(says=[NOT_HERE]), Trial(says=[FALSE], partly=[NOT_HERE]), Trial(says=[TRUE], fact=[NOT_HERE])]
)
def test_what_cannot_be_tried_here_is_skipped_and_rests_on_links(trial: Trial) -> None:
    check, claim = judged("refuted", trial)
    assert check
    assert (check.status, check.fix, claim.way, claim.origins) == ("skip", "on the server: `look`", "not run", [])
    assert check.observed == "no-such-package is not installed here"


def test_a_claim_without_a_check_is_marked_as_cited() -> None:
    check, claim = judged("unverifiable", None)
    assert check is None
    assert (claim.way, claim.verdict, claim.quote) == ("cited", "unverifiable", "сказано")


@pytest.mark.parametrize(
    ("value", "half", "verdict", "status"),
    [(3.0, 0.5, "confirmed", "pass"), (1.0, 0.5, "refuted", "pass"), (2.0, 0.5, "measure", "warn")],
)
def test_a_measured_claim_is_decided_by_the_run(value: float, half: float, verdict: Verdict, status: str) -> None:
    gain = Measurement(name="tuner.gain", value=value, unit="×", interval=(value - half, value + half))
    trial = Trial(measured=[Measured(measured="tuner.gain", at_least=2)])
    check, claim = judged("measure", trial, Known(records=[gain]))
    assert check
    assert (check.status, claim.verdict, claim.registered) == (status, verdict, "measure")
    assert (claim.value, claim.unit, claim.interval) == (value, "×", (value - half, value + half))
    assert claim.evidence == ["tuner.gain"]
    for other in ("confirmed", "refuted", "corrected"):
        found, _ = judged(other, trial, Known(records=[gain]))
        assert found
        assert found.status == "fail", "what depends on the machine is not settled in the register"


def test_one_number_out_of_bounds_refutes_even_if_another_is_missing() -> None:
    slow = Measurement(name="swap.cold_seconds", value=90, unit="s")
    measured = [Measured(measured="swap.cold_seconds", at_most=40), Measured(measured="swap.wake_seconds", at_most=3)]
    _, claim = judged("measure", Trial(measured=measured), Known(records=[slow]))
    assert (claim.verdict, claim.value) == ("refuted", 90)
    quick = slow.model_copy(update={"value": 20})
    check, claim = judged("measure", Trial(measured=measured), Known(records=[quick]))
    assert check
    assert (check.status, claim.verdict, claim.way) == ("skip", "measure", "not run")


def test_the_acceptance_names_what_is_contradicted() -> None:
    records = judge.judge(entry("confirmed", Trial(says=[FALSE])), Known())
    check = acceptance.claims_hold(records)
    assert check.status == "fail"
    assert "1 of 1 claims checked here" in check.observed
    assert "contradicted: claims.a_claim" in check.observed


def test_records_survive_the_evidence_file(tmp_path: Path) -> None:
    records = judge.judge(register.load(), Known())
    file = tmp_path / "evidence.jsonl"
    evidence.append(file, records)
    assert evidence.read(file) == records


def test_the_overview_counts_every_claim_once() -> None:
    shown = repr(judge.overview(judge.judge(register.load(), Known())).markup)
    assert "146 claims of the briefing" in shown
    assert "Links only" in shown
