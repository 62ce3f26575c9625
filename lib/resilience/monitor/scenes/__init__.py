"""What is broken in the drills: each scene is watched under a host name of its own, so that none disturbs another."""

from lib.resilience.monitor.drill import Scene
from lib.resilience.monitor.scenes import collected, edge, gateway, gpu, host


def scenes() -> list[Scene]:
    """Return all scenes but the engine's, which needs one, and the watching's own."""
    return [*host.scenes(), *gpu.scenes(), *collected.scenes(), *gateway.scenes(), *edge.scenes()]
