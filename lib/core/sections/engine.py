"""What a profile says of models, of the engine, and of the experiments on it."""

from typing import Any, Literal

from pydantic import Field

from lib.core.sections.base import Scalar, Section


class Models(Section):
    """Which models, where they lie, and what must fit together."""

    store: str = Field(default=".cache/models", description="Folder of models; relative to the repository or absolute")
    served: str = Field(description="Catalogue name of the model that chapters 05 and 06 serve")
    others: list[str] = Field(default=[], description="Further catalogue names that the owner wants ready")
    combinations: list[list[str]] = Field(default=[], description="Sets of models that should share the card")
    card_gib: float = Field(default=0, ge=0, description="Memory of the card, GiB; 0 on a CPU")
    reserve_gib: float = Field(default=3.0, ge=0, description="Per process: CUDA context, graphs, activations")


class Serving(Section):
    """How the engine is started. Every field becomes a vLLM flag or environment variable of the same meaning."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="0 picks a free port")
    max_model_len: int = Field(default=2048, ge=16)
    max_num_seqs: int | None = Field(default=32, ge=1, description="null: vLLM's own default")
    max_num_batched_tokens: int | None = Field(default=2048, ge=16, description="null: vLLM's own default")
    dtype: Literal["auto", "native", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="native: bfloat16, or float32 on a processor that would only emulate it; CPU only"
    )
    kv_cache_dtype: str = "auto"
    gpu_memory_utilization: float = Field(default=0.92, gt=0, le=1)
    cpu_kv_cache_gib: int = Field(default=0, ge=0, description="VLLM_CPU_KVCACHE_SPACE; CPU only")
    enforce_eager: bool = False
    load_format: Literal["auto", "dummy"] = Field(default="auto", description="dummy fills random weights: speed only")
    ready_timeout_s: float = Field(default=600, gt=0)
    stop_timeout_s: float = Field(default=30, gt=0)
    extra_args: list[str] = Field(default=[], description="Further vLLM flags, one word an item")
    environment: dict[str, str] = Field(default={})
    python: str = Field(default="", description="Python of another environment that runs the engine; empty: this one")
    image: str = Field(default="vllm/vllm-openai:v0.33.0", description="Container image of the compose file")
    alive: int = Field(default=1, ge=1, description="Servers that a chapter may keep at a time: memory decides")
    all_cpus: bool | None = Field(default=None, description="Threads on every CPU; null: as measured. CPU only")


class Shape(Section):
    """Lengths of a request, tokens."""

    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=2)


class Batching(Section):
    """The load of chapter 06 and the latency limits that the owner wants to hold."""

    concurrency: list[int] = Field(default=[1, 4, 16, 32], min_length=1)
    input_tokens: int = Field(default=128, ge=1)
    output_tokens: int = Field(default=64, ge=2)
    prompts_per_slot: int = Field(default=2, ge=1, description="Requests a point = concurrency × this")
    repeats: int = Field(default=3, ge=2)
    warmup_prompts: int = Field(default=1, ge=0, description="Uncounted requests of each point, × concurrency")
    ttft_limit_ms: float = Field(default=2000, gt=0)
    tpot_limit_ms: float = Field(default=100, gt=0)
    shapes: list[Shape] = Field(default=[], description="Further lengths, each at every concurrency")
    contexts: list[int] = Field(default=[], description="Prompt lengths of one request alone: latency over context")
    prefix_tokens: int = Field(default=0, ge=0, description="Shared beginning of all prompts, against none; 0: skip")
    further_repeats: int = Field(default=3, ge=2, description="Repeats of context, prefix and KV cache measurements")
    kv_cache_dtypes: list[str] = Field(default=[], description="Compared with serving.kv_cache_dtype; one start each")


class Roofline(Section):
    """How long the machine's own limits are measured: memory bandwidth and matrix rate."""

    seconds: float = Field(default=4, gt=0, le=60, description="For each of the two")
    losses: bool = Field(default=False, description="Profile one request: where a decode step's time goes; one start")


class Tuner(Section):
    """The search over server flags: what is varied, under which load, for how many server starts."""

    starts: int = Field(default=6, ge=2, description="Server starts, vLLM's defaults included")
    space: dict[str, list[Scalar]] = Field(default={}, description="Field of `serving` to the values that are tried")
    concurrency: int = Field(default=32, ge=1)
    input_tokens: int = Field(default=128, ge=1)
    output_tokens: int = Field(default=64, ge=2)
    prompts_per_slot: int = Field(default=2, ge=1)
    repeats: int = Field(default=2, ge=2)
    pairs: int = Field(default=3, ge=2, description="A B A B: how often winner and defaults are measured in turn")
    exhaustive: bool = Field(default=False, description="Every combination of the space instead of a search")


class Speculation(Section):
    """What chapter 07 tries: speculative configurations × workloads × concurrency."""

    configurations: dict[str, dict[str, Any]] = Field(default={}, description="Name to vLLM's --speculative-config")
    workloads: list[str] = Field(default=["code", "chat", "repetition"], description="Files of runbook/workloads")
    concurrency: list[int] = Field(default=[1, 4], min_length=1)
    output_tokens: int = Field(default=64, ge=2, description="Longest answer")
    prompts_per_slot: int = Field(default=2, ge=1)
    prompts: int = Field(default=4, ge=1, description="Requests of a run, at least: small concurrencies ask as many")
    warmup_prompts: int = Field(default=1, ge=0, description="Uncounted requests of each point, × concurrency")
    repeats: int = Field(default=2, ge=2)
    synthetic_lengths: list[float] = Field(default=[], description="Acceptance lengths that random weights are given")


class Swap(Section):
    """What chapter 08 switches between, and which ways of starting and waking it measures."""

    models: list[str] = Field(default=[], description="Catalogue names, switched in turn; the first is served first")
    sources: list[Literal["disk", "page_cache", "tmpfs"]] = Field(default=["disk", "page_cache"])
    sleep_levels: list[Literal[1, 2]] = Field(default=[], description="Levels of vLLM's sleep mode; needs a GPU")
    repeats: int = Field(default=1, ge=1)
    empty_caches: bool = Field(default=False, description="The first start of each model finds nothing compiled")


class Quality(Section):
    """Two or more variants of one model, compared by what they say; the first is the reference."""

    models: list[str] = Field(default=[], description="Catalogue names; the first is the reference")
    text_tokens: int = Field(default=2048, ge=64, description="Tokens of the evaluation text")
    top: int = Field(default=20, ge=2, description="Logarithms of probabilities asked for at each position")
    questions: int = Field(default=40, ge=10, description="Program-made tasks beside the smoke questions")
    speed: bool = Field(default=True, description="Also a short load on each variant that passed the gate")
    original: bool = Field(default=False, description="The served weights against the 4-bit file they were made from")


class PowerMap(Section):
    """The power limits that chapter 06 measures; it changes a card only where the owner says that it may."""

    may_change_limit: bool = Field(default=False, description="Never true for a card that is lent")
    limits_w: list[int] = Field(default=[], description="Power limits, W")
    settle_s: float = Field(default=5, ge=0, description="Wait between setting a limit and loading the card")
    room_c: float = Field(default=35, ge=-20, le=60, description="Warmest room the recommended limit is for")
    room_now_c: float | None = Field(default=None, description="Room while it is measured, by a thermometer")
    concurrency: int = Field(default=32, ge=1)
    prefill_tokens: int = Field(default=2048, ge=16, description="Prompt of the prefill phase; its answers are short")
    decode_tokens: int = Field(default=512, ge=16, description="Answer of the decode phase; its prompts are short")
    prompts_per_slot: int = Field(default=2, ge=1)
    repeats: int = Field(default=2, ge=2, description="Rounds over all limits, down and up in turn")
    loss: float = Field(default=0.05, gt=0, lt=1, description="Share of speed that the recommended limit may cost")


class Upgrade(Section):
    """The gate of chapter 15: another engine environment against the one in use."""

    python: str = Field(default="", description="Python of the other environment; empty: the one in use")
    environment: dict[str, str] = Field(default={}, description="Its variables, PYTHONPATH for instance")
    concurrency: list[int] = Field(default=[1, 16], min_length=1, description="Points; lengths are those of batching")
    pairs: int = Field(default=4, ge=2, description="A B A B: how often old and new are measured in turn")
    repeats: int = Field(default=2, ge=1, description="Runs of each point in each turn")
    tolerance: float = Field(default=0.03, gt=0, lt=1, description="A loss of speed up to this share is accepted")
