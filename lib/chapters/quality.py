"""Chapter 08, second half: what fewer bits cost in sense. Variants of one model, asked the same things."""

from collections.abc import Sequence

import psutil

from lib.chapters import gate
from lib.chapters import load as loads
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement, Scalar
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.models import catalogue, fetch
from lib.engine.quality import findings, positions, tasks, text
from lib.engine.quality.findings import Told
from lib.engine.serve import smoke
from lib.engine.serve.server import Server
from lib.engine.serve.smoke import Graded

SPEED = (Point(1, 64, 32), Point(8, 64, 32))
SPEED_EFFORT = Effort(repeats=4, prompts_per_slot=2, warmup_prompts=1, ttft_limit_ms=60_000, tpot_limit_ms=60_000)
MEMORY = "sum over the engine's processes of memory that they share with nobody (USS)"


class Interview:
    """Asks every variant the same: the text, the tasks, and a short load.

    Parameters
    ----------
    chapter : Chapter
        Receives raw files and failed checks; its profile's `quality` says how much is asked.
    """

    def __init__(self, chapter: Chapter) -> None:
        self.chapter = chapter
        self.quality = chapter.profile.quality
        self.text = text.load(self.quality.text_tokens)
        self.told: list[Told] = []
        self.speeds: dict[str, list[Result]] = {}
        self.windows: list[list[int]] = []

    @property
    def reference(self) -> Told | None:
        """What the reference said, if it did."""
        return next((told for told in self.told if told.model == self.quality.models[0]), None)

    def ask(self, engine: Server | None, known: Sequence[Graded] = (), *, trusted: bool = True) -> None:
        """Ask one running variant; without one, or where quality is not asked of it, nothing happens.

        Parameters
        ----------
        engine : Server or None
            The server.
        known : sequence of Graded, optional
            Its answers to the smoke questions, from the gate: they count as well.
        trusted : bool
            It passed the gate. Otherwise its speed is not measured; what it says is still a finding.
        """
        if engine is None or engine.model.name not in self.quality.models or gate.weights(self.chapter) == "random":
            return
        name = engine.model.name
        try:
            self.told.append(self._interview(engine, name, known))
        except RunbookError as error:
            self.chapter.record(_broken(name, error), model=name)
            return
        if trusted and self.quality.speed:
            self.speeds[name] = loads.measure(
                self.chapter, engine, SPEED, SPEED_EFFORT, f"load-{name}", check="quality.completed"
            )

    def _interview(self, engine: Server, name: str, known: Sequence[Graded]) -> Told:
        # The first variant's tokenizer splits the text for all: variants of one model share it.
        self.windows = self.windows or text.windows(engine.url, name, self.text, self.quality.text_tokens)
        # Whoever asks for the probabilities of a prompt never gets it from the prefix cache: `again` computes again. It
        # is the whole window: a shorter one goes through other kernels (AMX), which add up in another order.
        twice = self.windows[:1] if name == self.quality.models[0] else []
        with self.chapter.engine_time("text"):
            seen = positions.ask(engine.url, name, self.windows, self.quality.top)
            again = positions.ask(engine.url, name, twice, self.quality.top)
        with self.chapter.engine_time("tasks"):
            made = tasks.grade(engine.url, name, tasks.make(self.quality.questions))
        graded = [*tasks.regrade(known), *made]
        files = [
            positions.save(seen, self.chapter.artifact(f"positions-{name}.jsonl")),
            self.chapter.save(f"tasks-{name}.json", smoke.as_json(graded)),
        ]
        return Told(name, seen, again, graded, _memory(engine), files)


def plan(chapter: Chapter) -> display.Html:
    """Show the variants and what is asked of each."""
    quality = chapter.profile.quality
    if not quality.models:
        return display.Html("<p>The profile compares no variants.</p>", "nothing is compared")
    rows = [
        {
            "Variant": catalogue.get(name).title,
            "Role": "reference" if number == 0 else "compared",
            "Format": catalogue.get(name).format,
            "Text, tokens": f"{quality.text_tokens:,}",
            "Top tokens": str(quality.top),
            "Questions": str(len(smoke.load().questions) + quality.questions),
        }
        for number, name in enumerate(quality.models)
    ]
    return display.table(rows, "Variants", numeric=("Text, tokens", "Top tokens", "Questions"))


def record(interview: Interview) -> list[Measurement]:
    """Record what every variant said and took, each beside the reference."""
    chapter = interview.chapter
    for told in interview.told:
        found = findings.measurements(told, interview.reference, interview.text.origin, interview.quality.top)
        chapter.record(
            *found, *_memory_of(chapter, told), artifacts=told.files, model=told.model, weights=gate.weights(chapter)
        )
        loads.record(chapter, interview.speeds.get(told.model, []), "quality", told.model, variant=told.model)
    return chapter.measurements("quality.")


def verify(interview: Interview) -> list[Check]:
    """Check the method itself: the reference asked twice must agree with itself."""
    chapter = interview.chapter
    wanted = chapter.profile.quality.models
    if gate.weights(chapter) == "random":
        chapter.record(gate.no_weights("quality.self", findings.SELF_TITLE, "the reference agrees with itself"))
    elif len(wanted) < 2:
        chapter.record(_nothing_to_compare())
    elif reference := interview.reference:
        chapter.record(findings.consistent(reference, interview.text.origin), artifacts=reference.files[:1])
    return chapter.checks("quality.")


def _memory_of(chapter: Chapter, told: Told) -> list[Measurement]:
    folder = fetch.folder(told.model, chapter.profile.models.store)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    conditions: dict[str, Scalar] = {"model": told.model}
    return [
        Measurement(
            name="quality.weight_bytes",
            title="Weights on the disk",
            value=weights,
            unit="bytes",
            method="size of the safetensors files",
            conditions=conditions,
        ),
        Measurement(
            name="quality.memory_bytes",
            title="Memory of the engine's processes",
            value=told.memory,
            unit="bytes",
            method=MEMORY,
            conditions=conditions,
        ),
    ]


def _memory(engine: Server) -> int:
    total = 0
    for process in engine.tree():
        try:
            total += psutil.Process(process.pid).memory_full_info().uss
        except psutil.Error:
            continue
    return total


def _nothing_to_compare() -> Check:
    return Check(
        name="quality.self",
        title=findings.SELF_TITLE,
        status="skip",
        expected="two variants of one model or more",
        observed="quality.models of the profile names fewer",
        fix="name the reference and a variant of it in quality.models",
    )


def _broken(name: str, error: RunbookError) -> Check:
    return Check(
        name="quality.asked",
        title="The variant answered what it was asked",
        status="fail",
        expected="probabilities for the whole text, answers to all questions",
        observed=error.what,
        fix=error.fix or "read the engine's log in the raw files",
        conditions={"model": name},
    )
