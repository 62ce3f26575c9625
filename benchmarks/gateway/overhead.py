"""What the gateway costs: `python -m benchmarks.gateway.overhead [FILE.json]`, on a quiet machine, about six minutes.

On a stand-in that costs nothing, which shows the gateway's own time. And on a real engine, whose threads are bound to
every processor, as in the embedded profile: what gateway and client use is taken from the engine, and more than once,
for the threads of a product wait for the one that was interrupted. Figures go to
`benchmarks/results/gateway_overhead.json`: values with their 95 % intervals.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway.stand_in import stand_in
from lib.core import fingerprint, paths
from lib.core import profile as profiles
from lib.engine.bench import compare
from lib.engine.models import catalogue, fetch
from lib.engine.serve.server import Server
from lib.gateway import cost
from lib.gateway.process import Gateway

MODEL = "smollm2-135m"
ROLE = "asked"
# Short answers: a request costs the gateway more than the tokens that follow.
REAL = cost.Load(firsts=400, rounds=80, concurrency=32, each=1, input_words=16, tokens=32, longest_s=100)
# As fast as an engine under load: an event of each stream every 40 ms.
ALONE = REAL._replace(rounds=40, tokens=25, longest_s=40, more={"fake": {"tokens": 25, "each_s": 0.04}})
RESULT = paths.ROOT / "benchmarks" / "results" / "gateway_overhead.json"


def main(file: Path) -> None:
    """Measure both and write the figures."""
    told: dict[str, Any] = {"cpus": os.cpu_count(), "engine_version": fingerprint.engine_version()}

    def keep(name: str, found: cost.Found, load: cost.Load) -> None:
        told[name] = _told(found, load)
        file.write_text(json.dumps(told, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stand_in() as fake, _gateway("stand-in", fake, folder) as gateway:
            found = cost.measure(cost.Way(fake, "stand-in"), _through(gateway), ALONE, {"gateway": gateway.tree})
            keep("stand_in", found, ALONE)
        engine = Server(profiles.load("embedded"), catalogue.get(MODEL), fetch.ensure(MODEL), folder / "engine.log")
        with engine, _gateway(MODEL, engine.url, folder) as gateway:
            trees = {"gateway": gateway.tree, "engine": engine.tree}
            keep("engine", cost.measure(cost.Way(engine.url, MODEL), _through(gateway), REAL, trees), REAL)
    sys.stdout.write(file.read_text())


def _through(gateway: Gateway) -> cost.Way:
    return cost.Way(gateway.url, ROLE)


def _gateway(model: str, url: str, folder: Path) -> Gateway:
    settings: dict[str, object] = {
        "gateway.engines": {"engine": {"model": model, "url": url}},
        "gateway.roles": {ROLE: {"engine": "engine"}},
        "gateway.open_on_loopback": True,
        "gateway.memory": False,
    }
    return Gateway("embedded", settings, folder / "gateway.log")


def _told(found: cost.Found, load: cost.Load) -> dict[str, Any]:
    added = cost.added(found.first_ms)
    ratio = compare.compare([a for a, _ in found.tokens_per_s], [b for _, b in found.tokens_per_s])
    return {
        "ttft_direct_ms": round(median(direct for direct, _ in found.first_ms), 3),
        "ttft_overhead_ms": [round(value, 3) for value in added],
        "ttft_pairs": len(found.first_ms),
        "concurrency": load.concurrency,
        "tokens_per_s_direct": round(median(direct for direct, _ in found.tokens_per_s), 1),
        "throughput_ratio": [round(value, 4) for value in (ratio.ratio, ratio.low, ratio.high)],
        "throughput_pairs": ratio.n,
        "processors_used": found.cpu,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULT)
