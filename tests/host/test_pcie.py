"""PCI Express: links now and at best, windows, errors, the IOMMU."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import FORBIDDEN, MISSING, Changed, box, embedded, fuzz, named, owner

from lib.host import pci, pcie
from lib.host.probe import Output

CARD = f"{pci.DEVICES}/0000:01:00.0"
SLOT = f"{pci.DEVICES}/0000:00:01.1"
RADEON = f"{pci.DEVICES}/0000:06:00.0"
LOADED = {f"{CARD}/current_link_speed": "32.0 GT/s PCIe\n"}


def checks(files: dict[str, str | None] | None = None, **fields: object) -> list[pcie.Check]:
    return pcie.checks(Changed(owner(), files=files), box(**fields))


def test_the_bus_as_data() -> None:
    cards = pci.look(owner(), "0x03")
    assert [(card.name, card.discrete) for card in cards] == [
        ("RTX PRO 6000 Blackwell Workstation Edition", True),
        ("Radeon RX 9070/9070 XT/9070 GRE", True),
        ("Radeon Graphics", False),
    ]
    assert cards[0].window == cards[0].could == 128 * 2**30
    assert [str(drive.now) for drive in pci.look(owner(), "0x0108")] == ["4.0 x4", "4.0 x4"]


def test_an_idle_card_is_a_warning_to_read_it_under_load() -> None:
    check = named(checks(), "hardware.pcie.gpu0_link")
    assert check.status == "warn"
    assert "1.0 x16 now, 5.0 x16 at best" in check.observed
    assert "under load" in check.fix
    assert "0000:01:00.0/current_link_speed" in check.fix


def test_a_loaded_card_passes() -> None:
    assert named(checks(LOADED), "hardware.pcie.gpu0_link").status == "pass"


def test_too_few_lanes_fail_and_the_fix_says_who_takes_them() -> None:
    check = named(checks(LOADED | {f"{CARD}/current_link_width": "8\n"}), "hardware.pcie.gpu0_link")
    assert check.status == "fail"
    assert "8 of 16 lanes" in check.fix
    assert "24 usable lanes" in check.fix
    assert "8 each" in check.fix


def test_fewer_lanes_than_card_and_slot_have_warn_where_nothing_is_expected() -> None:
    check = named(checks(LOADED | {f"{CARD}/current_link_width": "8\n"}, host__gpus=[]), "hardware.pcie.gpu0_link")
    assert check.status == "warn"
    assert "reseat" in check.fix


def test_a_slot_of_an_older_generation_is_told() -> None:
    older = {f"{SLOT}/max_link_speed": "16.0 GT/s PCIe\n", f"{CARD}/current_link_speed": "16.0 GT/s PCIe\n"}
    check = named(checks(older), "hardware.pcie.gpu0_link")
    assert check.status == "warn"
    assert "generation 4 at best" in check.fix
    assert "5.0 x16 in a better slot" in check.observed


def test_a_radeon_is_judged_by_the_port_of_its_own_switch() -> None:
    radeon = pci.look(owner(), "0x03")[1]
    assert str(radeon.now) == "4.0 x4", "its graphics function says 5.0 x16: that is the link inside the card"
    assert str(radeon.own) == "5.0 x16"
    assert named(checks(), "hardware.pcie.gpu1_link").status == "pass", "it gets all that its slot has"
    narrower = {f"{RADEON}/current_link_width": "1\n"}
    assert named(checks(narrower), "hardware.pcie.gpu1_link").status == "warn"


def test_a_card_that_is_not_on_the_bus_fails() -> None:
    check = named(checks({f"{CARD}/class": None}), "hardware.pcie.gpu0_link")
    assert check.status == "fail"
    assert "reseat" in check.fix


def test_a_hidden_link_is_a_skip() -> None:
    hidden = {f"{CARD}/{which}_link_{what}": None for which in ("current", "max") for what in ("speed", "width")}
    assert named(checks(hidden), "hardware.pcie.gpu0_link").status == "skip"


def test_what_the_driver_tells_is_not_judged_twice() -> None:
    host = Changed(owner(), cards=[{"pci_bus_id": "00000000:01:00.0"}])
    names = {check.name for check in pcie.checks(host, box())}
    assert "hardware.pcie.gpu0_link" not in names
    assert "hardware.pcie.gpu1_link" in names
    unused = {check.name for check in pcie.checks(host, embedded())}
    assert "hardware.pcie.gpu0_link" in unused, "a profile without cards has no driver check to rely on"


def test_an_unknown_name_still_finds_the_right_card() -> None:
    listing = owner().run(*pci.COMMAND).out
    old = listing.replace("GB202GL [RTX PRO 6000 Blackwell Workstation Edition]", "Device")
    old = old.replace("[AMD/ATI] Navi 48 [Radeon RX 9070/9070 XT/9070 GRE]", "[AMD/ATI] Device")
    host = Changed(owner(), commands={"lspci": old})
    pairs = pcie.cards_of(host, box())
    assert [(wanted.name if wanted else None, device.address if device else None) for wanted, device in pairs] == [
        ("RTX PRO 6000 Blackwell", "0000:01:00.0"),
        ("9070 XT", "0000:08:00.0"),
    ]
    assert "device 10de:2bb1" in named(pcie.checks(host, box()), "hardware.pcie.gpu0_link").observed


def test_windows_as_large_as_the_memory_pass() -> None:
    check = named(checks(), "hardware.pcie.rebar")
    assert check.status == "pass"
    assert "128 GiB of 95.59 GiB" in check.observed


def test_a_small_window_is_a_warning_that_names_the_firmware_setting() -> None:
    small = "0x00000000d8000000 0x00000000dbffffff 0x0000000000040200\n"
    small += "0x0000006000000000 0x000000600fffffff 0x000000000014220c\n"
    check = named(checks({f"{CARD}/resource": small}), "hardware.pcie.rebar")
    assert check.status == "warn"
    assert "256 MiB of 95.59 GiB" in check.observed
    assert "Above 4G Decoding" in check.fix


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (MISSING, "sudo apt-get install pciutils"),
        (FORBIDDEN, "run as root"),
        (
            Output(0, "0000:01:00.0 VGA compatible controller [0300]: X\n\tCapabilities: <access denied>\n"),
            "run as root",
        ),
    ],
)
def test_without_lspci_as_root_the_window_of_an_unexpected_card_cannot_be_judged(said: Output, fix: str) -> None:
    host = Changed(owner(), commands={"lspci": said})
    found = pcie.checks(host, embedded())
    rebar = named(found, "hardware.pcie.rebar")
    assert rebar.status == "skip"
    assert fix in rebar.fix
    assert named(found, "hardware.pcie.gpu0_link").status == "warn", "links come from sysfs"


def test_uncorrected_errors_warn_and_corrected_ones_are_told() -> None:
    lost = {f"{CARD}/aer_dev_fatal": "TOTAL_ERR_FATAL 2\n"}
    check = named(checks(lost), "hardware.pcie.errors")
    assert check.status == "warn"
    assert "RTX PRO 6000 Blackwell Workstation Edition: 2 uncorrected" in check.observed
    repaired = {f"{CARD}/aer_dev_correctable": "TOTAL_ERR_COR 7\n"}
    check = named(checks(repaired), "hardware.pcie.errors")
    assert (check.status, "7 corrected" in check.observed) == ("pass", True)


def test_a_drive_below_its_link_is_a_warning() -> None:
    check = named(checks({f"{pci.DEVICES}/0000:03:00.0/current_link_width": "2\n"}), "hardware.pcie.nvme")
    assert check.status == "warn"
    assert "4.0 x2 of 4.0 x4" in check.observed


def test_translation_matters_only_between_two_nvidia_cards() -> None:
    assert named(checks(), "hardware.pcie.iommu").status == "pass"
    second = {f"{RADEON.replace('06', '08')}/vendor": "0x10de\n"}
    check = named(checks(second), "hardware.pcie.iommu")
    assert check.status == "warn"
    assert "iommu=pt" in check.fix
    through = dict.fromkeys(owner().glob("/sys/kernel/iommu_groups/*/type"), "identity\n")
    assert named(checks(second | through), "hardware.pcie.iommu").observed == "pass-through"


def test_a_machine_without_a_bus_is_one_skip() -> None:
    found = pcie.checks(Changed(), box())
    assert [(check.name, check.status) for check in found] == [("hardware.pcie.devices", "skip")]


@fuzz
@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    assert isinstance(pci.parse_names(text), dict)
    assert isinstance(pci.parse_resizable(text), dict)
    assert all(size > 0 for size in pci.parse_resource(text))


LINES = st.sampled_from(owner().run(*pci.COMMAND).out.splitlines())


@fuzz
@given(st.lists(LINES, max_size=30), st.text(max_size=20))
def test_shuffled_lspci_never_raises(lines: list[str], noise: str) -> None:
    text = noise.join(lines)
    assert all(size >= 0 for size in pci.parse_resizable(text).values())
    assert all(name for name in pci.parse_names("\n".join(lines)).values())


@fuzz
@given(
    st.dictionaries(st.sampled_from(["class", "vendor", "resource", "current_link_speed", "max_link_width"]), st.text())
)
def test_garbage_in_sysfs_never_raises(files: dict[str, str]) -> None:
    host = Changed(owner(), files={f"{CARD}/{name}": text for name, text in files.items()})
    assert pcie.checks(host, box())
