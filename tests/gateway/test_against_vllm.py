"""The gateway beside the engine itself: the same requests to both, the same answers, errors included."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from town import until

from lib.core import profile as profiles
from lib.engine.models import catalogue, fetch
from lib.engine.serve import pooling
from lib.engine.serve.conformance import PERSON, WEATHER
from lib.engine.serve.server import Server
from lib.gateway import keys
from lib.gateway.process import Gateway

pytestmark = pytest.mark.engine

MODEL = "smollm2-135m"
EMBEDDER = "minilm-l6"
CHAT = "/v1/chat/completions"
ASK = [{"role": "user", "content": "Name three colours."}]
BASE = {"model": MODEL, "messages": ASK, "max_tokens": 12, "temperature": 0, "seed": 1}
# Of an answer's headers, those that a client acts on; the date and the engine's own bookkeeping differ by themselves.
MATTER = ("content-type", "server", "cache-control", "transfer-encoding")


class Sides(NamedTuple):
    direct: str
    through: str
    key: str
    embedder: str


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = tmp_path_factory.mktemp("gateway")
    _, secret = keys.create(folder / "keys.json", "test", ["*"])
    profile = profiles.load(
        "embedded", {"serving.extra_args": ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]}
    )
    embedder = catalogue.get(EMBEDDER)
    engines = [
        Server(profile, catalogue.get(MODEL), fetch.ensure(MODEL), folder / "engine.log"),
        Server(pooling.serving(profile, embedder), embedder, fetch.ensure(EMBEDDER), folder / "embedder.log"),
    ]
    with contextlib.ExitStack() as stack:
        for one in engines:
            stack.callback(one.stop)
        with ThreadPoolExecutor(len(engines)) as pool:
            list(pool.map(Server.start, engines))
        engine, embedding = engines
        settings = {
            "gateway.engines": {
                "main": {"model": MODEL, "url": engine.url},
                "embedder": {"model": EMBEDDER, "url": embedding.url},
            },
            "gateway.roles": {"planner": {"engine": "main"}, "embed": {"engine": "embedder"}},
            "gateway.keys": str(folder / "keys.json"),
        }
        gateway = stack.enter_context(Gateway("embedded", settings, folder / "gateway.log"))
        yield Sides(engine.url, gateway.url, secret, embedding.url)


def both(sides: Sides, path: str, **request: Any) -> tuple[httpx.Response, httpx.Response]:
    method = "GET" if not request else "POST"
    engine = sides.embedder if request.get("json", {}).get("model") == EMBEDDER else sides.direct
    more = request.pop("headers", {})
    with httpx.Client(trust_env=False, timeout=60, headers={"authorization": f"Bearer {sides.key}", **more}) as client:
        return client.request(method, engine + path, **request), client.request(method, sides.through + path, **request)


def shape(value: Any) -> Any:
    """Return what an answer looks like, without its words: keys, types, and how many of each."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def without_moment(value: Any) -> Any:
    """Return an answer without what differs from request to request."""
    if isinstance(value, dict):
        return {key: without_moment(inner) for key, inner in value.items() if key not in ("id", "created")}
    return [without_moment(inner) for inner in value] if isinstance(value, list) else value


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {}),
    "two choices": (CHAT, {"n": 2}),
    "probabilities": (CHAT, {"logprobs": True, "top_logprobs": 2}),
    "json schema": (
        CHAT,
        {"max_tokens": 80, "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}},
    ),
    "tools": (CHAT, {"tools": [WEATHER], "tool_choice": "none"}),
    "text": ("/v1/completions", {"prompt": "One, two,", "messages": None}),
    "unicode": (CHAT, {"messages": [{"role": "user", "content": "Привет, ё 😀"}]}),
    "no model": (CHAT, {"model": None}),
    "wrong temperature": (CHAT, {"temperature": 99}),
    "wrong type": (CHAT, {"max_tokens": "many"}),
    "no messages": (CHAT, {"messages": None}),
    "empty messages": (CHAT, {"messages": []}),
    "too long": (CHAT, {"max_tokens": 100_000}),
    "unknown role": (CHAT, {"messages": [{"role": "nobody", "content": 7}]}),
    "wrong schema": (CHAT, {"response_format": {"type": "json_schema"}}),
    "embeddings of a chat model": ("/v1/embeddings", {"input": "x"}),
    "responses": ("/v1/responses", {"input": "Say yes.", "max_output_tokens": 8}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_answer(sides: Sides, name: str) -> None:
    path, fields = REQUESTS[name]
    body = {key: value for key, value in {**BASE, **fields}.items() if value is not None}
    direct, through = both(sides, path, json=body)
    assert through.status_code == direct.status_code
    assert {n: through.headers.get(n) for n in MATTER} == {n: direct.headers.get(n) for n in MATTER}
    if direct.status_code == 200 and path != "/v1/responses":
        assert without_moment(through.json()) == without_moment(direct.json())
    assert shape(through.json()) == shape(direct.json())


QUESTION = "How do I water the plants?"
TEXTS = ["The train to the airport leaves at noon.", "Give the flowers water every morning.", "Prices rose in May."]
OF_TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "one": ("/v1/embeddings", {"input": QUESTION}),
    "several": ("/v1/embeddings", {"input": TEXTS}),
    "base64": ("/v1/embeddings", {"input": TEXTS, "encoding_format": "base64"}),
    "too long": ("/v1/embeddings", {"input": "word " * 600}),
    "nothing to embed": ("/v1/embeddings", {}),
    "other dimensions": ("/v1/embeddings", {"input": QUESTION, "dimensions": 64}),
    "rerank": ("/v1/rerank", {"query": QUESTION, "documents": TEXTS}),
    "the best only": ("/v1/rerank", {"query": QUESTION, "documents": TEXTS, "top_n": 1}),
    "nothing to rerank": ("/v1/rerank", {"query": QUESTION}),
    "a chat with it": (CHAT, {"messages": ASK}),
}


def close(value: Any) -> Any:
    """Return an answer with its numbers as they compare between two batches."""
    if isinstance(value, dict):
        return {key: close(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [close(inner) for inner in value]
    return pytest.approx(value, abs=1e-3) if isinstance(value, float) else value


@pytest.mark.parametrize("name", OF_TEXTS)
def test_the_same_answer_of_an_embedding_model(sides: Sides, name: str) -> None:
    path, fields = OF_TEXTS[name]
    direct, through = both(sides, path, json={"model": EMBEDDER, **fields})
    assert through.status_code == direct.status_code
    assert {n: through.headers.get(n) for n in MATTER} == {n: direct.headers.get(n) for n in MATTER}
    assert shape(through.json()) == shape(direct.json())
    if direct.status_code == 200 and name != "base64":
        assert without_moment(through.json()) == close(without_moment(direct.json()))


def test_embeddings_and_rerank_by_role_find_what_belongs_together(sides: Sides) -> None:
    with OpenAI(base_url=f"{sides.through}/v1", api_key=sides.key, max_retries=0) as client:
        told = client.embeddings.create(model="embed", input=[QUESTION, *TEXTS])
    question, *texts = [np.asarray(one.embedding) for one in told.data]
    near = [float(question @ text) for text in texts]
    assert near.index(max(near)) == 1
    headers = {"authorization": f"Bearer {sides.key}"}
    body = {"model": "embed", "query": QUESTION, "documents": TEXTS}
    answer = httpx.post(f"{sides.through}/v1/rerank", json=body, headers=headers, trust_env=False, timeout=60)
    order = [one["index"] for one in answer.json()["results"]]
    assert order == sorted(range(3), key=lambda place: -near[place])


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"messages": 1'])
def test_bodies_that_are_no_requests(sides: Sides, raw: bytes) -> None:
    direct, through = both(sides, CHAT, content=raw, headers={"content-type": "application/json"})
    assert through.status_code == direct.status_code == 400
    assert set(through.json()["error"]) == set(direct.json()["error"])


def test_unknown_model_other_content_type_and_no_such_path(sides: Sides) -> None:
    for path, request in (
        (CHAT, {"json": {**BASE, "model": "gpt-4"}}),
        (CHAT, {"content": b"x", "headers": {"content-type": "text/plain"}}),
        ("/v1/nothing", {"json": {}}),
        ("/v1/chat/completions", {}),
    ):
        direct, through = both(sides, path, **request)
        assert through.status_code == direct.status_code
        assert set(through.json()) == set(direct.json())
        assert set(through.json().get("error", ())) == set(direct.json().get("error", ()))


@pytest.mark.parametrize("usage", [False, True])
def test_streams_have_the_same_framing(sides: Sides, usage: bool) -> None:
    more = {"stream_options": {"include_usage": True}} if usage else {}
    direct, through = both(sides, CHAT, json={**BASE, "stream": True, **more})
    assert through.headers["content-type"] == direct.headers["content-type"]
    assert "content-length" not in through.headers
    lines = [side.text.split("\n") for side in (direct, through)]
    assert len(lines[0]) == len(lines[1])
    for ours, theirs in zip(lines[1], lines[0], strict=True):
        if ours.startswith("data: {"):
            assert without_moment(json.loads(ours[6:])) == without_moment(json.loads(theirs[6:]))
        else:
            assert ours == theirs


def test_openais_client_unmodified(sides: Sides) -> None:
    for url in (sides.direct, sides.through):
        with OpenAI(base_url=f"{url}/v1", api_key=sides.key, max_retries=0) as client:
            answer = client.chat.completions.create(**BASE)  # type: ignore[call-overload]
            assert answer.choices[0].message.content
            pieces = list(client.chat.completions.create(**BASE, stream=True))  # type: ignore[call-overload]
            text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
            assert text == answer.choices[0].message.content
            assert MODEL in [model.id for model in client.models.list()]
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(**{**BASE, "model": "gpt-4"})  # type: ignore[call-overload]
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(**{**BASE, "temperature": 99})  # type: ignore[call-overload]


def test_openais_client_sees_a_wrong_key(sides: Sides) -> None:
    with (
        OpenAI(base_url=f"{sides.through}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_openais_client_asynchronously_and_many_at_once(sides: Sides) -> None:
    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=f"{sides.through}/v1", api_key=sides.key, max_retries=0) as client:
            answers = await asyncio.gather(
                *(client.chat.completions.create(**{**BASE, "model": "planner"}) for _ in range(8))  # type: ignore[call-overload]
            )
        return [answer.choices[0].message.content for answer in answers]

    assert all(asyncio.run(ask()))


def test_curl(sides: Sides) -> None:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is missing")
    argv = [program, "-sS", "--no-buffer", f"{sides.through}{CHAT}", "-H", "content-type: application/json"]
    argv += ["-H", f"authorization: Bearer {sides.key}", "-d", json.dumps({**BASE, "stream": True})]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.startswith("data: {")
    assert said.rstrip().endswith("data: [DONE]")


def test_a_client_that_leaves_stops_the_engine(sides: Sides) -> None:
    def told(metric: str) -> float:
        text = httpx.get(f"{sides.direct}/metrics", timeout=10, trust_env=False).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{metric}{{"))

    def running() -> float:
        return told("vllm:num_requests_running")

    wanted = 1500
    written = told("vllm:generation_tokens_total")
    headers = {"authorization": f"Bearer {sides.key}"}
    long = {**BASE, "max_tokens": wanted, "ignore_eos": True, "stream": True}
    with (
        httpx.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", f"{sides.through}{CHAT}", json=long, headers=headers) as answer,
    ):
        events = answer.iter_raw()  # named: httpx closes the answer with its iterator, and the client would leave here
        next(events)
        # The first event comes before the engine's first step, and its metrics after it.
        until(lambda: running() == 1, 30)
    until(lambda: running() == 0, 30)
    # Not that it had come to the end by itself.
    assert 0 < told("vllm:generation_tokens_total") - written < wanted
