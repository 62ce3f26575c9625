"""Who waits for an engine: bounded, first come first served for each client, clients in turn."""

import asyncio
from collections import OrderedDict, deque


class Ticket:
    """One waiting request.

    Parameters
    ----------
    client : str
        Whose request it is; clients take turns.
    since : float
        When it came, on the event loop's clock.
    """

    __slots__ = ("client", "since", "turn")

    def __init__(self, client: str, since: float) -> None:
        self.client, self.since = client, since
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class FairQueue:
    """Tickets of several clients; whoever asks most does not wait least."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def oldest(self) -> float:
        """When the longest waiting request came; infinity where none waits."""
        return min((line[0].since for line in self._lines.values()), default=float("inf"))

    def add(self, ticket: Ticket) -> None:
        """Put a request at the end of its client's line."""
        self._lines.setdefault(ticket.client, deque()).append(ticket)
        self._length += 1

    def remove(self, ticket: Ticket) -> None:
        """Take out a request that waits no longer; one that is not there does no harm."""
        line = self._lines.get(ticket.client)
        if line is None or ticket not in line:
            return
        line.remove(ticket)
        self._length -= 1
        if not line:
            del self._lines[ticket.client]

    def pop(self) -> Ticket:
        """Take the first request of the client whose turn it is."""
        client, line = next(iter(self._lines.items()))
        ticket = line.popleft()
        self._length -= 1
        if line:
            self._lines.move_to_end(client)
        else:
            del self._lines[client]
        return ticket

    def clear(self) -> list[Ticket]:
        """Take all requests out and return them."""
        taken = [ticket for line in self._lines.values() for ticket in line]
        self._lines.clear()
        self._length = 0
        return taken
