"""What a profile says about the gateway and the agents: typed, with units, limits and defaults."""

from typing import Literal

from pydantic import Field

from lib.core.sections.base import Section


class GatewayEngine(Section):
    """One engine behind the gateway: where it listens, what it takes of a card, and how it makes room for another."""

    model: str = Field(description="Catalogue name")
    url: str = Field(default="", description="Address without a path; empty: the gateway starts the engine itself")
    card: str = Field(default="", description="A card of `gateway.cards` that it shares; empty: a place of its own")
    gib: float = Field(default=0, ge=0, description="Memory of the card that it holds while awake, GiB")
    switch: Literal["always", "sleep", "restart"] = Field(
        default="always", description="always: never makes room; sleep: vLLM's sleep mode; restart: ended and started"
    )
    sleep_level: Literal[1, 2] = Field(default=1, description="1 keeps the weights in main memory, 2 drops them")
    running: int = Field(default=0, ge=0, description="Requests that it works on at a time; 0: as many as come")
    key_file: str = Field(default="", description="File with the key that this engine asks for; empty: none")
    in_chapter: bool = Field(default=True, description="Chapter 10 starts it; false skips its role there")


class GatewayRole(Section):
    """A name that clients ask for, and which engines answer it: the first, or else the next."""

    engine: str
    fallback: list[str] = Field(default=[], description="Engines tried in turn where the first cannot answer")


class Gateway(Section):
    """The one OpenAI-compatible address in front of all engines."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="0 picks a free port")
    keys: str = Field(default=".cache/gateway/keys.json", description="File of hashed keys, mode 0600")
    open_on_loopback: bool = Field(default=False, description="This machine's own programs need no key")
    holds: str = Field(default=".cache/gateway/holds", description="Folder: a file in it stops admission of requests")
    origins: list[str] = Field(default=[], description="Origins of web pages whose scripts may call (CORS)")
    engines: dict[str, GatewayEngine] = {}
    roles: dict[str, GatewayRole] = Field(default={}, description="The first one answers requests without a model")
    cards: dict[str, float] = Field(default={}, description="Name to memory for engines, GiB")
    queue: int = Field(default=128, ge=1, description="Requests that may wait for one engine; more get 429")
    queue_s: float = Field(default=120, gt=0, description="Longest wait for an engine, s; after that 503")
    hold_s: float = Field(default=20, ge=0, description="An engine that was woken keeps its card so long while asked")
    linger_s: float = Field(default=0.5, ge=0, description="An engine without requests keeps its card so long")
    silent_s: float = Field(default=600, gt=0, description="Longest silence of an engine within an answer, s")
    client_s: float = Field(default=60, gt=0, description="Longest time that a client takes nothing of its answer, s")
    body_mib: float = Field(default=32, gt=0, description="Largest request")
    probe_s: float = Field(default=5, gt=0, description="How often an engine that failed is asked for its health")
    memory: bool = Field(default=False, description="Facts of lib/memory for roles `memory/...`, chats to memory")
    memory_tokens: int = Field(default=1500, ge=64, description="Facts in a prompt, at most so many tokens")
    chat_idle_s: float = Field(default=300, ge=0, description="A chat so long without a request counts as ended")
    # Chapter 10's measurements.
    pairs: int = Field(default=6, ge=2, description="How often the engine and the gateway are loaded in turn")
    concurrency: int = Field(default=32, ge=1, description="Throughput is compared at so many requests at a time")
    ttft_prompts: int = Field(default=40, ge=2, description="Pairs of requests, one at a time, for the TTFT")
    prompts_per_slot: int = Field(default=2, ge=1, description="Requests in a row at each of these places")
    input_words: int = Field(default=64, ge=1, description="Of each prompt of this load")
    output_tokens: int = Field(default=32, ge=1, description="Of each answer of this load")
    load_s: float = Field(default=60, gt=0, description="No pair begins after so long, of TTFT and throughput each")
    storm: int = Field(default=0, ge=0, description="Requests for two models that change by restart; 0: no storm")
    storm_every_s: float = Field(default=0.5, gt=0, description="Time between two requests of the storm")
    ttft_limit_ms: float = Field(default=3, gt=0, description="What the gateway may add to the median TTFT")
    throughput_limit: float = Field(default=0.97, gt=0, le=1, description="Share of the throughput that must remain")


class Agents(Section):
    """The planner, its executors, and how much they may spend."""

    planner: str = Field(default="planner", description="Role that plans")
    executors: list[str] = Field(default=["coder"], description="Roles that carry out steps")
    task: str = Field(default="functions", description="A task of runbook/tasks")
    hints: bool = Field(default=True, description="The planner writes advice beside each step; costs tokens")
    plans: int = Field(default=3, ge=1, description="How often the planner may plan, the first time included")
    steps: int = Field(default=12, ge=1, description="Steps carried out, at most")
    tokens: int = Field(default=8000, ge=64, description="Tokens of all requests together, at most")
    seconds: float = Field(default=60, gt=0, description="Time for all, at most")
