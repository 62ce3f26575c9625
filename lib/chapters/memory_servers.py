"""Chapter 09's servers: the embedding model, and the model that answers, started at the same time."""

from concurrent.futures import ThreadPoolExecutor

from lib.chapters import gate
from lib.core.chapter import Chapter
from lib.core.evidence import Check
from lib.core.profile import change
from lib.core.sections import Profile
from lib.engine.models import catalogue, fetch
from lib.engine.models.catalogue import Model
from lib.engine.serve import pooling
from lib.engine.serve.server import Server, StartError


class Servers:
    """Starts what the profile does not name an address of.

    Parameters
    ----------
    chapter : Chapter
        Receives the checks.
    """

    def __init__(self, chapter: Chapter) -> None:
        self.chapter = chapter
        self._running: dict[str, Server] = {}
        self.embedding_url = chapter.profile.memory.endpoint

    @property
    def candidate_url(self) -> str:
        """Address of the embedding model on trial: its own, or that of the model in use; empty: it does not run."""
        settings = self.chapter.profile.memory
        own = self._running.get("candidate")
        same = self.embedding_url if settings.candidate.model == settings.model else ""
        return settings.candidate.endpoint or (own.url if own else same)

    @property
    def chat_url(self) -> str:
        """Address of the model that answers; empty: it does not run."""
        engine = self._running.get("chat")
        return engine.url if engine else ""

    def start(self) -> tuple[Check, ...]:
        """Start the servers and return their checks."""
        chapter, profile = self.chapter, self.chapter.profile
        if not profile.memory.model or gate.weights(chapter) == "random":
            return chapter.record(_nothing(profile))
        wanted: dict[str, Server] = {}
        if not self.embedding_url:
            wanted["embedding"] = self._server("embedding", embedding(profile), catalogue.get(profile.memory.model))
        candidate = profile.memory.candidate
        if candidate.model not in ("", profile.memory.model) and not candidate.endpoint:
            on_trial = change(profile, "memory", model=candidate.model)
            wanted["candidate"] = self._server("candidate", embedding(on_trial), catalogue.get(candidate.model))
        if profile.memory.facts:
            wanted["chat"] = self._server("chat", answering(profile), catalogue.get(profile.models.served))
        with chapter.engine_time("start"), ThreadPoolExecutor(len(wanted) or 1) as pool:
            errors = dict(zip(wanted, pool.map(_started, wanted.values()), strict=True))
        for name, engine in wanted.items():
            finding = gate.started(engine, errors[name])
            told = finding.check.model_copy(update={"conditions": {"server": name}})
            chapter.record(told, artifacts=finding.artifacts, command=finding.command, model=engine.model.name)
            if errors[name] is None:
                self._running[name] = engine
        if "embedding" in self._running:
            self.embedding_url = self._running["embedding"].url
        return tuple(chapter.checks("serving."))

    def stop(self) -> tuple[Check, ...]:
        """Stop what was started, and check that nothing of it stayed."""
        for name, engine in self._running.items():
            gate.stop(self.chapter, engine, conditions={"server": name})
        self._running.clear()
        return tuple(self.chapter.checks("serving.stop"))

    def _server(self, name: str, profile: Profile, model: Model) -> Server:
        folder = fetch.folder(model.name, profile.models.store)
        return Server(profile, model, folder, self.chapter.artifact(f"engine-{name}.log"))


def embedding(profile: Profile) -> Profile:
    """Return a profile that serves the embedding model: its whole context, its own number format."""
    return pooling.serving(profile, catalogue.get(profile.memory.model))


def answering(profile: Profile) -> Profile:
    """Return a profile that serves the answering model beside the embedding model."""
    share = profile.serving.gpu_memory_utilization - profile.memory.card_share
    return change(profile, "serving", port=0, gpu_memory_utilization=round(share, 2))


def _started(engine: Server) -> StartError | None:
    try:
        engine.start()
    except StartError as error:
        return error
    return None


def _nothing(profile: Profile) -> Check:
    named = bool(profile.memory.model)
    return Check(
        name="memory.model",
        title="An embedding model with real weights",
        status="skip",
        expected="memory.model of the profile",
        observed="random weights: there is nothing to find by them" if named else "the profile names none",
        fix="--set memory.model=minilm-l6, or another model of the catalogue whose task is embedding",
    )
