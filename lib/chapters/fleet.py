"""The servers of one chapter: several configurations, as many at a time as the profile allows, each behind the gate.

The gate: a server that does not start, runs other kernels than expected, or answers known questions wrong is not
handed out, so that no speed is ever measured on it. What it failed on is recorded as a check, once.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import psutil

from lib.chapters import gate
from lib.chapters import load as loads
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Scalar
from lib.engine.models import catalogue, fetch, sizes
from lib.engine.serve import pooling
from lib.engine.serve.server import Server, StartError
from lib.engine.serve.variant import OWN, Variant

# The processes of an engine on a CPU, without weights and KV cache: 1.7 GiB of private memory after the smoke questions
# (USS of the tree, vLLM 0.32), and some for the load.
PROCESS_BYTES = 5 * sizes.GIB // 2


class Fleet:
    """Starts, keeps and stops the servers of a chapter.

    Parameters
    ----------
    chapter : Chapter
        Receives the checks; its profile's `serving.alive` bounds how many servers run at a time.
    loaded : bool
        The servers will be measured under load: its client starts with the first of them.
    """

    def __init__(self, chapter: Chapter, *, loaded: bool = False) -> None:
        self._loaded = loaded
        self.chapter = chapter
        self.starts = 0
        self._running: dict[str, Server] = {}  # by label, least recently used first
        self._refused: dict[str, Check] = {}

    def use(self, variant: Variant = OWN, *, searching: bool = False) -> Server | None:
        """Return a running server of this configuration that passed the gate, or None: then a check says why."""
        self.prepare([variant], searching=searching)
        return self._running.get(variant.label)

    def prepare(self, variants: Sequence[Variant], *, searching: bool = False) -> None:
        """Have configurations running, started at the same time: the first ones, as many as may be alive.

        Parameters
        ----------
        variants : sequence of Variant
            Those that will be used next. What does not fit is started when it is used.
        searching : bool
            They are tried to find out whether they work: what the gate refuses is a warning, not a failed chapter.
        """
        wanted = [v for v in variants if v.label not in self._refused][: self.room]
        for variant in wanted:
            if variant.label in self._running:
                self._running[variant.label] = self._running.pop(variant.label)
        new = [v for v in wanted if v.label not in self._running]
        self._make_room(self.room - len(new))
        if new:
            self._start(new, searching)

    @cached_property
    def room(self) -> int:
        """How many servers may run at a time: the profile's bound, and what memory is free for on a CPU."""
        profile = self.chapter.profile
        if profile.hardware != "cpu":
            return profile.serving.alive
        model = catalogue.get(profile.models.served)
        each = sizes.weight_bytes(model) + profile.serving.cpu_kv_cache_gib * sizes.GIB + PROCESS_BYTES
        return max(1, min(profile.serving.alive, int(psutil.virtual_memory().available // each)))

    def runs(self, variant: Variant) -> bool:
        """Tell whether this configuration runs now."""
        return variant.label in self._running

    def refusal(self, variant: Variant) -> Check | None:
        """Return the check that this configuration failed at the gate, if it did."""
        return self._refused.get(variant.label)

    def stop(self, variant: Variant) -> None:
        """Stop one server, if it runs, and record that nothing of it stayed."""
        if engine := self._running.pop(variant.label, None):
            gate.stop(self.chapter, engine, conditions=_named(variant.label))

    def stop_all(self) -> tuple[Check, ...]:
        """Stop every server and return the checks that nothing stayed."""
        for label in list(self._running):
            self.stop(Variant(label))
        return tuple(self.chapter.checks("serving.stop"))

    def _make_room(self, keep: int) -> None:
        while len(self._running) > max(keep, 0):
            self.stop(Variant(next(iter(self._running))))

    def _start(self, batch: Sequence[Variant], searching: bool) -> None:
        engines = {variant.label: self._engine(variant) for variant in batch}
        self.starts += len(batch)
        if self._loaded:
            loads.expect(self.chapter)
        with self.chapter.engine_time("start"), ThreadPoolExecutor(max_workers=len(batch)) as pool:
            outcomes = dict(zip(engines, pool.map(_started, engines.values()), strict=True))
        for label, engine in engines.items():
            refused = self._gate(label, engine, outcomes[label], searching)
            if refused is None:
                self._running[label] = engine
            else:
                self._refused[label] = refused

    def _engine(self, variant: Variant) -> Server:
        profile = variant.of(self.chapter.profile)
        model = catalogue.get(profile.models.served)
        if model.task != "chat":
            profile = pooling.serving(profile, model)
        log = self.chapter.artifact(f"engine-{variant.label}.log")
        return Server(profile, model, fetch.folder(model.name, profile.models.store), log)

    def _gate(self, label: str, engine: Server, error: StartError | None, searching: bool) -> Check | None:
        """Record what the gate found and return the last failure; a server that failed is stopped."""
        refused = None
        for finding in gate.findings(self.chapter, engine, error, label):
            failed = finding.check.status == "fail"
            # A search learns from what does not work; only its end is judged.
            status = "warn" if failed and searching else finding.check.status
            conditions = {**finding.check.conditions, **_named(label)}
            (check,) = self.chapter.record(
                finding.check.model_copy(update={"conditions": conditions, "status": status}),
                artifacts=finding.artifacts,
                command=finding.command,
                model=engine.model.name,
                weights=gate.weights(self.chapter),
            )
            refused = check if failed else refused
        if refused and error is None:
            gate.stop(self.chapter, engine, conditions=_named(label))
        return refused


def _started(engine: Server) -> StartError | None:
    try:
        engine.start()
    except StartError as error:
        return error
    return None


def _named(label: str) -> dict[str, Scalar]:
    return {} if label == OWN.label else {"server": label}
