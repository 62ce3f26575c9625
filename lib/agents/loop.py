"""The loop: the planner plans, executors carry out, failures go back to the planner, until all is done or spent."""

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import openai
from openai import OpenAI

from lib.agents import plan, task
from lib.agents.plan import Step
from lib.agents.task import Part, Task
from lib.agents.transcript import Event, Kind
from lib.core.sections.gateway import Agents

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

PLAN_TOKENS = 400
STEP_TOKENS = 80
LONGEST = 60
ANSWER = {
    "type": "object",
    "properties": {"expression": {"type": "string", "minLength": 1, "maxLength": LONGEST}},
    "required": ["expression"],
    "additionalProperties": False,
}


class Outcome(NamedTuple):
    """How it ended: results by part, what is missing, why it stopped, and everything that happened."""

    results: dict[str, str]
    missing: list[str]
    stopped: str
    plans: int
    events: list[Event]

    @property
    def tokens(self) -> int:
        """Tokens of all requests."""
        return sum(event.prompt_tokens + event.tokens for event in self.events)


class SpentError(Exception):
    """A limit was reached: which one."""


class Loop:
    """Works on one task.

    Parameters
    ----------
    client : OpenAI
        OpenAI's own client, pointed to the gateway.
    settings : Agents
        Roles and limits.
    on_event : callable
        Told after each request.
    """

    def __init__(self, client: OpenAI, settings: Agents, on_event: Callable[[Event], None] = lambda _: None) -> None:
        self.client, self.settings, self.on_event = client, settings, on_event
        self.events: list[Event] = []
        self._begun = 0.0
        self._failed: list[tuple[Part, str, str]] = []  # part, executor, what was wrong, of the plan before

    def run(self, wanted: Task) -> Outcome:
        """Work until every part is right, or a limit is reached."""
        self._begun = time.monotonic()
        results: dict[str, str] = {}
        stopped, plans = "", 0
        try:
            while (open_parts := [part for part in wanted.parts if part.name not in results]) and not stopped:
                if plans == self.settings.plans:
                    stopped = f"{plans} plans were made"
                    break
                plans += 1
                steps = self._plan(wanted, open_parts)
                self._failed = []
                for step in steps:
                    part = wanted.part(step.part)
                    written, error = self._carry_out(wanted, part, step)
                    if error:
                        self._failed.append((part, step.executor, error))
                    else:
                        results[part.name] = written
        except SpentError as spent:
            stopped = str(spent)
        except openai.OpenAIError as error:
            stopped = f"{type(error).__name__}: {error}"
        missing = [part.name for part in wanted.parts if part.name not in results]
        return Outcome(results, missing, stopped, plans, self.events)

    def _plan(self, wanted: Task, parts: Sequence[Part]) -> list[Step]:
        """Return the planner's steps; a plan that cannot be read is the plain one, and stands so in the transcript."""
        names, executors = [part.name for part in parts], self._offered()
        failed = [f"{part.signature} by {executor}: {error}" for part, executor, error in self._failed]
        asked = [{"role": "user", "content": plan.question(wanted, parts, executors, failed)}]
        form = plan.schema(names, executors, hints=self.settings.hints)
        text, told = self._ask("plan", self.settings.planner, asked, form, PLAN_TOKENS, temperature=0.0)
        try:
            steps, error = plan.read(text, names, executors), ""
        except (ValueError, KeyError, TypeError) as fault:
            steps, error = [plan.Step(name, executors[0]) for name in names], f"not a plan: {fault}"
        self._note(told, result=" → ".join(f"{step.part}: {step.executor}" for step in steps), error=error)
        return steps

    def _carry_out(self, wanted: Task, part: Part, step: Step) -> tuple[str, str]:
        """Return what an executor wrote, and what is wrong with it."""
        asked: list[dict[str, str]] = []
        for example in wanted.examples:
            asked.append({"role": "user", "content": f"def {example.signature}: {example.does}"})
            asked.append({"role": "assistant", "content": json.dumps({"expression": example.expression})})
        hint = f" ({step.hint})" if step.hint else ""
        asked.append({"role": "user", "content": f"def {part.signature}: {part.does}{hint}"})
        again = any(e.part == part.name and e.role == step.executor for e in self.events)
        temperature = 0.7 if again else 0.0  # the same greedy answer twice would help nobody
        text, told = self._ask("step", step.executor, asked, ANSWER, STEP_TOKENS, temperature=temperature)
        try:
            written = str(json.loads(text)["expression"])
            error = task.wrong(part, written)
        except (ValueError, KeyError, TypeError) as fault:
            written, error = text, f"no answer: {fault}"
        self._note(told, part=part.name, result=written, error=error)
        return written, error

    def _offered(self) -> list[str]:
        """Return the executors that the planner may choose from: who failed last is not asked again at once."""
        tried = {executor for _, executor, _ in self._failed}
        return [name for name in self.settings.executors if name not in tried] or self.settings.executors

    def _ask(
        self,
        kind: Kind,
        role: str,
        asked: list[dict[str, str]],
        form: dict[str, Any],
        limit: int,
        *,
        temperature: float,
    ) -> tuple[str, Event]:
        self._spend(kind)
        begun = time.monotonic()
        raw = self.client.chat.completions.with_raw_response.create(
            model=role,
            messages=cast("list[ChatCompletionMessageParam]", asked),
            max_tokens=limit,
            temperature=temperature,
            seed=len(self.events),
            response_format={"type": "json_schema", "json_schema": {"name": kind, "schema": form}},
            timeout=max(1.0, self.settings.seconds - (begun - self._begun)),
        )
        answer = raw.parse()
        usage = answer.usage
        event = Event(
            kind=kind,
            role=role,
            engine=raw.headers.get("x-runbook-engine", ""),
            model=answer.model,
            begun=round(begun - self._begun, 4),
            seconds=round(time.monotonic() - begun, 4),
            waited_ms=float(raw.headers.get("x-runbook-queue-ms", 0)),
            prompt_tokens=usage.prompt_tokens if usage else 0,
            tokens=usage.completion_tokens if usage else 0,
        )
        return answer.choices[0].message.content or "", event

    def _note(self, event: Event, *, result: str, error: str, part: str = "") -> None:
        done = Event(**{**vars(event), "part": part, "result": result, "error": error})
        self.events.append(done)
        self.on_event(done)

    def _spend(self, kind: Kind) -> None:
        """Stop before a request that the limits do not allow."""
        limits, spent = self.settings, sum(event.prompt_tokens + event.tokens for event in self.events)
        if kind == "step" and sum(event.kind == "step" for event in self.events) >= limits.steps:
            raise SpentError(f"{limits.steps} steps were carried out")
        if spent >= limits.tokens:
            raise SpentError(f"{spent} of {limits.tokens} tokens are spent")
        if time.monotonic() - self._begun >= limits.seconds:
            raise SpentError(f"{limits.seconds:g} s are over")
