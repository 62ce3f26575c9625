"""The snapshot of NVML: every query stands alone, and nothing is ever set."""

import json

import pynvml
import pytest
from cards import FakeNvml, NvmlError
from hypothesis import given
from hypothesis import strategies as st
from machines import fuzz

from lib.host import nvml

FUNCTIONS = sorted(name for name in FakeNvml().answers if name.startswith("nvmlDeviceGet"))
CARD_FUNCTIONS = [name for name in FUNCTIONS if name not in ("nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex")]


def card(library: FakeNvml) -> dict[str, object]:
    snapshot = nvml.snapshot(library)
    assert snapshot is not None
    (found,) = snapshot["cards"]
    return dict(found)


def test_a_card_as_plain_data() -> None:
    library = FakeNvml()
    snapshot = nvml.snapshot(library)
    assert snapshot is not None
    assert json.loads(json.dumps(snapshot)) == snapshot
    assert (snapshot["driver"], snapshot["cuda"], snapshot["error"]) == ("580.95.05", "13.0", None)
    found = snapshot["cards"][0]
    assert (found["pci_bus_id"], found["pci_id"]) == ("0000:01:00.0", "10de:2bb1")
    assert (found["memory_total_mib"], found["memory_used_mib"], found["bar1_total_mib"]) == (97887, 2, 131072)
    assert (found["power_min_w"], found["power_limit_w"], found["power_default_w"]) == (150.0, 450.0, 600.0)
    assert found["power_draw_w"] == 14.2
    assert found["energy_j"] == 1234.6
    assert (found["ecc"], found["ecc_pending"], found["ecc_uncorrected"]) == (True, False, 7)
    assert (found["remapped_rows"], found["remapping_pending"], found["remapping_failed"]) == (1, 0, 0)
    assert found["event_reasons"] == ["gpu_idle", "sw_power_cap"]
    assert found["compute_capability"] == "12.0"
    assert (found["persistence"], found["mig"]) == (True, False)
    assert None not in found.values()
    assert library.closed


def test_the_identifier_is_masked_and_stays_the_same() -> None:
    first, second = card(FakeNvml())["uuid"], card(FakeNvml())["uuid"]
    assert first == second
    assert isinstance(first, str)
    assert "0b11d014" not in first


@pytest.mark.parametrize("name", CARD_FUNCTIONS)
def test_a_query_that_is_not_supported_is_null_and_the_others_stay(name: str) -> None:
    whole, less = card(FakeNvml()), card(FakeNvml(broken=(name,)))
    lost = {key for key in whole if less[key] is None}
    assert lost, f"{name} is asked for nothing"
    assert {key: less[key] for key in less if key not in lost} == {k: whole[k] for k in whole if k not in lost}


def test_a_card_that_supports_nothing_is_all_null() -> None:
    found = card(FakeNvml(broken=tuple(CARD_FUNCTIONS)))
    assert {value for key, value in found.items() if key != "index"} == {None}


@pytest.mark.parametrize("absent", [(), *((name,) for name in CARD_FUNCTIONS)])
def test_a_function_that_this_binding_lacks_is_null(absent: tuple[str, ...]) -> None:
    assert card(FakeNvml(absent=absent)).keys() == card(FakeNvml()).keys()


def test_an_older_driver_answers_under_the_older_names() -> None:
    new = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV", "nvmlDeviceGetPerformanceState")
    library = FakeNvml(absent=new[1:], broken=new[:1])
    library.answers |= {
        "nvmlDeviceGetCurrentClocksThrottleReasons": 0x40,
        "nvmlDeviceGetTemperature": 90,
        "nvmlDeviceGetPowerState": 0,
    }
    found = card(library)
    assert (found["event_reasons"], found["temperature_c"]) == (["hw_thermal_slowdown"], 90)
    assert found["performance_state"] == 0


def test_a_lost_card_does_not_hide_the_others() -> None:
    assert card(FakeNvml(broken=("nvmlDeviceGetHandleByIndex",))) == {"index": 0, "name": None}
    snapshot = nvml.snapshot(FakeNvml(broken=("nvmlDeviceGetCount",)))
    assert snapshot is not None
    assert snapshot["cards"] == []


def test_without_a_driver_there_is_no_snapshot() -> None:
    assert nvml.snapshot(FakeNvml(init=NvmlError(12, "NVML Shared Library Not Found"))) is None


@pytest.mark.parametrize("text", ["Driver Not Loaded", "Driver/library version mismatch"])
def test_a_driver_that_does_not_answer_says_why(text: str) -> None:
    snapshot = nvml.snapshot(FakeNvml(init=NvmlError(9, text)))
    assert snapshot == {"driver": None, "cuda": None, "error": text, "cards": []}


def test_the_names_are_those_of_the_real_binding() -> None:
    library = FakeNvml()
    nvml.snapshot(library)
    asked = library.asked
    assert len(asked) > 30
    assert not [name for name in asked if not hasattr(pynvml, name)]
    assert not [name for name in asked if "Set" in name.removeprefix("nvml")]


def test_the_real_binding_on_this_machine() -> None:
    snapshot = nvml.snapshot()
    assert snapshot is None or {"driver", "cuda", "error", "cards"} == snapshot.keys()


@given(st.integers(min_value=0, max_value=2**64 - 1))
@fuzz
def test_no_reason_is_lost(mask: int) -> None:
    names = nvml.event_reasons(mask)
    bits = {name: bit for bit, name in nvml.EVENT_REASONS.items()}
    seen = sum(bits[name] if name in bits else int(name.removeprefix("unknown_"), 16) for name in names)
    assert seen == mask
