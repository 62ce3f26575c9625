"""How often a key may ask: a bucket of requests that fills again evenly."""

import math


class Bucket:
    """Requests per minute of one key.

    Parameters
    ----------
    per_minute : int
        So many in any stretch that begins with a full bucket; 0: no limit.
    """

    __slots__ = ("_level", "_seen", "per_minute")

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._level, self._seen = float(per_minute), 0.0

    def take(self, now: float) -> float:
        """Take one request; return 0, or the seconds until there is one again."""
        if not self.per_minute:
            return 0.0
        rate = self.per_minute / 60
        if self._seen:
            self._level = min(self.per_minute, self._level + (now - self._seen) * rate)
        self._seen = now
        if self._level < 1:
            return (1 - self._level) / rate
        self._level -= 1
        return 0.0


class Limits:
    """The buckets of all keys; a key whose limit changed begins anew."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def take(self, key: str, per_minute: int, now: float) -> int:
        """Take one request of a key; return 0, or the whole seconds after which to come again."""
        bucket = self._buckets.get(key)
        if bucket is None or bucket.per_minute != per_minute:
            bucket = self._buckets[key] = Bucket(per_minute)
        return math.ceil(bucket.take(now))
