"""Questions to the owner: unanswered is a warning, `no` a failure."""

import pytest
from machines import box, embedded

from lib.host import checklist

ANSWER = "host__checklist__cable_12v2x6__answer"


@pytest.mark.parametrize(("answer", "status"), [("yes", "pass"), ("unanswered", "warn"), ("no", "fail")])
def test_an_answer_is_a_verdict(answer: str, status: str) -> None:
    check = checklist.checks(box(**{ANSWER: answer}))[0]
    assert (check.name, check.status, check.observed) == ("hardware.checklist.cable_12v2x6", status, answer)


def test_unanswered_says_where_to_answer_and_no_says_why_it_matters() -> None:
    open_one = checklist.checks(box())[0]
    assert "host.checklist.cable_12v2x6.answer: yes" in open_one.fix
    assert "--set host.checklist.cable_12v2x6.answer=yes" in open_one.fix
    wrong = checklist.checks(box(**{ANSWER: "no"}))[0]
    assert "melts" in wrong.fix
    assert "Put it right" in wrong.fix


def test_the_owners_note_is_shown() -> None:
    check = checklist.checks(box(**{ANSWER: "yes", "host__checklist__cable_12v2x6__note": "checked in May"}))[0]
    assert check.observed == "yes: checked in May"


def test_every_question_of_the_profile_is_asked_once() -> None:
    names = [check.name for check in checklist.checks(box())]
    assert len(names) == len(set(names)) == len(box().host.checklist)


def test_a_profile_without_questions_asks_none() -> None:
    assert checklist.checks(embedded()) == []
