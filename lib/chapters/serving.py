"""Chapter 05: the engine starts, says what it chose, answers right, and leaves nothing behind when it stops."""

from collections.abc import Callable, Sequence
from pathlib import Path

from IPython.display import display as show

from lib.core import display, paths
from lib.core.chapter import Chapter, Weights
from lib.core.errors import RunbookError
from lib.core.evidence import Change, Check, Decision, Measurement
from lib.deploy import serving as deploy
from lib.engine.models import catalogue, fetch, planner
from lib.engine.models.catalogue import Model
from lib.engine.serve import command, conformance, kernels, smoke
from lib.engine.serve.log import Readback
from lib.engine.serve.server import Server, StartError

SERVICE_STORE = Path("/srv/models")
SERVICE_PORT = 8000


def model(chapter: Chapter) -> Model:
    """Return the model that the profile serves."""
    return catalogue.get(chapter.profile.models.served)


def weights(chapter: Chapter) -> Weights:
    """Tell whether the profile serves real weights or random ones, which only have a speed."""
    return "random" if chapter.profile.serving.load_format == "dummy" else "real"


def plan(chapter: Chapter) -> display.Html:
    """Show how the engine will be started here: its command and the variables that the profile decides."""
    served = model(chapter)
    folder = fetch.folder(served.name, chapter.profile.models.store)
    line = command.display([*command.launcher(), *command.arguments(chapter.profile, served, folder, 0)])
    rows = [{"": "command", " ": line.replace("--port 0", "--port (a free one)")}]
    rows += [{"": key, " ": value} for key, value in command.environment(chapter.profile).items()]
    return display.table(rows, f"{served.title}, served from {paths.short(folder)}")


def start(chapter: Chapter) -> Server | None:
    """Start the engine and record `serving.start`; return None, with a failed check, where it does not start."""
    served = model(chapter)
    engine = Server(
        chapter.profile,
        served,
        fetch.folder(served.name, chapter.profile.models.store),
        chapter.artifact("engine.log"),
        progress(chapter),
    )
    try:
        with chapter.engine_time("start"):
            engine.start()
    except StartError as error:
        chapter.record(_not_started(error), artifacts=_keep(engine.log), command=engine.command, model=served.name)
        return None
    chapter.record(
        Check(
            name="serving.start",
            title="The engine starts and answers",
            status="pass",
            expected=f"ready within {chapter.profile.serving.ready_timeout_s:g} s",
            observed=f"ready after {engine.ready_seconds:.1f} s on {engine.url}",
        ),
        command=engine.command,
        model=served.name,
        weights=weights(chapter),
    )
    return engine


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
    found = [
        *kernels.checks(engine.model, engine.readback(), engine.libraries(), kernels.capability(chapter.profile)),
        conformance.listening(engine),
        conformance.routes(engine.routes()),
    ]
    with chapter.engine_time("interface"):
        found.append(conformance.streaming(engine))
        if weights(chapter) == "real":
            found += [conformance.structured(engine), conformance.tools(engine)]
        else:
            found += [
                _no_weights("serving.structured_output", "Structured output", "JSON that follows a schema"),
                _no_weights("serving.tool_calls", "Tool calls", "a call of a given tool"),
            ]
    readback_file = [path for path in [chapter.artifacts / "readback.json"] if path.exists()]
    return chapter.record(*found, artifacts=readback_file, model=engine.model.name, weights=weights(chapter))


def accuracy(chapter: Chapter, engine: Server | None, name: str = "serving.smoke") -> tuple[Check, ...]:
    """Ask the known questions and keep the answers; with random weights there is nothing to be right about."""
    if engine is None:
        return ()
    questions = smoke.load()
    if weights(chapter) == "random":
        asked = f"{len(questions.questions)} questions"
        skip = _no_weights(name, "Accuracy smoke: known questions are answered right", asked)
        return chapter.record(skip, model=engine.model.name, weights="random")
    with chapter.engine_time("smoke"):
        graded = smoke.run(engine.url, engine.model.name, questions)
    answers = chapter.save("smoke.json", smoke.as_json(graded))
    verdict = smoke.check(graded, questions, engine.model.name, name)
    return chapter.record(verdict, artifacts=[answers], model=engine.model.name, weights="real")


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
    chapter.record(reported, model=engine.model.name, weights=weights(chapter))
    return chapter.record(verdict, model=engine.model.name, weights=weights(chapter))


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
    return chapter.record(*found, command=engine.command, model=engine.model.name, weights=weights(chapter))


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


def stop(chapter: Chapter, engine: Server | None) -> tuple[Check, ...]:
    """Stop the engine and check that nothing of it is left; its whole log becomes a raw file."""
    if engine is None:
        return ()
    with chapter.engine_time("stop"):
        stopped = engine.stop()
    verdict = conformance.stopping(stopped, engine.port, chapter.profile.serving.stop_timeout_s)
    return chapter.record(verdict, artifacts=_keep(engine.log), model=engine.model.name)


def decide(chapter: Chapter) -> Decision:
    """State the served configuration, if everything that speaks for it was seen."""
    served, failed = model(chapter), [check for check in chapter.checks() if check.status == "fail"]
    cited = ["serving.start", "serving.kernel.attention", "serving.smoke", "planner.kv_tokens", "serving.stop"]
    recorded = {record.name for record in chapter.records}
    serving = chapter.profile.serving
    if failed:
        choice = f"{served.title} is not served in this configuration"
        reason = "Failed: " + "; ".join(f"{check.title} ({check.observed})" for check in failed)
    else:
        choice = f"{served.title}, {serving.max_model_len:,} tokens of context, {serving.max_num_seqs} requests at most"
        reason = "It started, its kernels are the expected ones, it answered known questions right, it spoke the "
        reason += "interface that clients rely on, and it stopped without a trace."
    return Decision(
        name="serving.configuration",
        choice=choice,
        reason=reason,
        evidence=[name for name in cited if name in recorded],
        alternatives=_alternatives(chapter),
    )


def progress(chapter: Chapter) -> Callable[[str, float], None]:
    """Return what shows the stages of a start: one line that changes in JupyterLab, nothing when headless."""
    if chapter.headless:
        return lambda _stage, _seconds: None
    handle = show(display.Html("starting", "starting"), display_id=True)

    def tell(stage: str, seconds: float) -> None:
        handle.update(display.Html(f"<p>{seconds:.0f} s: {stage} …</p>", f"{seconds:.0f} s: {stage}"))

    return tell


def _chosen(seen: Readback, engine: Server) -> dict[str, str]:
    eager = {True: "no (eager)", False: "yes", None: ""}[seen.eager]
    return {
        "vLLM": seen.version,
        "model": engine.model.title,
        "device": seen.device,
        "numbers": seen.dtype + (f", quantised: {seen.quantization}" if seen.quantization else ""),
        "compiled": eager,
        "attention": seen.attention,
        "experts": seen.moe,
        "linear layers": ", ".join(seen.linear),
        "compiled libraries loaded": ", ".join(engine.libraries()),
        "KV cache": f"{seen.kv_tokens:,} tokens, {seen.kv_cache_dtype}"
        + (f", {seen.kv_gib:g} GiB" if seen.kv_gib else ""),
        "requests of full length": f"{seen.max_concurrency:g}" if seen.max_concurrency else "",
        "routes": f"{len(engine.routes())} (see /openapi.json)",
    }


def _not_started(error: RunbookError) -> Check:
    return Check(
        name="serving.start",
        title="The engine starts and answers",
        status="fail",
        expected="ready",
        observed=error.what,
        fix=f"{error.fix}\nwhere: {error.where}" if error.where else error.fix,
    )


def _keep(log: Path) -> list[Path]:
    """Make the engine's log a raw file that can travel: without the place where the repository lies."""
    if not log.exists():
        return []
    log.write_text(paths.portable(log.read_text(errors="replace")))
    return [log]


def _no_weights(name: str, title: str, expected: str) -> Check:
    return Check(
        name=name,
        title=title,
        status="skip",
        expected=expected,
        observed="random weights (serving.load_format: dummy): speed is real, text is not",
        fix="set serving.load_format to auto and fetch the model to check its answers",
    )


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
    served, store = model(chapter), Path(chapter.profile.models.store)
    folder = (store if store.is_absolute() else SERVICE_STORE) / served.name
    flags = command.arguments(chapter.profile, served, folder, chapter.profile.serving.port or SERVICE_PORT)
    return deploy.service(chapter.profile, served.name, flags, command.environment(chapter.profile))


def _alternatives(chapter: Chapter) -> Sequence[str]:
    eager = chapter.profile.serving.enforce_eager
    return ["compiled instead of eager" if eager else "eager instead of compiled (--enforce-eager)"]
