"""How fast the watching goes: as it is deployed, or in seconds, as a drill wants it. Nothing else differs."""

from typing import NamedTuple

from lib.core.sections.monitoring import Monitoring


class Pace(NamedTuple):
    """Times of the watching, s.

    Parameters
    ----------
    scrape_s : float
        Between two questions to a target, and two looks at the rules.
    longest_hold_s, longest_window_s : float
        Rules wait and look back as they say, but no longer than this.
    group_wait_s, critical_wait_s, group_interval_s : float
        What Alertmanager waits for before it tells.
    beat_s : float
        Between two signs of life to the dead man's switch.
    """

    scrape_s: float
    longest_hold_s: float
    longest_window_s: float
    group_wait_s: float
    critical_wait_s: float
    group_interval_s: float
    beat_s: float

    def hold(self, seconds: float) -> str:
        """Return how long a condition must last, as Prometheus writes it."""
        return duration(min(seconds, self.longest_hold_s))

    def over(self, seconds: float) -> str:
        """Return the window that is looked at; a rate needs several answers in it."""
        return duration(min(max(seconds, 4 * self.scrape_s), self.longest_window_s))


FOREVER_S = float("inf")
DRILL = Pace(
    scrape_s=1, longest_hold_s=1, longest_window_s=6, group_wait_s=0, critical_wait_s=0, group_interval_s=1, beat_s=1
)


def deployed(monitoring: Monitoring) -> Pace:
    """Return the pace of a real host."""
    return Pace(
        scrape_s=monitoring.scrape_s,
        longest_hold_s=FOREVER_S,
        longest_window_s=FOREVER_S,
        group_wait_s=30,
        critical_wait_s=5,
        group_interval_s=60,
        beat_s=60,
    )


def duration(seconds: float) -> str:
    """Write seconds as Prometheus does: in whole milliseconds, or in the largest unit that fits.

    >>> duration(7200), duration(90), duration(0.25)
    ('2h', '90s', '250ms')
    """
    if seconds != int(seconds):
        return f"{round(seconds * 1000)}ms"
    whole = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"
