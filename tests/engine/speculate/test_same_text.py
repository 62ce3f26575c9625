"""The same answers with speculation and without, held against what the plain server does by itself."""

import pytest
from loads import TEXTS, result, run

from lib.engine.speculate import same_text
from lib.engine.speculate.same_text import Same


def test_answers_are_compared_at_the_same_load() -> None:
    plain = [result(1, run(), run()), result(4, run(texts=("alpha", "beta", "x", "y")), run())]
    other = [result(1, run(), run(texts=("alpha", "no", "gamma", "delta"))), result(4, run(), run())]
    assert same_text.against(plain, other) == Same(4 + 3 + 2 + 4, 16, 4)


def test_the_plain_server_is_its_own_measure() -> None:
    plain = [result(1, run(), run()), result(4, run(texts=("alpha", "beta", "x", "delta")), run())]
    own = same_text.floor(plain)
    assert own == Same(3 * 4 + 3 * 3, 24, 4), "six pairs of four runs, three of them with the odd one"


def test_prompts_beyond_the_file_are_not_compared() -> None:
    many = run(texts=TEXTS * 8)
    assert same_text.floor([result(1, many, many)]).asked == 12


@pytest.mark.parametrize(
    ("found", "own", "status"),
    [
        (Same(48, 48, 12), Same(48, 48, 12), "pass"),
        (Same(30, 48, 12), Same(20, 48, 12), "pass"),
        (Same(44, 48, 12), Same(48, 48, 12), "pass"),  # one prompt of twelve: no proof
        (Same(20, 48, 12), Same(48, 48, 12), "fail"),
        (Same(0, 48, 12), Same(24, 48, 12), "fail"),
        (Same(0, 0, 0), Same(48, 48, 12), "skip"),
    ],
)
def test_the_verdict(found: Same, own: Same, status: str) -> None:
    check = same_text.check("ngram", found, own)
    assert check.status == status
    assert check.conditions == {"configuration": "ngram"}
    assert check.expected
    assert check.observed
    assert check.fix


def test_asking_again_is_no_new_evidence() -> None:
    few, many = Same(2, 4, 4), Same(200, 400, 4)
    assert same_text.check("ngram", few, Same(4, 4, 4)).status == "pass"
    assert same_text.check("ngram", many, Same(400, 400, 4)).status == "pass"
