"""The loop against a scripted gateway: failures go back, limits hold, and the transcript tells all."""

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI

from lib.agents import loop, task, transcript
from lib.agents.loop import Loop, Outcome
from lib.core.sections.gateway import Agents

RIGHT = {"product": "a * b", "double": "x * 2", "largest": "max(items)"}


class Script:
    """Answers as the gateway would; `wrong` names executor and part that fail."""

    def __init__(self, *wrong: tuple[str, str], plan: str | None = None, status: int = 200) -> None:
        self.wrong, self.plan, self.status = wrong, plan, status
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body)
        if self.status != 200:
            return httpx.Response(self.status, json={"error": {"message": "no", "type": "x", "param": None, "code": 1}})
        text = self._plan(body) if body["model"] == "planner" else self._step(body)
        message = {"role": "assistant", "content": text}
        return httpx.Response(
            200,
            headers={"x-runbook-engine": f"engine-{body['model']}", "x-runbook-queue-ms": "12"},
            json={
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": f"m-{body['model']}",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            },
        )

    def _plan(self, body: dict[str, Any]) -> str:
        if self.plan is not None:
            return self.plan
        step = body["response_format"]["json_schema"]["schema"]["properties"]["steps"]["items"]["properties"]
        return json.dumps(
            {"steps": [{"part": p, "executor": step["executor"]["enum"][0]} for p in step["part"]["enum"]]}
        )

    def _step(self, body: dict[str, Any]) -> str:
        asked = body["messages"][-1]["content"]
        part = next(name for name in RIGHT if asked.startswith(f"def {name}("))
        return json.dumps({"expression": "0" if (body["model"], part) in self.wrong else RIGHT[part]})


def work(script: Script, **settings: Any) -> Outcome:
    given = Agents(**{"planner": "planner", "executors": ["coder", "fast"], "hints": False, **settings})
    with OpenAI(
        base_url="http://gateway/v1",
        api_key="k",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(script)),
    ) as client:
        return Loop(client, given).run(task.load("functions"))


def test_a_task_is_planned_carried_out_and_checked() -> None:
    script = Script()
    outcome = work(script)
    assert outcome.results == RIGHT
    assert (outcome.missing, outcome.stopped, outcome.plans) == ([], "", 1)
    assert [event.kind for event in outcome.events] == ["plan", "step", "step", "step"]
    assert outcome.tokens == 4 * 15


def test_a_failure_returns_to_the_planner_and_goes_to_somebody_else() -> None:
    script = Script(("coder", "product"))
    outcome = work(script)
    assert outcome.results == RIGHT
    assert outcome.plans == 2
    second = script.asked[4]
    assert "These attempts failed" in second["messages"][0]["content"]
    assert "product(a, b) by coder: '0' gives 0 for a=2, b=3, not 6" in second["messages"][0]["content"]
    step = second["response_format"]["json_schema"]["schema"]["properties"]["steps"]["items"]["properties"]
    assert step == {"part": {"enum": ["product"]}, "executor": {"enum": ["fast"]}}
    assert script.asked[5]["model"] == "fast"


def test_the_same_executor_is_asked_again_only_with_another_answer_possible() -> None:
    script = Script(("coder", "product"))
    work(script, executors=["coder"])
    again = [
        body for body in script.asked if body["model"] == "coder" and "def product(" in body["messages"][-1]["content"]
    ]
    assert [body["temperature"] for body in again] == [0.0, 0.7, 0.7]
    assert len({body["seed"] for body in again}) == 3


@pytest.mark.parametrize(
    ("settings", "stopped"),
    [
        ({"plans": 2}, "2 plans were made"),
        ({"plans": 50, "steps": 4}, "4 steps were carried out"),
        ({"plans": 50, "tokens": 100}, "of 100 tokens are spent"),
        ({"plans": 10_000, "steps": 10_000, "tokens": 10**9, "seconds": 0.3}, "0.3 s are over"),
    ],
)
def test_limits_end_it(settings: dict[str, Any], stopped: str) -> None:
    outcome = work(Script(("coder", "product"), ("fast", "product")), **settings)
    assert stopped in outcome.stopped
    assert outcome.missing == ["product"]


@pytest.mark.parametrize("plan", ["", "{", "[]", '{"steps": 7}', '{"steps": [{"part": "other", "executor": "coder"}]}'])
def test_what_is_no_plan_becomes_the_plain_one_and_says_so(plan: str) -> None:
    outcome = work(Script(plan=plan))
    assert outcome.results == RIGHT
    assert outcome.events[0].error.startswith("not a plan")


def test_a_part_that_the_planner_forgot_is_done_and_one_named_twice_is_done_once() -> None:
    named = {"part": "double", "executor": "fast"}
    outcome = work(Script(plan=json.dumps({"steps": [named, named]})))
    assert [event.part for event in outcome.events[1:]] == ["double", "product", "largest"]


def test_a_gateway_that_refuses_ends_it_with_its_reason() -> None:
    outcome = work(Script(status=503))
    assert outcome.stopped.startswith("InternalServerError")
    assert (outcome.results, outcome.events) == ({}, [])


def test_the_transcript_has_models_waits_and_tokens() -> None:
    outcome = work(Script())
    told = json.loads(transcript.as_json(outcome.events))
    assert told[0]["model"] == "m-planner"
    assert {event["engine"] for event in told} == {"engine-planner", "engine-coder"}
    assert all(event["waited_ms"] == 12 and event["tokens"] == 5 for event in told)
    assert [event["begun"] for event in told] == sorted(event["begun"] for event in told)


def test_what_an_executor_writes_is_bound_in_length() -> None:
    script = Script()
    work(script)
    form = script.asked[1]["response_format"]["json_schema"]["schema"]
    assert form == loop.ANSWER
    assert form["properties"]["expression"]["maxLength"] == loop.LONGEST
