"""What the tuner finds with a quarter of the server starts of an exhaustive grid.

    python -m benchmarks.tuner_against_grid [RUN_FOLDER]

Without a folder it runs chapter 06 on the embedded profile with every configuration of the space (`tuner.exhaustive`),
about ten minutes on two cores. Then the tuner searches the measured grid many times over, each time with another seed
and a quarter of the starts, vLLM's defaults and the profile's own values counted among them. What the share of
searches is that reach 95 % of the grid's best goodput is written to benchmarks/results.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

from lib.core import evidence, paths
from lib.core import profile as profiles
from lib.core.evidence import Measurement
from lib.engine.tune import space
from lib.engine.tune.search import Outcome, Search, replay

SEEDS = 100
ENOUGH = 0.95
QUARTER = 0.25
RUNS = paths.CACHE / "benchmarks"
RESULT = Path(__file__).parent / "results" / "tuner_against_grid.json"


def measure() -> Path:
    """Measure every configuration on this machine and return the run's folder."""
    command = [sys.executable, "-m", "lib", "run", "--only", "06", "--fresh", "--set", "tuner.exhaustive=true"]
    subprocess.run([*command, "--runs", str(RUNS)], cwd=paths.ROOT, check=True)
    return (RUNS / "latest").resolve()


def compare(run: Path) -> dict[str, object]:
    """Search the grid of a run with a quarter of its starts, once for each seed."""
    told = [
        r for r in evidence.read(run / "evidence.jsonl") if isinstance(r, Measurement) and r.name == "tuner.goodput"
    ]
    profile = profiles.load("embedded")
    searched = space.of(profile)
    measured = {str(m.conditions["configuration"]): Outcome(m.value) for m in told}
    grid = {
        space.label(params): measured.get(space.label(params), Outcome(0.0, "refused")) for params in searched.all()
    }
    best = max(outcome.goodput for outcome in grid.values())
    # vLLM's defaults are one of the starts and stand outside the grid.
    starts = math.floor(QUARTER * searched.size)
    own = searched.nearest(space.own(profile))
    first: list[space.Params] = [own] if own else []
    reached = [_reached(Search(searched, starts - 1, seed=seed), grid, first) for seed in range(SEEDS)]
    # The profile's own values may be the answer already: what would be found without them is told beside.
    unaided = [_reached(Search(searched, starts - 1, seed=seed), grid, []) for seed in range(SEEDS)]
    return {
        "run": run.name,
        "engine": told[0].provenance.engine,
        "configurations": searched.size,
        "starts": starts,
        "searches": SEEDS,
        "found_95_percent_of_best": sum(goodput >= ENOUGH * best for goodput in reached) / SEEDS,
        "found_without_the_profiles_own_values": sum(goodput >= ENOUGH * best for goodput in unaided) / SEEDS,
        "worst_share_of_best": round(min(reached) / best, 4),
        "grid_best": {"goodput": best, "configuration": max(grid, key=lambda name: grid[name].goodput)},
        "grid_median": sorted(outcome.goodput for outcome in grid.values())[searched.size // 2],
        "defaults": measured.get("vLLM's defaults", Outcome(0.0)).goodput,
        "random_search_would": _by_chance(grid, best, starts - 1),
        "grid": {name: outcome.goodput for name, outcome in grid.items()},
    }


def _reached(search: Search, grid: dict[str, Outcome], first: list[space.Params]) -> float:
    found = search.run(replay(grid), first)
    return found.outcome.goodput if found else 0.0


def _by_chance(grid: dict[str, Outcome], best: float, starts: int) -> float:
    """Return how often so many configurations drawn at random hold one that is good enough."""
    good = sum(outcome.goodput >= ENOUGH * best for outcome in grid.values())
    return round(1 - math.comb(len(grid) - good, starts) / math.comb(len(grid), starts), 4)


if __name__ == "__main__":
    result = compare(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else measure())
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps({key: value for key, value in result.items() if key != "grid"}, indent=1) + "\n")
