"""What leaves the machine: nothing that identifies it, everything that a check reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import fuzz, owner

from lib.host.mask import mask, output, parameters


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("\tSerial Number: E958EACA", "E958EACA"),
        ("\tAsset Tag: P2-DIMME2_AssetTag", "P2-DIMME2"),
        ('  "serial_number": "ZDHA8C1C",', "ZDHA8C1C"),
        ('  "serial" : 1322018734021,', "1322018734021"),
        ('"wwn": {"naa": 5, "oui": 3152, "id": 3693428137}', "3693428137"),
        ("device.serial: CPS4711", "CPS4711"),
        ("ups.serial: CPS4711", "CPS4711"),
        ('"uuid": "GPU-079e606a-926e-e5d4-dcd3-6322c089ef8a"', "079e606a"),
        ("GPU UUID: GPU-079e606a-926e-e5d4-dcd3-6322c089ef8a", "079e606a"),
        ("root=UUID=0af4c51e-f588-40f1-9129-f505c903a41c", "0af4c51e"),
        ("\tCapabilities: [148 v1] Device Serial Number 48-b0-2d-ff-ff-7f-12-aa", "48-b0-2d"),
        ('"address":"d8:43:ae:12:34:56"', "d8:43:ae"),
        ("wlxd843ae123456: flags", "d843ae123456"),
        ("inet 203.0.113.77/24 brd 203.0.113.255", "203.0.113.77"),
        ("inet6 2a02:26f7:1::77/64 scope global", "2a02:26f7"),
        ("inet6 fe80::d8:43ff:fe12:3456%enp9s0", "fe80::d8"),
        ("/home/somebody/models and /media/somebody/STICK", "somebody"),
        ("Linux myserver 6.17.0 #1 SMP", "myserver"),
    ],
)
def test_what_identifies_is_gone(text: str, gone: str) -> None:
    assert gone not in mask(text, ["myserver"])


@pytest.mark.parametrize(
    "text",
    [
        "\tSerial Number: Unknown",
        "\tAsset Tag: Not Specified",
        "0000:01:00.0 VGA compatible controller [0300]: NVIDIA Corporation [10de:2bb1] (rev a1)",
        "00:16.3 Serial controller [0700]: Intel Corporation Device [8086:a2bd]",
        "0000:06:00.0 Serial bus controller [0c80]: Intel Corporation Device [8086:7a7b]",
        "driver 580.126.20, VBIOS 98.02.2E.00.03, kernel 6.17.0-35-generic",
        "listening on 127.0.0.1 and ::1 and 0.0.0.0",
        "Getting SMBIOS data from sysfs.\nSMBIOS 3.6.0 present.",
        "scan: scrub repaired 0B in 00:12:44 with 0 errors",
        "Region 1: Memory at 6000000000 (64-bit, prefetchable) [size=128G]",
        "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",
    ],
)
def test_what_a_check_reads_stays(text: str) -> None:
    assert mask(text, ["vm", "localhost"]) == text


def test_the_owners_recording_is_already_clean() -> None:
    for path in (owner().folder / "commands").glob("*.txt"):
        text = path.read_text()
        assert mask(text) == text, path.name


def test_of_a_kernel_log_only_the_drivers_lines_are_kept() -> None:
    log = "usb 1-2: SerialNumber: 4711\nNVRM: loading NVIDIA UNIX Open Kernel Module\nLinux version 6.17 (a@b)\n"
    assert output(("dmesg",), log) == "NVRM: loading NVIDIA UNIX Open Kernel Module\n"
    assert output(("lspci", "-Dvvnn"), log.splitlines()[1]) == log.splitlines()[1]


def test_kernel_parameters_are_kept_by_name() -> None:
    line = (
        "BOOT_IMAGE=/vmlinuz root=/dev/mapper/secret ip=203.0.113.7 iommu=pt amd_iommu=on pcie_aspm=off quiet splash\n"
    )
    assert parameters(line) == "iommu=pt amd_iommu=on pcie_aspm=off quiet\n"


@fuzz
@given(st.text())
def test_masking_never_raises_and_twice_is_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)
