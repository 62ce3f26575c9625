"""Chapter 10: the gateway in front of the engines, started for the chapter with a key of its own."""

import tempfile
from pathlib import Path

from openai import OpenAI

from lib.chapters import gate
from lib.chapters.fleet import Fleet
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check
from lib.engine.serve.process import alive
from lib.engine.serve.server import Server, port_free
from lib.engine.serve.variant import OWN, Variant
from lib.gateway import keys
from lib.gateway.process import Gateway
from lib.gateway.roles import Roles, started


class Station:
    """The chapter's gateway, its engines behind the gate, and a key that only this run has.

    Parameters
    ----------
    chapter : Chapter
        Receives the records.
    """

    def __init__(self, chapter: Chapter) -> None:
        self.chapter, self.fleet = chapter, Fleet(chapter)
        self.settings = started(chapter.profile.gateway)
        self.engines: dict[str, Server] = {}
        self.gateway: Gateway | None = None
        self.key = ""
        self._secrets = tempfile.TemporaryDirectory(prefix="runbook-keys-")

    @property
    def url(self) -> str:
        """Address of the running gateway, or the empty string."""
        return self.gateway.url if self.gateway else ""

    def start(self) -> tuple[Check, ...]:
        """Start every engine of the profile's roles and the gateway; what does not start is a failed check."""
        served = self.chapter.profile.models.served
        wanted = {
            name: OWN if told.model == served else Variant(name, model=told.model)
            for name, told in self.settings.engines.items()
        }
        self.fleet.prepare(list(wanted.values()))
        started = {name: self.fleet.use(variant) for name, variant in wanted.items()}
        self.engines = {name: engine for name, engine in started.items() if engine is not None}
        if len(self.engines) == len(wanted):
            self._open()
        return self.chapter.record(self._started(), artifacts=gate.keep(self.gateway.log) if self.gateway else ())

    def client(self) -> OpenAI:
        """Return OpenAI's own client, pointed to the gateway."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=120)

    def close(self) -> tuple[Check, ...]:
        """Stop everything; the key is gone with its file."""
        tree = self.gateway.tree() if self.gateway else []
        seconds = self.gateway.stop() if self.gateway else 0.0
        self._secrets.cleanup()
        if self.gateway:
            left = [process for process in tree if alive(process)]
            free = port_free("127.0.0.1", int(self.url.rpartition(":")[2]))
            self.chapter.record(_stopped(seconds, len(left), free))
        self.fleet.stop_all()
        return (*self.chapter.checks("gateway.stop"), *self.chapter.checks("serving.stop"))

    def _open(self) -> None:
        file = Path(self._secrets.name) / "keys.json"
        _, self.key = keys.create(file, "chapter", [keys.ALL_ROLES])
        told = self.settings.model_dump()
        engines = {name: {**told["engines"][name], "url": engine.url, "switch": "always", "card": ""}
                   for name, engine in self.engines.items()}  # fmt: skip
        given = {"gateway.engines": engines, "gateway.roles": told["roles"], "gateway.keys": str(file)}
        fixed = {"gateway.host": "127.0.0.1", "gateway.port": 0, "gateway.memory": False}
        gateway = Gateway(self.chapter.profile.name, {**given, **fixed}, self.chapter.artifact("gateway.log"))
        try:
            gateway.start()
            self.gateway = gateway
        except RunbookError as error:
            self.chapter.record(_failed(error), artifacts=gate.keep(gateway.log))

    def _started(self) -> Check:
        missing = [name for name in self.settings.engines if name not in self.engines]
        return Check(
            name="gateway.start",
            title="The gateway answers, with every engine behind it",
            status="pass" if self.gateway else "fail",
            expected="GET /health: 200",
            observed=f"listens on {self.url}"
            if self.gateway
            else f"not started; engines missing: {', '.join(missing)}",
            fix="read gateway.log and the engines' logs in the raw files",
        )


def plan(chapter: Chapter) -> display.Html:
    """Show which name leads to which engine and model, and how that engine makes room."""
    settings = chapter.profile.gateway
    roles = Roles(settings)
    rows = [
        {
            "Role": role,
            "Engine": told.engine,
            "Model": roles.engine(told.engine).model,
            "Instead": ", ".join(told.fallback) or "-",
            "Makes room by": roles.engine(told.engine).switch,
            "In this chapter": "started" if settings.engines[told.engine].in_chapter else "not started",
        }
        for role, told in settings.roles.items()
    ]
    return display.table(rows, "Names that clients ask for")


def _stopped(seconds: float, left: int, free: bool) -> Check:
    return Check(
        name="gateway.stop",
        title="The gateway ends without a trace",
        status="pass" if not left and free else "fail",
        expected="no process left, the port free",
        observed=f"{seconds:.1f} s, {left} processes left, port {'free' if free else 'taken'}",
        fix="read gateway.log in the raw files",
    )


def _failed(error: RunbookError) -> Check:
    return Check(
        name="gateway.process",
        title="The gateway's process",
        status="fail",
        expected="it starts",
        observed=error.what,
        fix=f"read {error.where}",
    )
