"""What a power limit costs on the RTX PRO 6000 Blackwell Workstation Edition: figures that others measured, dated.

Nothing here was measured by this runbook. The inference figures are one run of five minutes a cell; their author's own
audit calls differences below 3 % noise, and so a plateau from 450 to 600 W.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from lib.core.evidence import Measurement, Provenance

CARD = "RTX PRO 6000 Blackwell Workstation Edition"
MMBT = (
    "https://github.com/Light-Heart-Labs/MMBT-Messy-Model-Bench-Tests/blob/ec660c1/"
    "hardware-tests/vllm-power-sweep-2026-04-29/findings.md"
)
SWEEP = "https://github.com/local-inference-lab/rtx6kpro/blob/e2c2b95/hardware/blackwell-power-limit-sweep.md"


@dataclass(frozen=True)
class Series:
    """One workload at several power limits: value and mean power drawn (W) by limit (W)."""

    title: str
    model: str
    concurrency: int
    unit: str
    values: dict[int, float]
    drawn_w: dict[int, float]
    source: str
    when: datetime

    @property
    def best(self) -> float:
        """The largest value."""
        return max(self.values.values())

    def share(self, limit_w: float) -> float:
        """Return the share of the best value that is left at a limit, between the measured ones by a straight line."""
        limits = sorted(self.values)
        return float(np.interp(limit_w, limits, [self.values[limit] / self.best for limit in limits]))


LIMITS = (600, 550, 500, 450, 400, 350, 300)


def _vllm(model: str, concurrency: int, values: Sequence[float], drawn: Sequence[float]) -> Series:
    title = f"{model}, {concurrency} {'stream' if concurrency == 1 else 'streams'}"
    by_limit, power = dict(zip(LIMITS, values, strict=True)), dict(zip(LIMITS, drawn, strict=True))
    return Series(title, model, concurrency, "tok/s", by_limit, power, MMBT, datetime(2026, 4, 29, tzinfo=UTC))


DENSE, EXPERTS = "Qwen3.6-27B-AWQ-INT4", "Qwen3-Coder-Next-AWQ"
DECODE = (
    _vllm(
        DENSE,
        32,
        (1351.5, 1357.9, 1336.5, 1382.1, 1320.2, 1201.5, 1033.5),
        (573.0, 547.2, 497.5, 447.7, 398.5, 348.3, 298.7),
    ),
    _vllm(DENSE, 1, (72.1, 72.1, 72.1, 72.0, 71.3, 68.6, 62.6), (511.0, 522.1, 497.0, 447.8, 398.1, 348.4, 298.7)),
    _vllm(
        EXPERTS,
        32,
        (2415.6, 2472.8, 2458.3, 2430.8, 2370.8, 2227.9, 2011.2),
        (549.1, 546.1, 497.2, 447.7, 398.0, 348.4, 298.7),
    ),
    _vllm(
        EXPERTS,
        1,
        (163.3, 163.1, 163.1, 163.1, 161.8, 159.0, 148.4),
        (482.8, 494.1, 489.2, 447.3, 397.7, 348.3, 298.6),
    ),
)
TENSOR = Series(
    title="tensor cores alone (gpu_burn)",
    model="",
    concurrency=0,
    unit="GFLOP/s",
    values={600: 163545, 550: 153582, 500: 142427, 450: 131127, 400: 118836, 350: 105446, 300: 90210},
    drawn_w={},
    source=SWEEP,
    when=datetime(2026, 4, 26, tzinfo=UTC),
)


def decode_loss(limit_w: float) -> float:
    """Return the largest share of tokens a second that any of the cited vLLM workloads loses at a limit."""
    return 1 - min(series.share(limit_w) for series in DECODE)


def tensor_loss(limit_w: float) -> float:
    """Return the share of tensor-core throughput lost at a limit: what a long prefill can lose at worst."""
    return 1 - TENSOR.share(limit_w)


def cost(limit_w: float) -> str:
    """Say what a limit costs, in one clause."""
    return (
        f"{limit_w:g} W costs at most {100 * decode_loss(limit_w):.0f} % of the tokens a second and at most "
        f"{100 * tensor_loss(limit_w):.0f} % of tensor-core work such as a long prefill"
    )


def measurements() -> list[Measurement]:
    """Return every cited figure as a measurement: throughput, and where the power drawn is told, tokens a joule."""
    found = []
    for series in (*DECODE, TENSOR):
        for limit, value in sorted(series.values.items(), reverse=True):
            found.append(_cited(series, limit, "tuning.power_limit_throughput", "Throughput", value, series.unit))
            if limit in series.drawn_w:
                efficiency = round(value / series.drawn_w[limit], 3)
                found.append(
                    _cited(series, limit, "tuning.power_limit_efficiency", "Tokens a joule", efficiency, "tok/J")
                )
    return found


def _cited(series: Series, limit: int, name: str, title: str, value: float, unit: str) -> Measurement:
    known = {"model": series.model, "concurrency": series.concurrency} if series.model else {"load": "gpu_burn -tc"}
    return Measurement(
        name=name,
        title=title,
        value=value,
        unit=unit,
        method="published by others; one run a cell" if series.model else "published by others; mean of two cards",
        conditions={"power_limit_w": limit, **known, "card": CARD},
        source=f"{series.source} ({series.when:%Y-%m-%d})",
        provenance=Provenance(where="cited", model=series.model, time=series.when),
    )
