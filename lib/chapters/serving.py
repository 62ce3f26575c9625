"""Chapter 05: the engine starts, says what it chose, answers right, and leaves nothing behind when it stops."""

from collections.abc import Sequence
from pathlib import Path

from lib.chapters import gate
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Decision, Measurement
from lib.deploy import serving as deploy
from lib.engine.models import fetch, planner
from lib.engine.serve import command, conformance
from lib.engine.serve.log import Readback
from lib.engine.serve.server import Server

SERVICE_STORE = Path("/srv/models")
SERVICE_PORT = 8000


def plan(chapter: Chapter) -> display.Html:
    """Show how the engine will be started here: its command and the variables that the profile decides."""
    served = gate.model(chapter)
    folder = fetch.folder(served.name, chapter.profile.models.store)
    line = command.display([*command.launcher(), *command.arguments(chapter.profile, served, folder, 0)])
    rows = [{"": "command", " ": line.replace("--port 0", "--port (a free one)")}]
    rows += [{"": key, " ": value} for key, value in command.environment(chapter.profile).items()]
    return display.table(rows, f"{served.title}, served from {paths.short(folder)}")


def readback(chapter: Chapter, engine: Server | None) -> display.Html:
    """Show what the engine says that it chose, and keep it as a raw file."""
    if engine is None:
        return display.Html("<p>The engine did not start.</p>", "The engine did not start.")
    seen = engine.readback()
    chapter.save("readback.json", seen.model_dump_json(indent=1))
    return display.table([{"": name, " ": value} for name, value in _chosen(seen, engine).items() if value])


def verify(chapter: Chapter, engine: Server | None) -> tuple[Check, ...]:
    """Check kernels, interface and addresses of a running engine."""
    if engine is None:
        return ()
    gate.kernel_choice(chapter, engine)
    found = [
        conformance.listening(engine),
        conformance.routes(engine.routes()),
    ]
    with chapter.engine_time("interface"):
        real = gate.weights(chapter) == "real"
        found.append(conformance.streaming(engine, chat=real))
        if real:
            found += [conformance.structured(engine), conformance.tools(engine)]
        else:
            found += [
                gate.no_weights("serving.structured_output", "Structured output", "JSON that follows a schema"),
                gate.no_weights("serving.tool_calls", "Tool calls", "a call of a given tool"),
            ]
    chapter.record(*found, model=engine.model.name, weights=gate.weights(chapter))
    return tuple(check for check in chapter.checks("serving.") if check.name not in ("serving.start", "serving.smoke"))


def cache(chapter: Chapter, engine: Server | None) -> tuple[Check, ...]:
    """Hold the planner's prediction of the KV cache (chapter 04) against what the engine reports."""
    if engine is None:
        return ()
    predictions = [
        record
        for record in chapter.earlier("planner.kv_tokens")
        if isinstance(record, Measurement)
        and record.conditions.get("source") == "predicted"
        and record.conditions.get("model") == engine.model.name
    ]
    if not predictions:
        return chapter.record(_no_prediction())
    reported, verdict = planner.compare_kv(predictions[-1], engine.readback().kv_tokens)
    chapter.record(reported, model=engine.model.name, weights=gate.weights(chapter))
    return chapter.record(verdict, model=engine.model.name, weights=gate.weights(chapter))


def measurements(chapter: Chapter, engine: Server | None) -> tuple[Measurement, ...]:
    """Record how long the start took, and how many requests of full length fit."""
    if engine is None:
        return ()
    seen = engine.readback()
    told = [
        ("serving.ready_seconds", "From start to the first answer of /health", engine.ready_seconds, "s", "clock"),
        ("serving.weights_seconds", "Loading weights, of that", seen.weights_s, "s", "the engine's start log"),
        (
            "serving.init_seconds",
            "Profiling, KV cache and warm-up, of that",
            seen.init_s,
            "s",
            "the engine's start log",
        ),
        ("serving.full_requests", "Requests of full length at a time", seen.max_concurrency, "", "the same"),
    ]
    found = [
        Measurement(name=name, title=title, value=round(value, 2), unit=unit, method=method)
        for name, title, value, unit, method in told
        if value is not None
    ]
    return chapter.record(*found, command=engine.command, model=engine.model.name, weights=gate.weights(chapter))


def files(chapter: Chapter) -> list[Change]:
    """Render the engine's service files for this profile into the raw files of the chapter; nothing is installed."""
    described = _service(chapter)
    rendered = (
        ("systemd unit", "vllm.service", f"/etc/systemd/system/vllm-{described.model}.service", deploy.unit(described)),
        ("environment", "vllm.env", described.environment_file, deploy.environment_file(described)),
        ("compose file", "compose.yml", "/etc/inference/compose.yml", deploy.compose(described)),
    )
    changes: list[Change] = []
    for kind, name, target, text in rendered:
        change = Change(
            name=f"serving.file.{kind.split()[0]}",
            title=f"The engine's {kind}",
            status="planned",
            target=target,
            before="(not there)",
            after=text.rstrip(),
            reason="Rendered from the profile with the flags that were started and checked above; not installed by "
            "this chapter.",
            undo=f"rm {target}",
        )
        changes += chapter.record(change, artifacts=[chapter.save(name, text)], model=described.model)
    return changes


def verify_files(chapter: Chapter) -> tuple[Check, ...]:
    """Let the tools that will read the service files judge them."""
    saved = [
        path for name in ("vllm.service", "vllm.env", "compose.yml") if (path := chapter.artifacts / name).exists()
    ]
    return chapter.record(*deploy.verify(_service(chapter)), artifacts=saved)


def decide(chapter: Chapter) -> Decision:
    """State the served configuration, if everything that speaks for it was seen."""
    served, failed = gate.model(chapter), [check for check in chapter.checks() if check.status == "fail"]
    cited = ["serving.start", "serving.kernel.attention", "serving.smoke", "planner.kv_tokens", "serving.stop"]
    recorded = {record.name for record in chapter.records}
    serving = chapter.profile.serving
    if failed:
        choice = f"{served.title} is not served in this configuration"
        reason = "Failed: " + "; ".join(f"{check.title} ({check.observed})" for check in failed)
    else:
        most = serving.max_num_seqs or "as many as vLLM takes"
        choice = f"{served.title}, {serving.max_model_len:,} tokens of context, {most} requests at most"
        reason = (
            "It started, its kernels are the expected ones, it answered known questions right, it spoke the "
            "interface that clients rely on, and it stopped without a trace."
        )
    return Decision(
        name="serving.configuration",
        choice=choice,
        reason=reason,
        evidence=[name for name in cited if name in recorded],
        alternatives=_alternatives(chapter),
    )


def _chosen(seen: Readback, engine: Server) -> dict[str, str]:
    eager = {True: "no (eager)", False: "yes", None: ""}[seen.eager]
    return {
        "vLLM": seen.version,
        "model": engine.model.title,
        "device": seen.device,
        "numbers": seen.dtype + (f", quantised: {seen.quantization}" if seen.quantization else ""),
        "compiled": eager,
        "attention": f"{seen.attention} {seen.flash_attention}".strip(),
        "CUDA graphs": seen.graphs + (f", up to {max(seen.graph_sizes)}" if seen.graph_sizes else ""),
        "speculation": seen.speculation,
        "experts": seen.moe,
        "linear layers": ", ".join(seen.linear),
        "compiled libraries loaded": ", ".join(engine.libraries()),
        "KV cache": f"{seen.kv_tokens:,} tokens, {seen.kv_cache_dtype}"
        + (f", {seen.kv_gib:g} GiB" if seen.kv_gib else ""),
        "requests of full length": f"{seen.max_concurrency:g}" if seen.max_concurrency else "",
        "routes": f"{len(engine.routes())} (see /openapi.json)",
    }


def _no_prediction() -> Check:
    return Check(
        name="planner.kv_tokens",
        title="The planner predicted the KV cache",
        status="skip",
        expected="the prediction of chapter 04",
        observed="chapter 04 has not recorded one in this run",
        fix="python -m lib run --only 04,05",
    )


def _service(chapter: Chapter) -> deploy.Service:
    served, store = gate.model(chapter), Path(chapter.profile.models.store)
    folder = (store if store.is_absolute() else SERVICE_STORE) / served.name
    flags = command.arguments(chapter.profile, served, folder, chapter.profile.serving.port or SERVICE_PORT)
    return deploy.service(chapter.profile, served.name, flags, command.environment(chapter.profile))


def _alternatives(chapter: Chapter) -> Sequence[str]:
    eager = chapter.profile.serving.enforce_eager
    return ["compiled instead of eager" if eager else "eager instead of compiled (--enforce-eager)"]
