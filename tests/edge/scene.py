"""The bastion on the lab's twins before a stand-in of the engine, with keys of every kind."""

import dataclasses

from upstream import Upstream

from lib.edge import trial
from lib.edge.probes.target import Target
from lib.edge.stage import Stage


@dataclasses.dataclass(frozen=True)
class Scene:
    stage: Stage
    upstream: Upstream
    held: trial.Wallet
    aim: Target
