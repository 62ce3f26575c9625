"""One fault, one message: which alert holds back which, because it is their cause."""

from typing import NamedTuple


class Inhibition(NamedTuple):
    """While the cause is due, its effects are not told.

    Parameters
    ----------
    equal : str
        Label that both must share: the host, or the whole site.
    """

    cause: str
    effects: tuple[str, ...]
    equal: str = "host"


ENGINE = ("EngineSlowFirstToken", "EngineSlowTokens", "EngineWaiting", "EngineKvCacheFull", "EnginePreempting")
COLLECTED = (
    *("TunnelStale", "SnapshotOld", "BackupOld", "RestoreDrillOld", "DiskWorn", "DiskFailing"),
    *("UpsOnBattery", "UpsBatteryLow", "UpsBatteryOld", "UpsSilent"),
)

INHIBITIONS = (
    Inhibition("HostDown", ("ExporterDown", "EngineDown", "GatewayDown", "NginxDown", "EndpointDown")),
    # Everything on a VPS is asked through the tunnel, and its public address leads through it too.
    Inhibition("TunnelStale", ("HostDown", "ExporterDown", "NginxDown", "EndpointDown"), "site"),
    Inhibition("NginxDown", ("EndpointDown",)),
    Inhibition("GpuLost", ("EngineDown", "GatewayEngineFault", "GatewayErrors", *ENGINE)),
    Inhibition("GpuXid", ("GpuProgramFault",)),
    Inhibition("EngineDown", ("GatewayEngineFault", "GatewayErrors", *ENGINE)),
    Inhibition("GatewayDown", ("GatewayErrors", "GatewayWrongKeys", "GatewayEngineFault")),
    Inhibition("GatewayEngineFault", ("GatewayErrors",)),
    Inhibition("DiskReadOnly", ("DiskFull", "DiskFilling")),
    Inhibition("DiskFull", ("DiskFilling",)),
    Inhibition("DiskFailing", ("DiskWorn",)),
    Inhibition("HostOutOfMemory", ("HostMemoryLow",)),
    Inhibition("UpsBatteryLow", ("UpsOnBattery",)),
    # What is not looked at any more grows old by itself.
    Inhibition("CollectorStale", COLLECTED),
)
