"""The gateway as a program: its own engines started, the port opened, uvicorn run until it is told to end."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import uvicorn

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.core.sections.gateway import Gateway, GatewayEngine
from lib.engine.models import catalogue, fetch
from lib.engine.serve import pooling
from lib.engine.serve.server import Server
from lib.engine.serve.variant import Variant
from lib.gateway import memory, upstream
from lib.gateway.app import make
from lib.gateway.front import Front
from lib.gateway.roles import Roles
from lib.gateway.switch import Always, Restart, Sleep, Way

# Streams that go on when the gateway is told to end have so long.
GRACE_S = 30
KEEP_S = 75
BACKLOG = 2048
Say = Callable[[str], None]


def run(profile: Profile, say: Say) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    profile : Profile
        Its `gateway` section.
    say : callable
        Told what happens, one line each.
    """
    settings = profile.gateway
    Roles(settings)  # a profile that does not hold together shall not start engines first
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(settings))
        own = stack.enter_context(engines(profile, say))
        front = Front(
            settings,
            {
                name: upstream.engine(name, told, own[name].url if name in own else "")
                for name, told in settings.engines.items()
            },
            {name: way(told, own.get(name)) for name, told in settings.engines.items()},
            memory.of(profile),
        )
        if not front.store.path.exists() and not settings.open_on_loopback:
            say(f"no keys yet: python -m lib gateway key create NAME  ({paths.short(front.store.path)})")
        say(f"listening on http://{settings.host}:{listener.getsockname()[1]}")
        server(front).run(sockets=[listener])


def server(front: Front) -> uvicorn.Server:
    """Return uvicorn as the gateway runs it: answers keep the engine's own headers, and no request is logged."""
    return uvicorn.Server(
        uvicorn.Config(
            make(front),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


@contextlib.contextmanager
def listen(settings: Gateway) -> Iterator[socket.socket]:
    """Give the listening socket.

    Raises
    ------
    RunbookError
        The address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A client that takes nothing: the kernel forgets what was sent to it, or its connection would stay for ever.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * settings.client_s))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise RunbookError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}",
                where="gateway.host, gateway.port",
                fix="--set gateway.port=0 picks a free port",
            ) from error
        listener.listen(BACKLOG)
        yield listener


@contextlib.contextmanager
def engines(profile: Profile, say: Say) -> Iterator[dict[str, Server]]:
    """Give the engines that have no address: the gateway's own. Those that fit are started, all are stopped."""
    settings = profile.gateway
    own = {name: _own(profile, name, told) for name, told in settings.engines.items() if not told.url}
    try:
        first = [name for name in _fitting(settings) if name in own]
        if first:
            say(f"starting {', '.join(first)}")
            with ThreadPoolExecutor(max_workers=len(first)) as pool:
                list(pool.map(lambda name: own[name].start(), first))
        yield own
    finally:
        for engine in own.values():
            engine.stop()


def way(told: GatewayEngine, own: Server | None) -> Way:
    """Return how an engine makes room."""
    if told.switch == "sleep":
        return Sleep(told.url or (own.url if own else ""), told.sleep_level)
    return Restart(own, told.switch) if own else Always()


def _fitting(settings: Gateway) -> list[str]:
    """Return the engines that have room on their cards at once, in the profile's order."""
    free, chosen = dict(settings.cards), []
    for name, told in settings.engines.items():
        if told.card and told.switch == "restart":
            if free[told.card] < told.gib:
                continue
            free[told.card] -= told.gib
        chosen.append(name)
    return chosen


def _own(profile: Profile, name: str, told: GatewayEngine) -> Server:
    model = catalogue.get(told.model)
    changed = Variant(name, {"port": 0}, model=model.name).of(profile)
    if model.task != "chat":
        changed = pooling.serving(changed, model)
    log = paths.CACHE / "gateway" / f"engine-{name}.log"
    return Server(changed, model, fetch.folder(model.name, profile.models.store), log)
