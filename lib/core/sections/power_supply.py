"""What a profile says of the mains, of the UPS behind them, and of the watchdog of the engine."""

from typing import Literal

from pydantic import Field

from lib.core.sections.base import Section


class PowerSupply(Section):
    """How a host behaves between the mains' end and the battery's."""

    ups: str = Field(default="ups", pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="Name of the UPS in NUT")
    driver: str = Field(default="usbhid-ups", description="NUT's driver of it")
    port: str = Field(default="auto", description="Where the driver finds it")
    drain_s: float = Field(default=30, gt=0, description="Streams that run when the mains go are cut after so long")
    stop_s: float = Field(default=45, gt=0, description="What stopping the engines takes, at most")
    shutdown_s: float = Field(default=60, gt=0, description="From the shutdown command until the disks are at rest")
    margin_s: float = Field(default=60, gt=0, description="Run time that must be left when the disks are at rest")
    stable_s: float = Field(default=60, gt=0, description="Mains back for so long before requests are admitted again")
    start_charge: float = Field(default=40, ge=0, le=100, description="Charge before engines start after a cut, %")
    retry_after_s: int = Field(default=120, ge=1, description="What refused clients are told to wait")
    poll_s: int = Field(default=5, ge=1, description="How often the UPS is asked; on battery, too")
    dead_s: int = Field(default=15, ge=3, description="A UPS silent for so long is lost; on battery: shut down")
    notify: list[str] = Field(
        default=["logger", "-t", "inference-power", "-p", "daemon.alert"],
        description="Command that gets the owner's messages as its last word",
    )


class Watchdog(Section):
    """When the watchdog acts, and how often it may."""

    every_s: float = Field(default=10, gt=0, description="A completion is asked for so often")
    answer_s: float = Field(default=20, gt=0, description="It must be answered within")
    bad_after: int = Field(default=3, ge=1, description="So many failures in a row are a fault")
    good_after: int = Field(default=2, ge=1, description="So many answers in a row end one")
    ready_s: float = Field(default=1200, gt=0, description="A start that takes longer has failed")
    pause_s: float = Field(default=10, gt=0, description="First pause before a restart; each next one is twice as long")
    pause_max_s: float = Field(default=900, gt=0, description="Longest pause")
    loop_after: int = Field(default=3, ge=2, description="So many restarts without rest are a crash loop: an alert")
    rest_s: float = Field(default=600, gt=0, description="Well for so long: earlier restarts are forgotten")
    reboot: Literal["never", "once_a_day"] = Field(default="never", description="What may be done about a lost card")
    cap_c: float = Field(default=83, ge=30, le=110, description="So hot: a lower power limit")
    shed_c: float = Field(default=86, ge=30, le=110, description="So hot: new requests are refused")
    stop_c: float = Field(default=89, ge=30, le=110, description="So hot: the engine is stopped")
    cool_c: float = Field(default=75, ge=20, le=110, description="So cool: one step back")
    hot_s: float = Field(default=30, gt=0, description="Hot for so long before the next step")
    calm_s: float = Field(default=120, gt=0, description="Cool for so long before one step back")
    cap_share: float = Field(default=0.7, gt=0, lt=1, description="The lower power limit, as a share of the usual one")


class Faults(Section):
    """Which faults chapter 13 plays."""

    drills: list[str] = Field(default=[], description="Names of drills; none named: all that there are")
    lanes: int = Field(default=4, ge=1, le=16, description="Drills played side by side, each lane with its gateway")
