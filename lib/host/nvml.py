"""A snapshot of NVML as plain data, so that a recorded card runs through the same code."""

from typing import Any


def snapshot() -> dict[str, Any] | None:
    """Return what NVML knows about the driver and its cards, or None without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return {"driver": str(pynvml.nvmlSystemGetDriverVersion())}
