"""What is asked of an engine under load: operating points, and how thoroughly each is measured."""

from pathlib import Path
from typing import NamedTuple, Self

from lib.core.evidence import Scalar
from lib.core.sections import Batching


class Point(NamedTuple):
    """One load: how many requests at a time, how long each is.

    Parameters
    ----------
    concurrency, input_tokens, output_tokens : int
        Requests at a time; tokens of a prompt, its shared beginning included; tokens of an answer.
    prefix_tokens : int
        So many tokens at the beginning of the prompt are the same for all requests.
    dataset : Path, optional
        Prompts from a file instead of random words: JSON lines with a `prompt` each, asked in order.
    """

    concurrency: int
    input_tokens: int
    output_tokens: int
    prefix_tokens: int = 0
    dataset: Path | None = None

    @property
    def conditions(self) -> dict[str, Scalar]:
        """What varies between points, as evidence carries it."""
        told: dict[str, Scalar] = {"concurrency": self.concurrency}
        if self.dataset:
            told["workload"] = self.dataset.stem
        else:
            told["input_tokens"] = self.input_tokens
        told["output_tokens"] = self.output_tokens
        return told | ({"prefix_tokens": self.prefix_tokens} if self.prefix_tokens else {})

    @property
    def label(self) -> str:
        """Name of the point in file names: unique within a sweep."""
        what = self.dataset.stem if self.dataset else f"i{self.input_tokens}"
        prefix = f"-p{self.prefix_tokens}" if self.prefix_tokens else ""
        return f"c{self.concurrency}-{what}-o{self.output_tokens}{prefix}"


class Effort(NamedTuple):
    """How thoroughly each point is measured, and the limits under which an answer counts for goodput.

    Parameters
    ----------
    repeats : int
        Counted runs of each point.
    prompts_per_slot, warmup_prompts : int
        Requests of a run, counted and uncounted, for each request at a time.
    ttft_limit_ms, tpot_limit_ms : float
        The owner's limits, ms.
    fewest : int
        A run has at least so many requests, also at a small concurrency.
    natural_end : bool
        Answers end where the model ends them, at the asked length at the latest.
    """

    repeats: int
    prompts_per_slot: int
    warmup_prompts: int
    ttft_limit_ms: float
    tpot_limit_ms: float
    fewest: int = 0
    natural_end: bool = False

    def requests(self, point: Point) -> int:
        """Return how many requests a run of a point has."""
        return max(self.prompts_per_slot * point.concurrency, self.fewest)

    @classmethod
    def of(cls, load: Batching) -> Self:
        """Return the effort of a profile's batching section."""
        return cls(load.repeats, load.prompts_per_slot, load.warmup_prompts, load.ttft_limit_ms, load.tpot_limit_ms)


def points(load: Batching) -> list[Point]:
    """Return the operating points of a profile: each shape at every concurrency."""
    shapes = [(load.input_tokens, load.output_tokens)]
    shapes += [(shape.input_tokens, shape.output_tokens) for shape in load.shapes]
    return [Point(concurrency, *shape) for shape in shapes for concurrency in load.concurrency]
