"""How much disk the watching needs, from what the targets really say."""

from typing import NamedTuple

from lib.core.sections.monitoring import Monitoring

# Prometheus's own figure: 1 to 2 bytes a sample on disk. The larger is taken.
BYTES_A_SAMPLE = 2.0
SOURCE = "https://prometheus.io/docs/prometheus/latest/storage/#operational-aspects"
# Blocks that are being compacted, and the write-ahead log, beside what is kept.
MARGIN = 1.3
# A node exporter with all of its collectors; in the drills it has one or two. Measured with version 1.5 on a machine of
# 2 cores and one disk.
NODE_SERIES = 507


class Need(NamedTuple):
    """Series, and the disk that they need for so many days, GB."""

    series: float
    days: int
    gigabytes: float


def need(series: float, monitoring: Monitoring) -> Need:
    """Return what so many series need at the profile's interval and retention."""
    samples = series * 86400 / monitoring.scrape_s * monitoring.retention_days
    return Need(series, monitoring.retention_days, samples * BYTES_A_SAMPLE * MARGIN / 1e9)


def days(series: float, monitoring: Monitoring) -> float:
    """Return how many days fit into the profile's storage."""
    a_day = series * 86400 / monitoring.scrape_s * BYTES_A_SAMPLE * MARGIN
    return monitoring.storage_gb * 1e9 / a_day
