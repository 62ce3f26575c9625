"""What a profile says, section by section: typed, with units, limits and defaults."""

from typing import Any, Literal

from pydantic import Field

from lib.core.sections.backup import Backup
from lib.core.sections.base import Scalar, Section
from lib.core.sections.bastion import Bastion
from lib.core.sections.engine import (
    Batching,
    Models,
    PowerMap,
    Quality,
    Roofline,
    Serving,
    Shape,
    Speculation,
    Swap,
    Tuner,
    Upgrade,
)
from lib.core.sections.gateway import Agents, Gateway
from lib.core.sections.hosts import Deploy, HostAccess
from lib.core.sections.machine import Answer, ChecklistItem, Disk, Driver, Gpu, HostExpectations, Tuning
from lib.core.sections.memory import Hnsw, MemorySearch
from lib.core.sections.monitoring import Monitoring
from lib.core.sections.ownership import Costs, Plan
from lib.core.sections.power_supply import Faults, PowerSupply, Watchdog

__all__ = [
    "Answer",
    "Batching",
    "ChecklistItem",
    "Costs",
    "Disk",
    "Gpu",
    "Hnsw",
    "MemorySearch",
    "Plan",
    "PowerMap",
    "PowerSupply",
    "Profile",
    "Scalar",
    "Section",
    "Serving",
    "Shape",
    "Watchdog",
]


class Line(Section):
    """The owner's connection."""

    download_mbit_s: float = Field(default=30, gt=0)
    upload_mbit_s: float = Field(default=30, gt=0, description="What answers leave the house with")


class Profile(Section):
    """One target: a typed file in runbook/profiles."""

    name: str
    title: str
    description: str
    hardware: Literal["cpu", "cuda"]
    host: HostExpectations = HostExpectations()
    hosts: dict[str, HostAccess] = Field(default={}, description="Name to how the host is reached and what it is for")
    deploy: Deploy = Deploy()
    driver: Driver = Driver()
    tuning: Tuning = Tuning()
    models: Models
    serving: Serving = Serving()
    batching: Batching = Batching()
    roofline: Roofline = Roofline()
    tuner: Tuner = Tuner()
    speculation: Speculation = Speculation()
    swap: Swap = Swap()
    quality: Quality = Quality()
    power: PowerMap = PowerMap()
    power_supply: PowerSupply = PowerSupply()
    watchdog: Watchdog = Watchdog()
    faults: Faults = Faults()
    upgrade: Upgrade = Upgrade()
    gateway: Gateway = Gateway()
    agents: Agents = Agents()
    memory: MemorySearch = MemorySearch()
    backup: Backup = Backup()
    thorough: dict[str, Any] = Field(default={}, description="Sections as `--thorough` overlays them: the full sweeps")
    bastion: Bastion = Bastion()
    monitoring: Monitoring = Monitoring()
    line: Line = Line()
    costs: Costs = Costs()
    plan: Plan = Plan()
