"""One logarithmic axis for all ratios of a comparison: how far B is from A, beside 'no change' in the middle."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lib.core.display import number

NARROWEST = 1.1
WIDEST = 4.0


class Bar(NamedTuple):
    """Where a ratio and its interval lie on the axis, from 0 (left) to 100; `cut` when some of it lies outside."""

    left: float
    point: float
    right: float
    cut: bool


@dataclass(frozen=True)
class Axis:
    """From 1/limit to limit, so that twice and half are equally far from the middle."""

    limit: float

    @classmethod
    def of(cls, spans: Iterable[tuple[float, float]]) -> "Axis":
        """Return the axis that shows these intervals, bounded so that a small change shows beside an extreme one."""
        farthest = max((math.exp(abs(math.log(end))) for span in spans for end in span), default=NARROWEST)
        return cls(min(max(farthest, NARROWEST), WIDEST))

    def bar(self, span: tuple[float, float], ratio: float) -> Bar:
        """Place an interval and its ratio, both above zero."""
        places = [round(self._at(value), 2) for value in (span[0], ratio, span[1])]
        left, point, right = (min(max(place, 0.0), 100.0) for place in places)
        return Bar(left, point, right, cut=[left, point, right] != places)

    @property
    def ends(self) -> tuple[str, str]:
        """Name both ends."""
        return f"× {number(1 / self.limit)}", f"× {number(self.limit)}"

    def _at(self, ratio: float) -> float:
        return 50 * (1 + math.log(ratio) / math.log(self.limit))
