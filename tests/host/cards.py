"""NVML for tests: a card as a fake library answers for it, and hosts with another snapshot."""

from typing import Any

import pynvml
from machines import Changed, owner

from lib.host.probe import Output

MIB = 2**20
NOT_SUPPORTED = 3


class NvmlError(Exception):
    """What the fake library raises, with NVML's error number."""

    def __init__(self, value: int = NOT_SUPPORTED, text: str = "Not Supported") -> None:
        super().__init__(text)
        self.value = value


class FakeNvml:
    """A library with the function names of `pynvml`; names in `broken` raise, names in `absent` do not exist."""

    NVMLError = NvmlError
    NVML_ERROR_LIBRARY_NOT_FOUND = 12

    def __init__(
        self, broken: tuple[str, ...] = (), absent: tuple[str, ...] = (), init: NvmlError | None = None
    ) -> None:
        self.answers: dict[str, Any] = {
            "nvmlSystemGetDriverVersion": b"580.95.05",
            "nvmlSystemGetCudaDriverVersion_v2": 13000,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetName": "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
            "nvmlDeviceGetUUID": "GPU-0b11d014-1685-04bd-26ed-5fc0bc1c44ae",
            "nvmlDeviceGetCudaComputeCapability": (12, 0),
            "nvmlDeviceGetPciInfo": pynvml.nvmlPciInfo_t(busId=b"00000000:01:00.0", pciDeviceId=0x2BB110DE),
            "nvmlDeviceGetCurrPcieLinkGeneration": 1,
            "nvmlDeviceGetMaxPcieLinkGeneration": 5,
            "nvmlDeviceGetCurrPcieLinkWidth": 16,
            "nvmlDeviceGetMaxPcieLinkWidth": 16,
            "nvmlDeviceGetPcieReplayCounter": 0,
            "nvmlDeviceGetMemoryInfo": pynvml.c_nvmlMemory_t(total=97887 * MIB, used=2 * MIB + 5),
            "nvmlDeviceGetBAR1MemoryInfo": pynvml.c_nvmlBAR1Memory_t(bar1Total=131072 * MIB),
            "nvmlDeviceGetEccMode": [1, 0],
            "nvmlDeviceGetTotalEccErrors": 7,
            "nvmlDeviceGetRemappedRows": (0, 1, 0, 0),
            "nvmlDeviceGetPowerManagementLimit": 450000,
            "nvmlDeviceGetEnforcedPowerLimit": 450000,
            "nvmlDeviceGetPowerManagementDefaultLimit": 600000,
            "nvmlDeviceGetPowerManagementLimitConstraints": [150000, 600000],
            "nvmlDeviceGetPowerUsage": 14249,
            "nvmlDeviceGetTotalEnergyConsumption": 1234567,
            "nvmlDeviceGetClockInfo": 180,
            "nvmlDeviceGetMaxClockInfo": 3090,
            "nvmlDeviceGetPerformanceState": 8,
            "nvmlDeviceGetTemperatureV": 41,
            "nvmlDeviceGetTemperatureThreshold": 87,
            "nvmlDeviceGetMarginTemperature": 46,
            "nvmlDeviceGetFanSpeed": 30,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x5,
            "nvmlDeviceGetPersistenceMode": 1,
            "nvmlDeviceGetMigMode": [0, 0],
        }
        self.broken, self.absent, self.init = broken, absent, init
        self.asked: set[str] = set()
        self.closed = False

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init:
            raise self.init

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        self.asked.add(name)
        if name in self.absent or name not in self.answers:
            raise AttributeError(name)

        def function(*_: object) -> Any:
            if name in self.broken:
                raise NvmlError
            return self.answers[name]

        return function


class WithCards(Changed):
    """The owner's box with another answer of NVML: fields of its first card, or a whole snapshot."""

    def __init__(
        self,
        snapshot: dict[str, Any] | None = None,
        files: dict[str, str | None] | None = None,
        commands: dict[str, Output | str | None] | None = None,
        **card: Any,
    ) -> None:
        super().__init__(owner(), commands=commands, files=files)
        known = owner().nvml() or {}
        self.snapshot = snapshot or {**known, "cards": [{**known["cards"][0], **card}]}

    def nvml(self) -> dict[str, Any] | None:
        return self.snapshot
