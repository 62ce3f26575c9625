"""Chapter 04, second half: what the plan means for the card and the host, as checks, measurements and a decision."""

from collections.abc import Sequence

from lib.chapters import models
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement
from lib.core.sections import Profile
from lib.engine.models import catalogue, planner, sizes
from lib.engine.models.catalogue import Model
from lib.engine.models.planner import Fit
from lib.engine.models.sizes import GIB


def checks(found: Sequence[Fit], profile: Profile) -> list[Check]:
    """Check that the served model fits; a combination that does not is a warning, since it can be swapped instead."""
    names = ["served", *(f"combination_{number}" for number in range(1, len(found)))]
    fitting = [_fit(name, one, profile) for name, one in zip(names, found, strict=True)]
    return [*fitting, *_sleeping(profile)]


def _fit(name: str, found: Fit, profile: Profile) -> Check:
    served = name == "served"
    status = "pass" if found.serves else "fail" if served and not found.loads else "warn"
    return Check(
        name=f"models.fit.{name}",
        title=f"{'Served' if served else 'Together'}: {found.names}",
        status=status,
        expected=f"weights, reserve and one request of full length each within {found.limit / GIB:.1f} GiB",
        observed=models.verdict(found, profile),
        fix=_way_out(found, profile),
    )


def _way_out(found: Fit, profile: Profile) -> str:
    if not found.loads and len(found.processes) > 1:
        return "let them take turns (sleep mode), or take a set that fits; then remove it from models.combinations"
    if not found.loads:
        return "serve a smaller or quantised model: python -m lib models list"
    shorter = planner.longest_context(found, sizes.kv_type(profile.serving.kv_cache_dtype, profile.serving.dtype))
    return (
        f"serving.max_model_len: {shorter} or less; or serving.kv_cache_dtype: fp8, which holds twice the tokens and "
        "changes the attention kernel: check the answers before relying on it"
    )


def _sleeping(profile: Profile) -> list[Check]:
    """Check the host memory for models that sleep at level 1, where weights wait in memory; the CPU has no sleep."""
    chats = [model for model in models.wanted(profile) if model.task == "chat"]
    if profile.hardware == "cpu" or len(chats) < 2:
        return []
    needed, memory = planner.sleep_bytes(chats), profile.host.memory.minimum_gib
    bound = int(memory * GIB * models.SLEEP_SHARE)
    return [
        Check(
            name="models.sleep_memory",
            title="Host memory for the models that sleep",
            status="pass" if needed <= bound else "warn",
            expected=f"at most {bound / GIB:.0f} GiB, {models.SLEEP_SHARE:.0%} of {memory:g} GiB",
            observed=f"{needed / GIB:.1f} GiB while the smallest of {', '.join(m.name for m in chats)} is awake",
            fix="let fewer models sleep, or use sleep level 2 (weights are dropped and read from the disk again)",
            source="https://blog.vllm.ai/2025/10/26/sleep-mode.html",
        )
    ]


def measurements(chapter: Chapter, found: Sequence[Fit]) -> list[Measurement]:
    """Record what the planner reckons, and return what the tables of the plan do not show already."""
    profile, speed = chapter.profile, models.disk_speed(chapter)
    reckoned = [item for model in models.mentioned(profile) for item in _of_model(model, profile, speed)]
    left = [_left(one) for one in found]
    predicted = [predict(profile)] if sizes.kv_token_bytes(catalogue.get(profile.models.served)) else []
    recorded = chapter.record(*predicted, *left, *reckoned)
    return [item for item in recorded if item.name in ("planner.kv_tokens", "planner.left", "planner.load")]


def predict(profile: Profile) -> Measurement:
    """Predict the number of KV cache tokens that the engine will report for the served model."""
    serving, model = profile.serving, catalogue.get(profile.models.served)
    size = serving.cpu_kv_cache_gib * GIB
    if profile.hardware == "cuda":
        weights, reserve = sizes.weight_bytes(model), int(profile.models.reserve_gib * GIB)
        size = planner.kv_bytes(int(profile.models.card_gib * GIB), serving.gpu_memory_utilization, weights, reserve)
    return planner.prediction(
        model,
        size,
        min(serving.max_model_len, model.context),
        hardware=profile.hardware,
        in_flight=models.in_flight(profile),
        kv_dtype=sizes.kv_type(serving.kv_cache_dtype, serving.dtype),
    )


def _left(found: Fit) -> Measurement:
    return Measurement(
        name="planner.left",
        title="Memory left for KV cache",
        value=round(found.left / GIB, 2),
        unit="GiB",
        method="limit less weights and reserve of every process",
        conditions={"models": found.names, "limit_gib": round(found.limit / GIB, 1)},
    )


def _of_model(model: Model, profile: Profile, speed: float | None) -> list[Measurement]:
    weights, source = sizes.weight_bytes(model), model.architecture.source
    kv = sizes.kv_type(profile.serving.kv_cache_dtype, profile.serving.dtype)
    line = profile.line.download_mbit_s
    found = [
        Measurement(
            name="planner.weights",
            title="Weights",
            value=round(weights / GIB, 3),
            unit="GiB",
            method="parameters of the architecture × bytes of the format",
            conditions={"model": model.name},
            source=source,
        ),
        Measurement(
            name="planner.kv_token",
            title="KV cache of one token",
            value=sizes.kv_token_bytes(model, kv),
            unit="bytes",
            method="2 × layers with full attention × KV heads × head size × bytes of the type",
            conditions={"model": model.name, "kv_dtype": kv},
            source=source,
        ),
        Measurement(
            name="planner.download",
            title="Download",
            value=round(planner.download_seconds(models.transfer_bytes(model), line), 1),
            unit="s",
            method="bytes by the line's full speed",
            conditions={"model": model.name, "line_mbit_s": line},
        ),
    ]
    if speed:
        found.append(
            Measurement(
                name="planner.load",
                title="Read from the disk",
                value=round(planner.load_seconds(weights, speed), 2),
                unit="s",
                method="weights by the disk's speed as chapter 01 measured it",
                conditions={"model": model.name, "disk_mb_s": speed},
            )
        )
    return found


def decide(found: Sequence[Fit], profile: Profile) -> Decision:
    """Choose the first combination of the profile that serves; say what does not fit, by how much, and what instead."""
    sets = list(found[1:]) or list(found)
    serving = [one for one in sets if one.serves]
    refused = [one for one in sets if not one.loads]
    tight = [one for one in sets if one.loads and not one.serves]
    chosen = serving[0] if serving else found[0]
    reasons = [f"{chosen.names}: {models.verdict(chosen, profile)}."]
    for one in refused:
        weights = sum(process.weights for process in one.processes) / GIB
        reserve = sum(process.reserve for process in one.processes) / GIB
        reasons.append(
            f"{one.names} needs {weights:.1f} GiB of weights and {reserve:.1f} GiB of reserve, "
            f"{-one.left / GIB:.1f} GiB more than the {one.limit / GIB:.1f} GiB there are: "
            "they can take turns, not share."
        )
    others = [one for one in (*serving, *tight) if one is not chosen]
    where = "the card" if profile.models.card_gib else "this machine"
    together = f"{chosen.names} share {where}" if len(chosen.processes) > 1 else f"{chosen.names} alone on {where}"
    return Decision(
        name="models.combination",
        choice=together,
        reason=" ".join(reasons),
        evidence=["planner.left", *(f"models.fit.combination_{i + 1}" for i in range(len(found) - 1))],
        alternatives=[f"{one.names}: {models.verdict(one, profile)}" for one in others],
    )
