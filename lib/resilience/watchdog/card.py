"""The card as the watchdog sees it: how hot, whether it is still there, and its power limit for hot days."""

from collections.abc import Callable
from typing import Protocol

from lib.host import power_card, xid
from lib.host.probe import Host, LiveHost

# NVIDIA's catalogue of Xid events: 79 is a card that fell off the bus. Nothing but a reboot brings it back.
GONE = (79,)


class Card(Protocol):
    """What the watchdog needs of a card."""

    def temperature_c(self) -> float | None:
        """Return how hot it is, or None if it does not tell."""

    def lost(self) -> bool:
        """Tell whether the driver has lost it since boot."""

    def cap(self, share: float) -> None:
        """Set the power limit to a share of the usual one; 1 is the usual one."""


class Nvidia:
    """A card of this machine.

    Parameters
    ----------
    index : int
        Its place in NVML's list.
    host : Host, optional
        Whose kernel log is read.
    """

    def __init__(self, index: int = 0, host: Host | None = None) -> None:
        self._card = power_card.Card(index)
        self._usual_w = self._card.limit_w
        self._host = host or LiveHost()

    def temperature_c(self) -> float | None:
        """Return its core's temperature."""
        return self._card.read().temperature_c

    def lost(self) -> bool:
        """Look for the driver's word in the kernel log."""
        return gone(self._host)

    def cap(self, share: float) -> None:
        """Set a share of the limit that was there at the start, as far as the card allows."""
        low, high = self._card.range_w
        self._card.set(round(1000 * min(max(share * self._usual_w, low), high)))


class NoCard:
    """A machine without one: never hot, never lost."""

    def temperature_c(self) -> float | None:
        """Return nothing."""
        return None

    def lost(self) -> bool:
        """Return that nothing is lost."""
        return False

    def cap(self, share: float) -> None:
        """Do nothing: there is no limit to set."""


def gone(host: Host) -> bool:
    """Tell whether the kernel log of this boot says that a card fell off the bus."""
    return any(event.code in GONE for event in xid.look(host) or ())


def of(hardware: str, make: Callable[[], Card] = Nvidia) -> Card:
    """Return the card of a profile's hardware."""
    return make() if hardware == "cuda" else NoCard()
