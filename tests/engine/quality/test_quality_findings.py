"""Findings: what a variant's distance looks like, and that a method that disagrees with itself fails."""

import math
from pathlib import Path

import pytest

from lib.engine.quality import findings
from lib.engine.quality.findings import Told
from lib.engine.quality.positions import Position
from lib.engine.serve.client import Answer
from lib.engine.serve.smoke import Graded, Question

QUESTION = Question(id="q", ask="?", number=1)


def position(first: float) -> Position:
    return Position(1, math.log(first), {1: math.log(first), 2: math.log(1 - first - 0.01)})


def told(model: str, first: float, again: float, right: int) -> Told:
    windows = [[position(first)] * 128] * 2
    graded = [Graded(QUESTION, Answer("1"), "" if number < right else "wrong answer") for number in range(20)]
    return Told(model, windows, [[position(again)] * 128] * 2, graded, 10, [Path("raw")])


def test_a_variant_is_measured_against_the_reference() -> None:
    reference, variant = told("big", 0.8, 0.8, 20), told("small", 0.4, 0.4, 12)
    found = {m.name: m for m in findings.measurements(variant, reference, "a text", 20)}
    assert found["quality.perplexity"].value == pytest.approx(2.5)
    assert found["quality.perplexity_ratio"].value == pytest.approx(2.0)
    assert found["quality.kl"].value == pytest.approx(0.8 * math.log(2) + 0.19 * math.log(0.19 / 0.59), abs=0.01)
    assert found["quality.kl"].interval is not None
    assert found["quality.top1_agreement"].value == 0
    assert found["quality.accuracy"].value == 0.6
    assert "only the reference right 8, only this one 0, exact McNemar p = 0.0078" in found["quality.accuracy"].method
    assert found["quality.kl"].conditions == {"model": "small", "reference": "big"}


def test_the_reference_is_not_compared_with_itself() -> None:
    reference = told("big", 0.8, 0.8, 20)
    names = {m.name for m in findings.measurements(reference, reference, "a text", 20)}
    assert names == {"quality.perplexity", "quality.accuracy"}


@pytest.mark.parametrize(("again", "status"), [(0.8, "pass"), (0.8001, "pass"), (0.6, "fail")])
def test_a_method_that_disagrees_with_itself_fails(again: float, status: str) -> None:
    check = findings.consistent(told("big", 0.8, again, 20), "a text")
    assert (check.name, check.status) == ("quality.self", status)
    assert "256 positions" in check.observed
