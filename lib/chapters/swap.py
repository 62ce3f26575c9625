"""Chapter 08, first half: changing the served model. Restarts from disk, page cache and memory; sleep and waking."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lib.chapters import gate
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Measurement, Scalar
from lib.core.sections import Profile
from lib.engine.models import catalogue, fetch
from lib.engine.models.catalogue import Derived, Model
from lib.engine.serve import client, command, smoke
from lib.engine.serve.client import Stream
from lib.engine.serve.server import Server, StartError
from lib.engine.serve.smoke import Graded
from lib.engine.serve.variant import Variant
from lib.engine.swap import sleep
from lib.engine.swap import source as sources
from lib.engine.swap.source import Placed, Source

PROMPT = "Name three colours."
TOKENS = 24
METHOD = "monotonic clock, one start at a time"


class Started(NamedTuple):
    """A start that was timed: the server, and the streamed answer to the request that wanted it."""

    engine: Server
    answer: Stream
    seconds: float


class Turns:
    """Serves one model after another, times each change, and keeps one server at a time.

    Parameters
    ----------
    chapter : Chapter
        Receives the records; its profile says what is served and how.
    """

    def __init__(self, chapter: Chapter) -> None:
        self.chapter = chapter
        self.current: Server | None = None
        self.answers: dict[str, Sequence[Graded]] = {}  # model to its answers to the smoke questions
        self.trusted: dict[str, bool] = {}  # model to whether it passed the gate: only then a speed is told
        self._starts = 0

    def serve(self, name: str, source: Source | None = None, variant: Variant | None = None) -> Server | None:
        """Change to a model as a request for it would: stop the other one, start this one, wait for the first token.

        Parameters
        ----------
        name : str
            Catalogue name.
        source : str, optional
            Where its files come from; default: the first of `swap.sources`.
        variant : Variant, optional
            Serving fields and flags that differ; default: able to sleep, where the profile has levels of sleep.

        Returns
        -------
        Server or None
            The running server, or None where it did not start: then a check says why.
        """
        profile = self.chapter.profile
        where = source or profile.swap.sources[0]
        sleeps = profile.hardware == "cuda" and bool(profile.swap.sleep_levels)
        variant = variant or (sleep.variant(profile, name) if sleeps else Variant(name))
        model = catalogue.get(name)
        before = self.current.model.name if self.current else "nothing"
        folder = fetch.folder(name, profile.models.store)
        with sources.placed(folder, where) as place, _Caches(self, name) as caches:
            begun = time.monotonic()
            self.stop()
            stopped = time.monotonic() - begun
            chosen = variant._replace(model=name, serving={**variant.serving, **caches.serving(profile, variant)})
            started = self._start(model, place, chosen, begun)
        if started is None:
            return None
        self.current = started.engine
        told = "random weights" if gate.weights(self.chapter) == "random" else where
        conditions: dict[str, Scalar] = {"source": told, "model": name, "compile_cache": caches.state}
        self._record_times(started, place, stopped, {**conditions, "before": before})
        self._gate(started.engine, name)
        return self.current

    def stop(self) -> tuple[Check, ...]:
        """Stop the running server, if there is one, and return the checks that nothing of any stayed."""
        if self.current is not None:
            gate.stop(self.chapter, self.current, conditions={"model": self.current.model.name})
            self.current = None
        return tuple(self.chapter.checks("serving.stop"))

    def _start(self, model: Model, place: Placed, variant: Variant, begun: float) -> Started | None:
        self._starts += 1
        log = self.chapter.artifact(f"engine-{self._starts}-{model.name}.log")
        engine = Server(variant.of(self.chapter.profile), model, place.folder, log, gate.progress(self.chapter))
        error = None
        try:
            with self.chapter.engine_time("start"):
                engine.start()
        except StartError as failure:
            error = failure
        finding = gate.started(engine, error)
        self._write(engine, finding)
        if error is not None:
            return None
        answer = client.stream(engine.url, client.question(model.name, PROMPT, TOKENS))
        return Started(engine, answer, time.monotonic() - begun - max(answer.last_s - answer.first_s, 0.0))

    def _record_times(self, started: Started, place: Placed, stopped: float, conditions: dict[str, Scalar]) -> None:
        """Record how long the start, reading the weights and the way to the first token took."""
        engine, held = started.engine, f"{place.cached:.0%} of the weights were in the page cache"
        own = {key: value for key, value in conditions.items() if key != "before"}
        told = [
            _seconds("swap.cold_seconds", "From the command to a server that answers", engine.ready_seconds, own, held)
        ]
        weights = engine.readback().weights_s
        if weights:
            told.append(_seconds("swap.weights_seconds", "Reading the weights", weights, _way(own), "the engine's log"))
        if not started.answer.error:
            other = f"; {stopped:.1f} s of it to stop the other one" if conditions["before"] != "nothing" else ""
            told.append(
                _seconds(
                    "swap.first_token_seconds",
                    "From the request for the model to its first token",
                    started.seconds,
                    _way(conditions),
                    METHOD + other,
                )
            )
        keep = gate.keep(engine.log)
        self.chapter.record(
            *told, artifacts=keep, command=engine.command, model=engine.model.name, weights=gate.weights(self.chapter)
        )
        if gate.weights(self.chapter) != "random":  # random ones are read from nowhere
            self.chapter.record(_honest(place, conditions))

    def _gate(self, engine: Server, name: str) -> None:
        """Record kernels and answers. Of a variant, wrong answers are a finding; of the reference, a failure."""
        if name in self.trusted:
            return
        first = name == (self.chapter.profile.quality.models or [name])[0]
        found = [*gate.chosen_kernels(self.chapter, engine, name), self._answers(engine)]
        self.trusted[name] = all(finding.check.status != "fail" for finding in found)
        for finding in found:
            failed = finding.check.status == "fail" and not first
            check = finding.check.model_copy(update={"status": "warn"}) if failed else finding.check
            self._write(engine, finding._replace(check=check))

    def _answers(self, engine: Server) -> gate.Finding:
        """Ask the smoke questions; what is derived from a model is held to the mark of that one."""
        questions, model = smoke.load(), engine.model
        if gate.weights(self.chapter) == "random":
            return gate.answers(self.chapter, engine, model.name)
        if isinstance(model.source, Derived) and model.name not in questions.pass_marks:
            marks = {**questions.pass_marks, model.name: questions.pass_mark(model.source.derive)}
            questions = questions.model_copy(update={"pass_marks": marks})
        with self.chapter.engine_time("smoke"):
            self.answers[model.name] = graded = smoke.run(engine.url, model.name, questions)
        file = self.chapter.save(f"smoke-{model.name}.json", smoke.as_json(graded))
        return gate.Finding(smoke.check(graded, questions, model.name), [file])

    def _write(self, engine: Server, finding: gate.Finding) -> None:
        conditions = {**finding.check.conditions, "model": engine.model.name}
        self.chapter.record(
            finding.check.model_copy(update={"conditions": conditions}),
            artifacts=finding.artifacts,
            command=finding.command,
            model=engine.model.name,
            weights=gate.weights(self.chapter),
        )


class _Caches:
    """The compile caches of one start: the kept ones, or, for the first start of a model, empty ones."""

    def __init__(self, turns: Turns, name: str) -> None:
        profile = turns.chapter.profile
        self._empty = profile.swap.empty_caches and name not in turns.trusted
        self._folder = Path()
        self._eager = profile.serving.enforce_eager

    def __enter__(self) -> "_Caches":
        if self._empty:
            (paths.CACHE / "tmp").mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="cold-", dir=paths.CACHE / "tmp"))
        return self

    def __exit__(self, *_: object) -> None:
        if self._empty:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def state(self) -> str:
        """As evidence carries it."""
        return "not used" if self._eager else "empty" if self._empty else "kept"

    def serving(self, profile: Profile, variant: Variant) -> dict[str, object]:
        """Return the fields of `serving` that point the engine to empty caches; none where they are kept."""
        if not self._empty:
            return {}
        own = variant.serving.get("environment", profile.serving.environment)
        return {"environment": {**own, **command.caches(self._folder)}}


def rounds(chapter: Chapter) -> list[str]:
    """Return the models in the order in which they are served; with random weights nobody is asked for quality."""
    profile = chapter.profile
    asked = [] if gate.weights(chapter) == "random" else profile.quality.models
    wanted = dict.fromkeys([*(profile.swap.models or [profile.models.served]), *asked])
    return [name for name in wanted if _there(chapter, name)]


def missing(chapter: Chapter) -> list[Check]:
    """Record a skip for every model that would be served and is not in the store."""
    profile = chapter.profile
    for name in dict.fromkeys([*profile.swap.models, *profile.quality.models]):
        if not _there(chapter, name):
            chapter.record(_absent(chapter, name))
    return chapter.checks("swap.model")


def plan(chapter: Chapter) -> display.Html:
    """Show which model is served when, and from where its files come."""
    profile = chapter.profile
    rows = [
        {
            "Model": catalogue.get(name).title,
            "Format": catalogue.get(name).format,
            "Switched": "yes" if name in profile.swap.models else "no",
            "Asked for quality": "yes" if name in profile.quality.models else "no",
            "Sources": ", ".join(profile.swap.sources),
            "Sleep levels": ", ".join(map(str, profile.swap.sleep_levels)) or "none",
        }
        for name in rounds(chapter)
    ]
    return display.table(rows, "In this order")


def matrix(turns: Turns) -> list[Measurement]:
    """Start every model from every further source, as often as the profile says, and return all that was timed."""
    swap, there = turns.chapter.profile.swap, rounds(turns.chapter)
    models = [name for name in swap.models if name in there]
    wanted = [(name, place) for _ in range(swap.repeats) for place in swap.sources for name in models]
    for name, place in wanted[len(models) :]:  # the first of each was served before
        turns.serve(name, place)
    return turns.chapter.measurements("swap.")


def _there(chapter: Chapter, name: str) -> bool:
    there = (fetch.folder(name, chapter.profile.models.store) / "config.json").is_file()
    return there and not command.lacking(chapter.profile, catalogue.get(name))


def _absent(chapter: Chapter, name: str) -> Check:
    lacking = command.lacking(chapter.profile, catalogue.get(name))
    return Check(
        name="swap.model",
        title="The model can be served here" if lacking else "The model is in the store",
        status="skip",
        expected=f"{name} in {chapter.profile.models.store}",
        observed=f"{lacking or 'it is not there'}, so nothing is measured with it",
        fix="run it on such a machine"
        if lacking
        else f"python -m lib models fetch {name} --profile {chapter.profile.name}",
        conditions={"model": name},
    )


def _honest(place: Placed, conditions: dict[str, Scalar]) -> Check:
    """Check that a start that is called one from the disk was one."""
    wanted = conditions["source"]
    status = "warn" if wanted == "disk" and not place.cold else "pass"
    expected = {"disk": "no weights in the page cache", "page_cache": "all weights in the page cache"}
    return Check(
        name="swap.source",
        title="The weights came from where it says",
        status=status,
        expected=expected.get(str(wanted), "a copy in memory"),
        observed=f"{place.cached:.0%} of the weights in memory before the start",
        fix="something else has the files open, or the file system answers from memory: stop other servers of this "
        "model and run the chapter again",
        source="preadv2(2) with RWF_NOWAIT at 64 places of the largest file",
        conditions={"source": wanted, "model": conditions["model"]},
    )


def _way(conditions: dict[str, Scalar]) -> dict[str, Scalar]:
    return {"way": "restart", **conditions}


def _seconds(name: str, title: str, value: float, conditions: dict[str, Scalar], method: str) -> Measurement:
    return Measurement(
        name=name, title=title, value=round(value, 2), unit="s", method=method, conditions=dict(conditions)
    )


def findings(chapter: Chapter) -> Sequence[Measurement]:
    """Return what this chapter timed, without the parts."""
    parts = ("swap.weights_seconds",)
    return [found for found in chapter.measurements("swap.") if found.name not in parts]
