"""Facts into the prompt, sources into the answer, and chats to the memory once they have ended."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openai import OpenAI
from town import CHAT, MakeTown, Town, body, secret, until

from lib.core import profile as profiles
from lib.gateway import memory
from lib.gateway.memory import Chat


class Source(NamedTuple):
    path: str
    heading: str
    start: int
    end: int
    score: float


class Context(NamedTuple):
    text: str
    sources: list[Source]


class StandIn:
    """A memory that knows one thing."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault, self.chats, self.asked = fault, [], []  # type: ignore[var-annotated]

    async def context(self, question: str, *, tokens: int) -> Context:
        self.asked.append((question, tokens))
        if self.fault:
            raise self.fault
        return Context("<facts>The key is under the mat. ё</facts>", [Source("дом/Haus.md", "Keys", 3, 40, 0.9)])

    async def remember(self, chat: Chat) -> None:
        if self.fault:
            raise self.fault
        self.chats.append(chat)


def remembering(make_town: MakeTown, store: StandIn, **settings: Any) -> Town:
    return make_town(**{"store": store, "memory": True, "chat_idle_s": 0.05, **settings})


@pytest.fixture
def store() -> StandIn:
    return StandIn()


@pytest.fixture
def town(make_town: MakeTown, store: StandIn) -> Town:
    return remembering(make_town, store)


def test_facts_come_before_the_question_and_sources_with_the_answer(town: Town, store: StandIn) -> None:
    answer = town.ask("memory/a")
    assert answer.status_code == 200
    sent = town.fakes["a"].seen["body"]
    assert sent["model"] == "m-a"
    assert sent["messages"] == [{"role": "user", "content": "<facts>The key is under the mat. ё</facts>\n\nSay x."}]
    told = json.loads(answer.headers["x-runbook-sources"])
    assert told == [{"path": "дом/Haus.md", "heading": "Keys", "start": 3, "end": 40}]
    assert store.asked == [("Say x.", town.front.settings.memory_tokens)]


def test_sources_stand_in_the_answer_where_openais_client_keeps_what_it_does_not_know(
    town: Town, tmp_path: Path
) -> None:
    _, key = secret(tmp_path)
    with OpenAI(base_url=f"{town.url}/v1", api_key=key, max_retries=0) as client:
        asked: Any = {"model": "memory/a", "messages": body()["messages"]}
        whole = client.chat.completions.create(**asked)
        pieces = list(client.chat.completions.create(**asked, stream=True))
        plain = client.chat.completions.create(**{**asked, "model": "a"})
    stands = [{"path": "дом/Haus.md", "heading": "Keys", "start": 3, "end": 40}]
    assert whole.model_extra["runbook_sources"] == stands  # type: ignore[index]
    assert whole.choices[0].message.content == "xxxx"
    assert pieces[0].model_extra["runbook_sources"] == stands
    assert not any("runbook_sources" in piece.model_extra for piece in pieces[1:])
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "xxxx"
    assert "runbook_sources" not in plain.model_extra  # type: ignore[operator]


@pytest.mark.parametrize("streamed", [False, True])
def test_with_sources_every_other_byte_is_the_engines(town: Town, streamed: bool) -> None:
    direct = town.client.post(f"{town.fakes['a'].url}{CHAT}", json=body("m-a", stream=streamed))
    through = town.ask("memory/a", stream=streamed)
    field = json.dumps(json.loads(through.headers["x-runbook-sources"]), ensure_ascii=False)
    assert through.text.replace(f'"runbook_sources": {field}, ', "", 1) == direct.text


def test_a_refusal_has_no_sources_in_it(town: Town) -> None:
    answer = town.ask("memory/a", fake={"status": 400})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_an_answer_with_sources_is_remembered_without_them(town: Town, store: StandIn) -> None:
    town.ask("memory/a")
    until(lambda: store.chats)
    assert store.chats[0].messages[-1] == {"role": "assistant", "content": "xxxx"}


def test_a_header_asks_for_facts_too_and_refuses_them(town: Town, store: StandIn) -> None:
    town.client.post(f"{town.url}{CHAT}", json=body(), headers={"x-runbook-memory": "on"})
    assert len(store.asked) == 1
    town.client.post(f"{town.url}{CHAT}", json=body("memory/a"), headers={"x-runbook-memory": "off"})
    town.ask("a")
    assert len(store.asked) == 1


def test_names_with_memory_are_listed(town: Town) -> None:
    listed = [entry["id"] for entry in town.client.get(f"{town.url}/v1/models").json()["data"]]
    assert listed == ["a", "memory/a", "m-a"]


def test_a_failing_memory_is_seen_and_costs_no_answer(make_town: MakeTown) -> None:
    town = remembering(make_town, StandIn(ValueError("secret words")))
    answer = town.client.post(f"{town.url}{CHAT}", json=body(), headers={"x-runbook-memory": "on"})
    assert answer.status_code == 200
    assert answer.headers["x-runbook-memory"] == "failed: ValueError"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_chat_is_remembered_once_it_has_ended(town: Town, store: StandIn, streamed: bool) -> None:
    town.ask(stream=streamed)
    until(lambda: store.chats)
    (chat,) = store.chats
    assert chat.messages == [{"role": "user", "content": "Say x."}, {"role": "assistant", "content": "xxxx"}]
    assert (chat.role, chat.title, chat.client) == ("a", "Say x.", "this machine")
    assert abs(chat.started - time.time()) < 60


def test_a_chat_that_goes_on_is_one_chat(make_town: MakeTown, store: StandIn) -> None:
    town = remembering(make_town, store, chat_idle_s=0.5)
    first = body()
    town.ask()
    longer = [*first["messages"], {"role": "assistant", "content": "xxxx"}, {"role": "user", "content": "Again."}]
    town.ask(messages=longer)
    until(lambda: store.chats)
    time.sleep(0.1)
    (chat,) = store.chats
    assert [message["content"] for message in chat.messages] == ["Say x.", "xxxx", "Again.", "xxxx"]


def test_what_is_not_remembered(town: Town, store: StandIn) -> None:
    town.client.post(f"{town.url}{CHAT}", json=body(), headers={"x-runbook-memory": "off"})
    town.ask(fake={"status": 400})
    town.ask("a", "/v1/completions")
    time.sleep(0.3)
    assert store.chats == []


def test_open_chats_are_remembered_when_the_gateway_ends(make_town: MakeTown, store: StandIn) -> None:
    town = remembering(make_town, store, chat_idle_s=600)
    town.ask()
    assert store.chats == []
    town.loop.run(town.front.chats.close())  # type: ignore[union-attr]
    assert len(store.chats) == 1


@pytest.mark.parametrize(
    "messages",
    [None, "x", [], [7], [{"role": "system", "content": "s"}], [{"role": "user"}], [{"role": "user", "content": 7}]],
)
def test_messages_without_a_question_pass_untouched(messages: object) -> None:
    assert memory.question(messages) == ""
    assert memory.with_facts(messages, "facts") == messages  # type: ignore[arg-type]


def test_a_question_in_parts_keeps_its_picture() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
    assert memory.question(messages) == "What is it?"
    (asked,) = memory.with_facts(messages, "facts")
    assert asked["content"] == [{"type": "text", "text": "facts"}, {"type": "text", "text": "What is it?"}, picture]


def test_no_memory_unless_the_profile_asks() -> None:
    assert memory.of(profiles.load("embedded", {"gateway.memory": False})) is None
