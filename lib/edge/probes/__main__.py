"""Run probes against the target that standard input describes, and print one JSON line a probe.

``{"target": {...}, "only": [names] or null}``. Slow probes run beside the others; those that use up a limit come last.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from lib.edge.probes import abuse, registry, requests, routes, tls
from lib.edge.probes.registry import Probe
from lib.edge.probes.target import Target

MODULES = (tls, requests, abuse)


def main() -> None:
    """Read, probe, print."""
    told = json.load(sys.stdin)
    fields = told["target"]
    for name in ("routes", "open_routes"):
        fields[name] = [tuple(pair) for pair in fields[name]]
    target, only = Target(**fields), told.get("only")
    for made in routes.probes(target):
        registry.add(made)
    for result in run(list(registry.in_order(set(only) if only is not None else None)), target):
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


def run(chosen: list[Probe], target: Target) -> Iterator[dict[str, Any]]:
    """Yield the result of every probe."""
    with ThreadPoolExecutor(4) as pool:
        waiting: list[tuple[Probe, Future[dict[str, Any]]]] = [
            (made, pool.submit(_one, made, target)) for made in chosen if made.name.startswith("slow.")
        ]
        quick = [made for made in chosen if not made.name.startswith("slow.")]
        yield from (_one(made, target) for made in quick if not made.last)
        yield from (future.result() for _, future in waiting)
        yield from (_one(made, target) for made in quick if made.last)


def _one(made: Probe, target: Target) -> dict[str, Any]:
    try:
        good, observed = made.ask(target)
    except Exception as error:  # a probe that breaks is red, and the others go on
        good, observed = False, f"{type(error).__name__}: {error}"
    return {
        "name": made.name,
        "title": made.title,
        "expected": made.expected,
        "fix": made.fix,
        "good": good,
        "observed": observed,
    }


if __name__ == "__main__":
    main()
