"""What a profile expects of the machine: parts, driver, settings."""

from typing import Literal

from pydantic import Field

from lib.core.sections.base import Section


class Cpu(Section):
    """The processor that the profile expects; an empty or zero field expects nothing."""

    model: str = Field(default="", description="Part of the model name that lscpu prints")
    sockets: int = Field(default=0, ge=0)
    cores: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    numa_nodes: int = Field(default=0, ge=0)
    governor: str = Field(default="", description="cpufreq governor wanted for serving")
    power_w: float = Field(default=0, ge=0, description="What it draws at full load, W; for the UPS's sum")


class Memory(Section):
    """Main memory: at least so much, in so many modules, at this configured speed."""

    minimum_gib: float = Field(default=0, ge=0)
    dimms: int = Field(default=0, ge=0)
    channels: int = Field(default=0, ge=0)
    configured_mts: int = Field(default=0, ge=0, description="MT/s that the firmware should run the modules at")


class Gpu(Section):
    """One expected GPU."""

    vendor: Literal["nvidia", "amd"] = "nvidia"
    name: str = Field(description="Part of the name that the driver prints")
    memory_mib: int = Field(ge=1)
    compute_capability: str = Field(default="", pattern=r"^(\d+\.\d)?$")
    pcie_generation: int = Field(default=0, ge=0, le=7)
    pcie_width: int = Field(default=0, ge=0, le=16)
    power_default_w: float = Field(default=0, ge=0)
    power_cap_w: float = Field(default=0, ge=0, description="Recommended power limit; 0 leaves the default")
    temperature_warn_c: float = Field(default=83, ge=30, le=110)
    ecc: bool | None = None


class Disk(Section):
    """A disk that must be there, and how fast it must read for the load times that the owner wants."""

    purpose: str
    minimum_gb: float = Field(ge=0)
    kind: Literal["nvme", "ssd", "hdd", "any"] = "any"
    read_mb_s: float = Field(default=0, ge=0, description="Sequential read expected, MB/s; 0 expects nothing")


Answer = Literal["unanswered", "yes", "no"]


class ChecklistItem(Section):
    """A question that software cannot answer; the owner does. Unanswered is a warning, `no` a failure."""

    question: str
    why: str
    answer: Answer = "unanswered"
    note: str = ""


class HostExpectations(Section):
    """What chapter 01 holds the machine against."""

    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    gpus: list[Gpu] = Field(default=[])
    disks: list[Disk] = Field(default=[])
    ups: bool = Field(default=False, description="A UPS is expected to answer through NUT")
    free_disk_gb: float = Field(default=10, ge=0, description="Free space needed where models and runs are kept")
    checklist: dict[str, ChecklistItem] = Field(default={})


class Driver(Section):
    """What chapter 02 holds the NVIDIA stack against."""

    minimum: str = Field(default="580", pattern=r"^\d+(\.\d+)*$")
    preferred_branches: list[int] = Field(default=[580, 595])
    module: Literal["open", "any"] = "open"
    cuda_minimum: str = Field(default="13.0", pattern=r"^\d+\.\d+$")
    arch: str = Field(default="", pattern=r"^(sm_\d+a?)?$", description="Architecture the engine must be built for")
    container_toolkit: bool = False


class Tuning(Section):
    """What chapter 03 recommends where it departs from the defaults of the runbook."""

    swappiness: int = Field(default=10, ge=0, le=200)
    transparent_hugepages: Literal["always", "madvise", "never"] = "madvise"
    hugepages: int = Field(default=0, ge=0, description="Static 2 MiB huge pages; vLLM uses none")
    open_files: int = Field(default=65536, ge=1024)
    persistence: bool = True
