"""What the AI search asks of the model, asked as it asks: by the same client, from a VPS, through the bastion.

The calls are those of Vane v1.12.1 (github.com/ItzCrazyKns/Vane, commit 3098622): `openaiLLM.ts` and
`openaiEmbedding.ts` of `src/lib/models/providers/openai`, called by `classifier.ts`, `researcher/index.ts` and
`index.ts` of `src/lib/agents/search`, and by `src/lib/uploads`. It bounds no
answer; here each is bounded, to save time.
"""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import openai

from lib.core.evidence import Check
from lib.edge.clients import Way, client
from lib.edge.stage import CA_FILE, Stage
from lib.edge.trial import lab

ANSWER_TOKENS = 48
QUESTION = "Which lighthouse of the ancient world stood in Alexandria?"
CLASSES = (
    "skipSearch", "personalSearch", "academicSearch", "discussionSearch", "showWeatherWidget", "showStockWidget",
    "showCalculationWidget",
)  # fmt: skip
NO_PARSER = "tool choice requires"


class Asked(NamedTuple):
    """One kind of call: what of the search makes it, and what was answered. `refused` is the server's own error."""

    name: str
    good: bool
    told: str
    refused: str = ""


def _schema() -> dict[str, Any]:
    """Return the answer that Vane's classifier wants."""
    classes = {name: {"type": "boolean"} for name in CLASSES}
    inner = {"type": "object", "properties": classes, "required": list(CLASSES), "additionalProperties": False}
    both = {"classification": inner, "standaloneFollowUp": {"type": "string"}}
    return {"type": "object", "properties": both, "required": list(both), "additionalProperties": False}


def _classify(asked: openai.OpenAI, model: str) -> tuple[bool, str]:
    reply = asked.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "Classify the query."},
            {"role": "user", "content": f"<user_query>\n{QUESTION}\n</user_query>"},
        ],
        temperature=1.0,
        max_completion_tokens=3 * ANSWER_TOKENS,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "object", "strict": True, "schema": _schema()},
        },
    )
    text, finish = reply.choices[0].message.content or "", reply.choices[0].finish_reason
    if finish == "length":
        # Cut by the bound of this trial, within the free text that comes last.
        return '"standaloneFollowUp"' in text, f"the schema is kept up to the {len(text)} characters that were allowed"
    told = json.loads(text)
    return set(told["classification"]) == set(CLASSES), "JSON of the schema"


def _research(asked: openai.OpenAI, model: str) -> tuple[bool, str]:
    queries: dict[str, object] = {
        "type": "object",
        "properties": {"queries": {"type": "array", "items": {"type": "string"}}},
    }
    nothing: dict[str, object] = {"type": "object", "properties": {}}
    pieces = asked.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": "Use a tool."}, {"role": "user", "content": QUESTION}],
        tools=[
            {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}
            for name, schema in (("web_search", queries), ("done", nothing))
        ],
        temperature=1.0,
        max_completion_tokens=ANSWER_TOKENS,
        stream=True,
    )
    return _streamed(pieces)


def _write(asked: openai.OpenAI, model: str) -> tuple[bool, str]:
    pieces = asked.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": "Answer from the context."}, {"role": "user", "content": QUESTION}],
        temperature=1.0,
        max_completion_tokens=ANSWER_TOKENS,
        stream=True,
    )
    return _streamed(pieces)


def _streamed(pieces: Any) -> tuple[bool, str]:
    count, finish = 0, ""
    for piece in pieces:
        if piece.choices:
            count += 1
            finish = piece.choices[0].finish_reason or finish
    return bool(finish), f"{count} pieces, ended by {finish or 'nothing'}"


def _embed(asked: openai.OpenAI, model: str) -> tuple[bool, str]:
    reply = asked.embeddings.create(model=model, input=[QUESTION, "The Pharos."])
    sizes = {len(one.embedding) for one in reply.data}
    return len(reply.data) == 2 and len(sizes) == 1, f"{len(reply.data)} vectors of {min(sizes)}"


def ask(way: Way, embeddings: str = "") -> Iterator[Asked]:
    """Make each call once; embeddings only where a model for them is named."""
    calls: list[tuple[str, Callable[[openai.OpenAI, str], tuple[bool, str]], str]] = [
        ("classify", _classify, way.model),
        ("research", _research, way.model),
        ("write", _write, way.model),
    ]
    if embeddings:
        calls.append(("embed", _embed, embeddings))
    with client(way, 120) as asked:
        for name, call, model in calls:
            try:
                yield Asked(name, *call(asked, model))
            except openai.APIStatusError as error:
                yield Asked(name, False, f"status {error.status_code}: {error.message}"[:300], error.message[:300])
            except (openai.OpenAIError, ValueError, KeyError, TypeError) as error:
                yield Asked(name, False, f"{type(error).__name__}: {error}"[:300])


TITLES = {
    "classify": "AI search: a question is classified as JSON of a schema",
    "research": "AI search: the model is given tools, in a stream",
    "write": "AI search: the answer is streamed",
    "embed": "AI search: passages of a file become vectors",
}


def checks(stage: Stage, key: str, model: str, embeddings: str = "") -> Iterator[Check]:
    """Ask from the first VPS, by the bastion's name, as the search's container does."""
    stage.gate.write(CA_FILE, stage.client.path(CA_FILE).read_text())
    way = Way(f"https://{stage.bastion.hostname}/v1", key, model)
    told = json.dumps({"way": way._asdict(), "embeddings": embeddings})
    lines = stage.gate.python("lib.edge.searching", told, environment={"SSL_CERT_FILE": CA_FILE}).splitlines()
    for line in lines:
        yield judge(Asked(*json.loads(line)))


def judge(asked: Asked) -> Check:
    """Return the verdict on a call; a model that was not started for tools is no fault of the way."""
    without = asked.name == "research" and NO_PARSER in asked.refused
    return Check(
        name=f"bastion.search.{asked.name}",
        title=TITLES[asked.name],
        status="skip" if without else "pass" if asked.good else "fail",
        expected="answered through TLS, keys and tunnel",
        observed="this model is served without a parser for tools; Vane needs one" if without else asked.told,
        fix="a model of runbook/models.yml with --enable-auto-tool-choice" if without else "bastion.paths_post",
        source="https://github.com/ItzCrazyKns/Vane/tree/3098622cb016b6eb9bf0cd3650c6924f6d56e9e6/src/lib",
        provenance=lab(),
    )


def main() -> None:
    """Ask what standard input says, and print one JSON line a call."""
    told = json.load(sys.stdin)
    for one in ask(Way(**told["way"]), told["embeddings"]):
        sys.stdout.write(json.dumps(one) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
