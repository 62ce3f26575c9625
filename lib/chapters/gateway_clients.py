"""Chapter 10: OpenAI's client, wrong requests, missing keys, and every endpoint that the owner's clients call."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import openai

from lib.chapters.gateway import Station
from lib.core.evidence import Check
from lib.engine.serve import client as asking
from lib.gateway import clients
from lib.gateway.roles import Roles

WORD = "Name three colours."
EMBED = "embed"
QUESTION = "How do I water the plants?"
TEXTS = ("The train to the airport leaves at noon.", "Give the flowers water every morning.", "Prices rose in May.")


def verify(station: Station) -> list[Check]:
    """Record that OpenAI's own client works, that errors are OpenAI's, and that nothing is open without a key."""
    if not station.url:
        return station.chapter.checks("gateway.")
    wanted = [_surface, _errors, _closed]
    if EMBED in station.settings.roles:
        wanted.append(_meaning)
    found = [_tried(work, station) for work in wanted]
    station.chapter.record(*found, model=station.chapter.profile.models.served)
    return station.chapter.checks("gateway.")


def configure(station: Station) -> list[Check]:
    """Write the clients' configurations and ask every endpoint that they call."""
    chapter, url = station.chapter, station.url
    folder = chapter.artifact("clients/README").parent
    files = clients.write(chapter.profile, folder, url)
    calls = sorted({call for client in clients.CLIENTS for call in client.calls})
    chapter.record(*(_endpoint(station, path) for path in calls if url), artifacts=files)
    return chapter.checks("gateway.endpoint")


def _tried(work: Callable[[Station], Check], station: Station) -> Check:
    try:
        return work(station)
    except (openai.OpenAIError, httpx.HTTPError, LookupError, ValueError) as error:
        return Check(
            name=f"gateway.{work.__name__.strip('_')}",
            title="The gateway answers OpenAI's client",
            status="fail",
            expected="an answer",
            observed=f"{type(error).__name__}: {error}"[:300],
            fix="read gateway.log in the raw files",
        )


def _surface(station: Station) -> Check:
    """Ask every role that chats with OpenAI's client, whole and streamed."""
    known = Roles(station.settings)
    roles = [role for role in known.settings.roles if known.chats(role)]
    asked: Any = {"messages": [{"role": "user", "content": WORD}], "max_tokens": 8, "temperature": 0}
    problems = []
    with station.client() as client:
        listed = [model.id for model in client.models.list()]
        for role in roles:
            whole = client.chat.completions.create(model=role, **asked).choices[0].message.content
            pieces = client.chat.completions.create(model=role, stream=True, **asked)
            streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
            if not whole or whole != streamed:
                problems.append(f"{role}: {whole!r} whole, {streamed!r} streamed")
    problems += [f"{role} is not listed" for role in roles if role not in listed]
    return Check(
        name="gateway.surface",
        title="OpenAI's own client works with every role",
        status="fail" if problems else "pass",
        expected="each role that chats is listed; the same greedy answer whole and streamed",
        observed="; ".join(problems) or f"{len(roles)} roles: {', '.join(f'`{role}`' for role in roles)}",
        fix="compare with the same request to the engine itself (tests/gateway/test_against_vllm.py)",
    )


def _meaning(station: Station) -> Check:
    """Ask for embeddings with OpenAI's client, and for an order of texts, and see which text is the nearest."""
    with station.client() as client:
        vectors = client.embeddings.create(model=EMBED, input=[QUESTION, *TEXTS]).data
    question, *texts = [np.asarray(one.embedding) for one in vectors]
    near = [float(question @ text / np.linalg.norm(question) / np.linalg.norm(text)) for text in texts]
    body = {"model": EMBED, "query": QUESTION, "documents": list(TEXTS)}
    headers = {"authorization": f"Bearer {station.key}"}
    answer = asking.http().post(f"{station.url}/v1/rerank", json=body, headers=headers).raise_for_status().json()
    first = int(answer["results"][0]["index"])
    right = near.index(max(near)) == first == 1
    told = ", ".join(f"{value:.2f}" for value in near)
    return Check(
        name="gateway.meaning",
        title="Embeddings and rerank pass through the gateway and mean something",
        status="pass" if right else "fail",
        expected="the text about water is nearest to the question about it, by both",
        observed=f"nearest by cosine: text {near.index(max(near)) + 1} ({told}); first by rerank: text {first + 1}",
        fix="ask the embedding engine itself; its log is among the raw files",
    )


def _errors(station: Station) -> Check:
    """Ask for a model that is not there."""
    with station.client() as client:
        try:
            client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": WORD}])
            told = "it was answered"
        except openai.NotFoundError as error:
            told = "" if all(role in str(error) for role in station.settings.roles) else str(error)
    return Check(
        name="gateway.unknown_model",
        title="An unknown model gives OpenAI's error and the list",
        status="fail" if told else "pass",
        expected="404, with the names that are known",
        observed=told or "404, with every role's name",
        fix="read gateway.log in the raw files",
    )


def _closed(station: Station) -> Check:
    """Ask without a key and with a wrong one."""
    body = asking.question(next(iter(station.settings.roles)), WORD, 4)
    statuses = [
        asking.http().post(f"{station.url}{asking.CHAT}", json=body, headers=headers).status_code
        for headers in ({}, {"authorization": "Bearer rb_00000000_wrong"})
    ]
    return Check(
        name="gateway.closed",
        title="Nothing is answered without a key",
        status="pass" if statuses == [401, 401] else "fail",
        expected="401 without a key, 401 with a wrong one",
        observed=", ".join(map(str, statuses)),
        fix="set gateway.open_on_loopback to false in the profile",
    )


def _endpoint(station: Station, path: str) -> Check:
    role = next(iter(station.settings.roles))
    embeds = path == "/v1/embeddings"
    if embeds and EMBED not in station.settings.roles:
        status: Any = "skip"
        left_out = EMBED in station.chapter.profile.gateway.roles
        why = "its engine is not started in this run" if left_out else "this profile has no role `embed`"
        observed = f"{why}; chapter 09 asks the embedding model itself"
    else:
        name = EMBED if embeds else role
        bodies: dict[str, dict[str, Any]] = {
            "/v1/chat/completions": asking.question(name, WORD, 4),
            "/v1/completions": {"model": name, "prompt": WORD, "max_tokens": 4},
            "/v1/embeddings": {"model": name, "input": [WORD]},
        }
        headers = {"authorization": f"Bearer {station.key}"}
        ask = asking.http()
        url = f"{station.url}{path}"
        answer = ask.post(url, json=bodies[path], headers=headers) if path in bodies else ask.get(url, headers=headers)
        status, observed = ("pass" if answer.status_code == 200 else "fail"), f"HTTP {answer.status_code}"
        if status == "fail":
            observed = f"{observed}: {answer.text[:200]}"
    used = ", ".join(client.name for client in clients.CLIENTS if path in client.calls)
    return Check(
        name="gateway.endpoint",
        title=f"{path}: called by {used}",
        status=status,
        expected="HTTP 200",
        observed=observed,
        fix="name a role `embed` in the profile; gateway.engines, in_chapter: true (--thorough) starts its engine"
        if embeds
        else "read gateway.log in the raw files",
        conditions={"path": path},
    )
