"""Chapter 15: what stands against more cards, more memory and Kubernetes in the machine that the profile describes."""

from collections.abc import Iterator

from lib.core.evidence import Check, Scalar
from lib.core.sections import Gpu, Profile
from lib.engine.models import catalogue
from lib.engine.models.catalogue import Model
from lib.engine.models.sizes import GIB
from lib.engine.upgrade import plan

GB = 10**9
SUPPLY_SHARE = 0.8  # the owner's own rule, psu_capacity in the checklist of his profile
TENSOR_PARALLEL = "vllm 0.33.0: vllm/config/model.py:1562"
DEVICE_PLUGIN = "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/gpu-sharing.html"


def checks(profile: Profile) -> Iterator[Check]:
    """Yield what the plan of a profile meets; without a card only that there is none."""
    yield _tensor_parallel(profile)
    gpu = card(profile)
    if gpu is None:
        return
    if profile.plan.cards:
        yield from _more_cards(profile, gpu)
    yield from (_fits(profile, gpu, catalogue.get(name)) for name in profile.plan.models)
    for name in profile.plan.models:
        yield from (_fits(profile, gpu, catalogue.get(name), size) for size in profile.plan.memory_gb)
    if profile.gateway.engines:
        yield _kubernetes(profile)


def _tensor_parallel(profile: Profile) -> Check:
    cards = sum(gpu.vendor == "nvidia" for gpu in profile.host.gpus)
    model = catalogue.get(profile.models.served)
    title, expected = (
        "Tensor parallelism over the cards of this machine",
        "two or more equal cards that share the heads",
    )
    if cards < 2:
        told = "one NVIDIA card" if cards else "no NVIDIA card"
        return _check(
            "tensor_parallel", title, "skip", expected, f"{told}: nothing to divide", "nothing; a second card first"
        )
    equal = len({gpu.name for gpu in profile.host.gpus if gpu.vendor == "nvidia"}) == 1
    good = equal and plan.divides(model.architecture, cards)
    return _check(
        "tensor_parallel",
        title,
        "pass" if good else "fail",
        expected,
        f"{cards} cards{'' if equal else ' of different kinds'}; {_heads(model)}",
        "serve one engine a card behind the gateway (gateway.engines), or use a number of cards that divides the heads",
    )


def _more_cards(profile: Profile, gpu: Gpu) -> Iterator[Check]:
    cards, wanted = profile.plan.cards, profile.plan
    names = dict.fromkeys([profile.models.served, *wanted.models])
    apart = [model for model in map(catalogue.get, names) if not plan.divides(model.architecture, cards)]
    yield _check(
        "heads",
        f"Tensor parallelism over {cards} cards",
        "warn" if apart else "pass",
        f"{cards} divides the heads of every model",
        "; ".join(f"{model.name}: {_heads(model)}" for model in apart) or "it does",
        "two or four cards, or one engine a card behind the gateway (gateway.engines)",
        source=TENSOR_PARALLEL,
    )
    if wanted.lanes and gpu.pcie_width:
        asked = cards * gpu.pcie_width
        yield _check(
            "lanes",
            f"PCIe lanes for {cards} cards",
            "pass" if asked <= wanted.lanes else "warn",
            f"{cards} × {gpu.pcie_width} = {asked} lanes",
            f"{wanted.lanes} lanes: {wanted.lanes // cards} a card at most, and drives ask for lanes too",
            "a server board; what fewer lanes cost is to be measured",
        )
    if wanted.supplies_w and profile.host.cpu.power_w:
        yield _supply(profile, gpu)


def _supply(profile: Profile, gpu: Gpu) -> Check:
    cards, enough = profile.plan.cards, SUPPLY_SHARE * sum(profile.plan.supplies_w)
    limit = gpu.power_cap_w or gpu.power_default_w
    drawn = plan.drawn_w(cards, limit, profile.host.cpu.power_w)
    rated = " + ".join(f"{watts:g}" for watts in profile.plan.supplies_w)
    return _check(
        "supplies",
        f"Supplies for {cards} cards",
        "pass" if drawn <= enough else "warn",
        f"{drawn:g} W ({cards} × {limit:g} W and the processor) within {SUPPLY_SHARE:.0%} of the rating",
        f"{enough:g} W of {rated} W, if both supplies fed this machine",
        "a lower power limit of the cards (chapter 06 tells what it costs), or a larger supply",
    )


def _fits(profile: Profile, gpu: Gpu, model: Model, memory_gb: float | None = None) -> Check:
    parts = plan.split(model, room(profile, gpu))
    memory = memory_gb * GB if memory_gb else profile.host.memory.minimum_gib * GIB
    about: dict[str, Scalar] = {"model": model.name} | ({"memory_gb": memory_gb} if memory_gb else {})
    return _check(
        "memory",
        "A model on the card and in main memory",
        "pass" if parts.memory <= memory else "warn",
        f"{max(parts.memory, 0) / GIB:.1f} GiB of its weights in main memory",
        f"{memory / GIB:.1f} GiB"
        + (f", of the {memory_gb:g} GB thought of" if memory_gb else ", what this machine has"),
        "more memory, or weights in fewer bits",
        about,
    )


def _kubernetes(profile: Profile) -> Check:
    cards = sum(gpu.vendor == "nvidia" for gpu in profile.host.gpus)
    engines = len(profile.gateway.engines)
    return _check(
        "kubernetes",
        "Kubernetes with the device plugin, on this one host",
        "pass" if engines <= cards else "warn",
        "a whole card for every engine: the plugin hands out cards, not parts of them",
        f"{engines} engines of the gateway, {cards} {'card' if cards == 1 else 'cards'}",
        "stay with systemd and the gateway on one host; sharing by time-slicing keeps neither memory nor faults apart",
        source=DEVICE_PLUGIN,
    )


def card(profile: Profile) -> Gpu | None:
    """Return the first NVIDIA card of a profile."""
    return next((gpu for gpu in profile.host.gpus if gpu.vendor == "nvidia"), None)


def room(profile: Profile, gpu: Gpu) -> float:
    """Return the bytes that weights may take on a card: vLLM's share of it, less what a process keeps."""
    share = gpu.memory_mib * (1 << 20) * profile.serving.gpu_memory_utilization
    return max(share - profile.models.reserve_gib * GIB, 0.0)


def _heads(model: Model) -> str:
    return f"{model.architecture.q_heads} heads, {model.architecture.kv_heads} KV heads"


def _check(
    name: str,
    title: str,
    status: str,
    expected: str,
    observed: str,
    fix: str,
    conditions: dict[str, Scalar] | None = None,
    source: str = "",
) -> Check:
    return Check.model_validate(
        {
            "name": f"upgrade.plan.{name}",
            "title": title,
            "status": status,
            "expected": expected,
            "observed": observed,
            "fix": fix,
            "source": source,
            "conditions": conditions or {},
        }
    )
