"""What the variants said, as numbers with intervals and a verdict on the method itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.core.evidence import Check, Measurement, Scalar
from lib.engine.quality import divergence, intervals, positions, tasks, text
from lib.engine.quality.positions import Position
from lib.engine.serve.smoke import Graded

# The reference against itself: rounding in another batch moves a logarithm by less than a thousandth.
SELF_LIMIT = 1e-3
SELF_TITLE = "The method finds no difference where there is none"


class Told(NamedTuple):
    """What one variant said, and what it took.

    Parameters
    ----------
    model : str
        Catalogue name.
    windows, again : sequence of sequence of Position
        The text as it saw it; its first window a second time, for the reference only.
    graded : sequence of Graded
        Answers to the smoke questions and to the program-made tasks.
    memory : int
        Bytes of memory of its processes.
    files : sequence of Path
        Raw files.
    """

    model: str
    windows: Sequence[Sequence[Position]]
    again: Sequence[Sequence[Position]]
    graded: Sequence[Graded]
    memory: int
    files: Sequence[Path]

    @property
    def positions(self) -> list[Position]:
        """All positions of the text in order."""
        return divergence.flat(self.windows)


def measurements(told: Told, reference: Told | None, origin: str, top: int) -> list[Measurement]:
    """Return the measurements of one variant, and, unless it is the reference itself, its distance from that.

    Parameters
    ----------
    told, reference : Told
        The variant and the reference, asked the same; without a reference nothing is compared.
    origin : str
        Where the evaluation text came from.
    top : int
        How many tokens of each distribution were asked for.
    """
    found = [_perplexity(told, origin), _accuracy(told, reference)]
    return found + ([] if reference is None or told is reference else _against(told, reference, top))


def consistent(reference: Told, origin: str) -> Check:
    """Check the method: the reference, asked twice, must agree with itself."""
    again = divergence.flat(reference.again)
    pairs = list(zip(reference.positions, again, strict=False))
    kl = float(np.mean([divergence.kl(a, b) for a, b in pairs]))
    same = sum(divergence.agrees(a, b) for a, b in pairs)
    broken = kl > SELF_LIMIT
    return Check(
        name="quality.self",
        title=SELF_TITLE,
        status="fail" if broken else "pass",
        expected=f"the reference asked twice: mean KL at most {SELF_LIMIT:g} nats",
        observed=f"{kl:.2e} nats over {len(pairs)} positions; the same first choice at {same}",
        fix="the server answers differently from one time to the next: no comparison is worth anything until that is "
        "found (batch invariance, a broken kernel, another model behind the address)",
        source=origin,
        conditions={"model": reference.model},
    )


def _perplexity(told: Told, origin: str) -> Measurement:
    losses = [-position.logprob for position in told.positions]
    low, high = intervals.block_bootstrap(losses, np.exp)
    return Measurement(
        name="quality.perplexity",
        title="Perplexity on the evaluation text",
        value=round(positions.perplexity([-loss for loss in losses]), 4),
        unit="",
        n=len(losses),
        interval=(round(low, 4), round(high, 4)),
        method=f"{origin}, windows of {text.WINDOW} tokens; {intervals.METHOD}",
        conditions={"model": told.model},
    )


def _against(told: Told, reference: Told, top: int) -> list[Measurement]:
    """Return the divergence, the agreement, and the difference of perplexity, position by position."""
    pairs = list(zip(reference.positions, told.positions, strict=True))
    kl = [divergence.kl(a, b) for a, b in pairs]
    same = [float(divergence.agrees(a, b)) for a, b in pairs]
    loss = [a.logprob - b.logprob for a, b in pairs]
    seen = float(np.mean([divergence.seen(a, b) for a, b in pairs]))
    conditions: dict[str, Scalar] = {"model": told.model, "reference": reference.model}
    bound = f"lower bound from the top {top} of each, which hold {seen:.1%} of the probability"
    return [
        _mean("kl", "KL divergence from the reference", "nats", kl, conditions, f"{bound}: {divergence.BOUND}"),
        _mean("top1_agreement", "Same first choice as the reference", "share", same, conditions, "greedy choice"),
        _ratio(loss, conditions),
    ]


def _mean(
    name: str, title: str, unit: str, values: Sequence[float], conditions: dict[str, Scalar], method: str
) -> Measurement:
    low, high = intervals.block_bootstrap(values)
    return Measurement(
        name=f"quality.{name}",
        title=title,
        value=round(float(np.mean(values)), 5),
        unit=unit,
        n=len(values),
        interval=(round(low, 5), round(high, 5)),
        method=f"{method}; {intervals.METHOD}",
        conditions=conditions,
    )


def _ratio(loss: Sequence[float], conditions: dict[str, Scalar]) -> Measurement:
    """Return perplexity over the reference's: paired, so the text's own difficulty cancels out."""
    low, high = intervals.block_bootstrap(loss, np.exp)
    return Measurement(
        name="quality.perplexity_ratio",
        title="Perplexity relative to the reference",
        value=round(float(np.exp(np.mean(loss))), 5),
        unit="×",
        n=len(loss),
        interval=(round(low, 5), round(high, 5)),
        method=f"paired at every position; {intervals.METHOD}",
        conditions=conditions,
        baseline=1.0,
    )


def _accuracy(told: Told, reference: Told | None) -> Measurement:
    right = sum(not item.reason for item in told.graded)
    asked = len(told.graded)
    low, high = intervals.wilson(right, asked)
    against = "" if reference is None or told is reference else f"; {_pairs(told, reference)}"
    return Measurement(
        name="quality.accuracy",
        title="Questions answered right",
        value=round(right / asked, 4),
        unit="share",
        n=asked,
        interval=(round(low, 4), round(high, 4)),
        method="greedy, checked by program, Wilson interval" + against,
        conditions={"model": told.model, "reference": reference.model if reference else ""},
    )


def _pairs(told: Told, reference: Told) -> str:
    paired = tasks.pair(reference.graded, told.graded)
    return (
        f"only the reference right {paired.only_reference}, only this one {paired.only_other}, "
        f"exact McNemar p = {chance(told, reference):.2g}"
    )


def chance(told: Told, reference: Told) -> float:
    """Return the probability of so uneven a split of the questions if both were equally good."""
    paired = tasks.pair(reference.graded, told.graded)
    return intervals.mcnemar(paired.only_reference, paired.only_other)
