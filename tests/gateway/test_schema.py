"""Schemathesis reads the gateway's own description and asks what nobody would: none of it is a 500."""

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from town import MakeTown, Town

from lib.gateway.app import POSTS, make

NAMES = ("a", "m-a", None)


@pytest.fixture
def town(make_town: MakeTown) -> Town:
    return make_town()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not allowed"])
def test_whatever_is_asked_is_no_server_error(town: Town, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(make(town.front).openapi())
    asked: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            continue  # it takes nothing that could be wrong

        @settings(
            max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
        )
        @given(case=operation.as_strategy(generation_mode=mode), name=st.sampled_from(NAMES))
        def ask(known: bool, case: schemathesis.Case, name: str | None) -> None:  # type: ignore[type-arg]
            if known and isinstance(case.body, dict):
                case.body["model"] = name
            answer = case.call(base_url=town.url)
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert set(answer.json()) & {"error", "detail"}, "a refusal says why"
            asked[f"{case.method} {case.path}"] += 1
            statuses[answer.status_code] += 1

        # Names that it has, so that much passes; and whatever is made up, so that much is refused.
        ask(True)
        ask(False)
    assert {f"POST {path}" for path in POSTS} <= set(asked)
    assert statuses[400] + statuses[404] > 10, f"much of it is refused: {statuses}"
    if mode is GenerationMode.POSITIVE:
        assert len(asked) == 8
        assert statuses[200] > 20, "and much of it reaches the engine"
        assert town.fakes["a"].seen["requests"] > 20


@pytest.mark.parametrize("path", POSTS)
def test_every_surface_is_described_with_its_refusals(town: Town, path: str) -> None:
    described = make(town.front).openapi()["paths"][path]["post"]
    assert {"200", "401", "404", "429", "503"} <= set(described["responses"])
    assert described["requestBody"]["required"]
