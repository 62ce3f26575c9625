"""The gate before every speed: the engine starts, runs the expected kernels, answers right, stops without a trace."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from IPython.display import display as show

from lib.core import display, paths
from lib.core.chapter import Chapter, Weights
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Scalar
from lib.engine.models import catalogue, fetch
from lib.engine.models.catalogue import Model
from lib.engine.serve import conformance, kernels, smoke
from lib.engine.serve.server import Server, StartError

Conditions = Mapping[str, Scalar]


class Finding(NamedTuple):
    """One verdict of the gate, with the raw files and the command behind it."""

    check: Check
    artifacts: Sequence[Path] = ()
    command: str = ""


def model(chapter: Chapter) -> Model:
    """Return the model that the profile serves."""
    return catalogue.get(chapter.profile.models.served)


def weights(chapter: Chapter) -> Weights:
    """Tell whether the profile serves real weights or random ones, which only have a speed."""
    return "random" if chapter.profile.serving.load_format == "dummy" else "real"


def start(chapter: Chapter) -> Server | None:
    """Start the profile's own engine; return None, with a failed check, where it does not start."""
    served = model(chapter)
    folder = fetch.folder(served.name, chapter.profile.models.store)
    engine = Server(chapter.profile, served, folder, chapter.artifact("engine.log"), progress(chapter))
    error = None
    try:
        with chapter.engine_time("start"):
            engine.start()
    except StartError as failure:
        error = failure
    _record(chapter, engine, [started(engine, error)])
    return None if error else engine


def kernel_choice(chapter: Chapter, engine: Server) -> tuple[Check, ...]:
    """Record `serving.kernel.*`: what the engine chose, held against the catalogue."""
    return _record(chapter, engine, chosen_kernels(chapter, engine))


def accuracy(chapter: Chapter, engine: Server | None) -> tuple[Check, ...]:
    """Ask the known questions and keep the answers; with random weights there is nothing to be right about."""
    return _record(chapter, engine, [answers(chapter, engine)]) if engine else ()


def findings(chapter: Chapter, engine: Server, error: StartError | None, label: str) -> Iterator[Finding]:
    """Yield what the gate finds on a server that was started, in order: start, kernels, answers.

    A model that does not chat has neither the kernels that the catalogue knows nor answers to known questions.

    Parameters
    ----------
    chapter : Chapter
        Where raw files are kept.
    engine : Server
        The server, running unless `error` says otherwise.
    error : StartError or None
        Why it did not start.
    label : str
        The server's name in file names.
    """
    yield started(engine, error)
    if error is None and engine.model.task == "chat":
        yield from chosen_kernels(chapter, engine, label)
        yield answers(chapter, engine, label)


def started(engine: Server, error: StartError | None) -> Finding:
    """Tell whether the engine became ready, or its own words on why not and what to do."""
    limit = engine.profile.serving.ready_timeout_s
    verdict = Check(
        name="serving.start",
        title="The engine starts and answers",
        status="fail" if error else "pass",
        expected=f"ready within {limit:g} s",
        observed=error.what if error else f"ready after {engine.ready_seconds:.1f} s on {engine.url}",
        fix=_with_place(error) if error else "",
    )
    return Finding(verdict, keep(engine.log) if error else [], engine.command)


def chosen_kernels(chapter: Chapter, engine: Server, label: str = "") -> list[Finding]:
    """Hold what the engine chose against what the catalogue expects; the reading is a raw file."""
    seen = engine.readback()
    file = chapter.save(f"readback{_suffix(label)}.json", seen.model_dump_json(indent=1))
    where = kernels.capability(engine.profile)
    found = kernels.checks(engine.profile, engine.model, seen, engine.libraries(), where)
    return [Finding(check, [file]) for check in found]


def answers(chapter: Chapter, engine: Server, label: str = "") -> Finding:
    """Ask the known questions, greedily; with random weights that is skipped."""
    questions = smoke.load()
    if weights(chapter) == "random":
        asked = f"{len(questions.questions)} questions"
        return Finding(no_weights("serving.smoke", "Accuracy smoke: known questions are answered right", asked))
    with chapter.engine_time("smoke"):
        graded = smoke.run(engine.url, engine.model.name, questions)
    file = chapter.save(f"smoke{_suffix(label)}.json", smoke.as_json(graded))
    return Finding(smoke.check(graded, questions, engine.model.name), [file])


def stop(chapter: Chapter, engine: Server | None, conditions: Conditions | None = None) -> tuple[Check, ...]:
    """Stop the engine and check that nothing of it is left; its whole log becomes a raw file."""
    if engine is None:
        return ()
    with chapter.engine_time("stop"):
        stopped = engine.stop()
    verdict = conformance.stopping(stopped, engine.port, engine.profile.serving.stop_timeout_s)
    told = verdict.model_copy(update={"conditions": dict(conditions or {})})
    return chapter.record(told, artifacts=keep(engine.log), model=engine.model.name)


def progress(chapter: Chapter) -> Callable[[str, float], None]:
    """Return what shows the stages of long work: one line that changes in JupyterLab, nothing when headless."""
    if chapter.headless:
        return lambda _stage, _seconds: None
    handle = show(display.Html("starting", "starting"), display_id=True)

    def tell(stage: str, seconds: float) -> None:
        handle.update(display.Html(f"<p>{seconds:.0f} s: {stage} …</p>", f"{seconds:.0f} s: {stage}"))

    return tell


def keep(log: Path) -> list[Path]:
    """Make the engine's log a raw file that can travel: without the place where the repository lies."""
    if not log.exists():
        return []
    log.write_text(paths.portable(log.read_text(errors="replace")))
    return [log]


def no_weights(name: str, title: str, expected: str) -> Check:
    """Return the skip for what random weights cannot show."""
    return Check(
        name=name,
        title=title,
        status="skip",
        expected=expected,
        observed="random weights (serving.load_format: dummy): speed is real, text is not",
        fix="set serving.load_format to auto and fetch the model to check its answers",
    )


def _record(chapter: Chapter, engine: Server, found: Sequence[Finding]) -> tuple[Check, ...]:
    return tuple(
        written
        for finding in found
        for written in chapter.record(
            finding.check,
            artifacts=finding.artifacts,
            command=finding.command,
            model=engine.model.name,
            weights=weights(chapter),
        )
    )


def _suffix(label: str) -> str:
    return f"-{label}" if label else ""


def _with_place(error: RunbookError) -> str:
    return f"{error.fix}\nwhere: {error.where}" if error.where else error.fix
