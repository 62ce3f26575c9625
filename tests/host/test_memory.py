"""Memory: modules, channels, empty slots, and why it runs below its rating."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import FORBIDDEN, MISSING, Changed, box, embedded, fuzz, named, owner

from lib.host import memory
from lib.host.probe import Output

DMIDECODE = "dmidecode -t memory"


def table(*modules: dict[str, str]) -> str:
    """SMBIOS type 17 as dmidecode prints it."""
    blocks = ["# dmidecode 3.5\nGetting SMBIOS data from sysfs.\n"]
    for index, module in enumerate(modules):
        lines = "".join(f"\t{key}: {value}\n" for key, value in module.items())
        blocks.append(f"Handle 0x{17 + index:04X}, DMI type 17, 92 bytes\nMemory Device\n{lines}")
    return "\n".join(blocks)


def module(**changed: str) -> dict[str, str]:
    usual = {
        "Size": "32 GB",
        "Locator": "DIMM 0",
        "Bank Locator": "P0 CHANNEL A",
        "Type": "DDR5",
        "Speed": "5600 MT/s",
        "Part Number": "KIT",
        "Configured Memory Speed": "5600 MT/s",
    }
    return usual | {key.replace("_", " "): value for key, value in changed.items()}


def looked(*modules: dict[str, str], **fields: object) -> dict[str, object]:
    host = Changed(owner(), commands={DMIDECODE: table(*modules)})
    return {check.name: check for check in memory.checks(host, box(**fields))}


def test_the_owners_modules() -> None:
    slots = memory.parse(owner().run(*memory.COMMAND).out)
    assert [(slot.size_gib, slot.kind, slot.rated, slot.configured) for slot in slots] == [(32, "DDR5", 5600, 3600)] * 4
    assert {slot.channel for slot in slots} == {"P0 CHANNEL A", "P0 CHANNEL B"}


def test_four_modules_below_their_rating_are_a_warning_with_the_reason_and_what_to_do() -> None:
    checks = memory.checks(owner(), box())
    speed = named(checks, "hardware.memory.speed")
    assert speed.status == "warn"
    assert speed.observed == "3600 MT/s, rated 5600; peak 57.6 GB/s of 89.6"
    assert "AM5 AMD specifies DDR5-3600 for four modules" in speed.fix
    assert "two larger modules" in speed.fix
    assert "memory test overnight" in speed.fix
    assert "DDR5-3600" in speed.source
    modules = named(checks, "hardware.memory.modules")
    assert modules.status == "pass"
    assert "0 of 4 slots empty" in modules.observed
    assert "no ECC" in modules.observed


def test_enough_memory_passes_and_too_little_fails() -> None:
    assert named(memory.checks(owner(), box()), "hardware.memory.total").status == "pass"
    assert named(memory.checks(owner(), box(host__memory__minimum_gib=126.0)), "hardware.memory.total").status == "fail"


@pytest.mark.parametrize("text", [None, "", "MemFree: 1 kB\n"])
def test_without_meminfo_the_total_is_a_skip(text: str | None) -> None:
    host = Changed(owner(), files={"/proc/meminfo": text})
    assert named(memory.checks(host, box()), "hardware.memory.total").status == "skip"


def test_at_their_rating_modules_pass_unless_the_profile_wants_more() -> None:
    pair = (module(), module(Bank_Locator="P0 CHANNEL B"))
    assert looked(*pair)["hardware.memory.speed"].status == "pass"
    slower = looked(*pair, host__memory__configured_mts=6000)["hardware.memory.speed"]
    assert slower.status == "warn"
    assert "EXPO or XMP" in slower.fix, "one module a channel: the profile of the kit is not on"


def test_an_overclock_is_told() -> None:
    fast = module(Configured_Memory_Speed="6000 MT/s")
    check = looked(fast, fast | {"Bank Locator": "P0 CHANNEL B"})["hardware.memory.speed"]
    assert (check.status, "overclocked" in check.observed) == ("pass", True)


def test_off_am5_the_reason_does_not_claim_amds_numbers() -> None:
    host = Changed(commands={DMIDECODE: table(*[module(Configured_Memory_Speed="4800 MT/s")] * 2)})
    check = named(memory.checks(host, embedded()), "hardware.memory.speed")
    assert "share each channel" in check.fix
    assert "AM5" not in check.fix
    assert not check.source


@pytest.mark.parametrize(
    ("modules", "what"),
    [
        ([module()] * 2, "2 modules instead of 4"),
        ([module(Locator=f"DIMM {i}") for i in range(4)], "only 1 of 2 channels"),
        ([module(), module(Part_Number="OTHER")] * 2, "different sorts"),
        ([module(), module(Size="16 GB")] * 2, "different sorts"),
    ],
)
def test_a_wrong_fitting_is_a_warning(modules: list[dict[str, str]], what: str) -> None:
    check = looked(*modules)["hardware.memory.modules"]
    assert check.status == "warn"
    assert what in check.fix


def test_empty_slots_are_counted() -> None:
    empty = {"Size": "No Module Installed", "Locator": "DIMM 1", "Bank Locator": "P0 CHANNEL A", "Type": "Unknown"}
    check = looked(module(), empty, module(Bank_Locator="P0 CHANNEL B"), empty)["hardware.memory.modules"]
    assert "2 of 4 slots empty" in check.observed


@pytest.mark.parametrize(
    ("locator", "bank", "channel"),
    [
        ("DIMM 0", "P0 CHANNEL A", "P0 CHANNEL A"),
        ("DIMM_A1", "BANK 0", "A"),
        ("ChannelB-DIMM0", "BANK 2", "ChannelB"),
        ("Controller0-DIMMA2", "BANK 0", "A"),
        ("P2-DIMME2", "P1_Node1_Channel0_Dimm1", "E"),
        ("DIMM 0", "", ""),
    ],
)
def test_channels_as_different_boards_write_them(locator: str, bank: str, channel: str) -> None:
    slot = memory.parse(table(module(Locator=locator, Bank_Locator=bank)))[0]
    assert slot.channel == channel


@pytest.mark.parametrize(
    ("size", "gib"),
    [("32 GB", 32), ("32 GiB", 32), ("16384 MB", 16), ("2 TB", 2048), ("No Module Installed", 0), ("?", 0)],
)
def test_sizes_as_different_versions_write_them(size: str, gib: float) -> None:
    assert memory.parse(table(module(Size=size)))[0].size_gib == gib


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (MISSING, "sudo apt-get install dmidecode"),
        (FORBIDDEN, "run as root"),
        (
            Output(1, "# dmidecode 3.4\nScanning /dev/mem for entry point.\n", "/dev/mem: Permission denied\n"),
            "run as root",
        ),
        (Output(1, "# dmidecode 3.4\n", "/dev/mem: No such file or directory\n"), "run it by hand"),
    ],
)
def test_modules_that_cannot_be_seen_are_a_skip_and_the_total_is_still_checked(said: Output, fix: str) -> None:
    checks = memory.checks(Changed(owner(), commands={DMIDECODE: said}), box())
    assert [(check.name, check.status) for check in checks] == [
        ("hardware.memory.total", "pass"),
        ("hardware.memory.modules", "skip"),
    ]
    assert fix in checks[1].fix


def test_modules_without_a_speed_skip_only_the_speed() -> None:
    silent = module(Speed="Unknown", Configured_Memory_Speed="Unknown")
    found = looked(silent)
    assert found["hardware.memory.speed"].status == "skip"
    assert found["hardware.memory.modules"].status == "warn"


def test_peak_bandwidth() -> None:
    assert memory.peak_gb_s(2, 3600) == pytest.approx(57.6)


@fuzz
@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    assert isinstance(memory.parse(text), list)


@fuzz
@given(st.lists(st.dictionaries(st.sampled_from(list(module())), st.text(st.characters(exclude_characters="\r\n")))))
def test_garbage_in_the_right_shape_never_raises(modules: list[dict[str, str]]) -> None:
    host = Changed(commands={DMIDECODE: table(*modules)}, files={"/proc/meminfo": "MemTotal: 9 kB\n"})
    assert memory.checks(host, box())
