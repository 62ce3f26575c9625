"""The ways in which an engine makes room on its card and comes back."""

import asyncio
from typing import Protocol

from lib.core.errors import RunbookError
from lib.engine.serve import client
from lib.engine.serve.server import Server
from lib.engine.swap import sleep


class Way(Protocol):
    """How one engine leaves its card and returns. What fails raises `RunbookError`."""

    name: str

    async def awake(self) -> bool:
        """Tell whether the engine is on its card now."""

    async def leave(self) -> None:
        """Make room."""

    async def come(self) -> None:
        """Return when the engine answers again."""


class Always:
    """An engine that never makes room: it is there, or it failed."""

    name = "always"

    async def awake(self) -> bool:
        """Tell that it is there."""
        return True

    async def leave(self) -> None:
        """Refuse: the scheduler never asks for it."""
        raise RunbookError("this engine never makes room", where="gateway.engines, switch: always")

    async def come(self) -> None:
        """Do nothing."""


class Sleep:
    """vLLM's sleep mode; its development routes stay behind the gateway.

    Parameters
    ----------
    url : str
        Address of the engine.
    level : int
        1 keeps the weights in main memory, 2 drops them and reads them again.
    """

    def __init__(self, url: str, level: int) -> None:
        self.url, self.level = url, level
        self.name = f"sleep {level}"
        client.http()  # made now, before two threads make one each

    async def awake(self) -> bool:
        """Ask the engine."""
        return not await asyncio.to_thread(sleep.sleeping, self.url)

    async def leave(self) -> None:
        """Put it to sleep."""
        await asyncio.to_thread(sleep.sleep, self.url, self.level)

    async def come(self) -> None:
        """Wake it."""
        await asyncio.to_thread(sleep.wake, self.url, reload=self.level > 1)


class Restart:
    """An engine that the gateway itself starts and stops: the only way where there is no sleep mode.

    Parameters
    ----------
    server : Server
        Not started, or running.
    name : str
        `always` for an engine that never makes room, and is only started again after it died.
    """

    def __init__(self, server: Server, name: str = "restart") -> None:
        self.server, self.name = server, name

    async def awake(self) -> bool:
        """Tell whether its process is there."""
        return self.server.running

    async def leave(self) -> None:
        """Stop it."""
        await asyncio.to_thread(self.server.stop)

    async def come(self) -> None:
        """Start it and wait until it answers."""
        if self.server.running:
            return
        await asyncio.to_thread(self.server.stop)  # what is left of one that died
        await asyncio.to_thread(self.server.start)
