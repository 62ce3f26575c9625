"""Driver, kernel module, CUDA, torch: the owner's box is green, and each wrong state names its commands."""

import json
import subprocess
from datetime import date
from typing import Any

import pytest
from cards import WithCards
from machines import MISSING, Changed, box, embedded, named, owner, plain

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host import boards, compute, driver, modules
from lib.host.probe import Host, Output, RecordedHost
from lib.host.recording import RecordingHost

HOSTS = owner().folder.parent
TODAY = date(2026, 11, 23)
PROBE = "python -m lib.host.torch_probe cuda"
UNLOADED = {"/proc/driver/nvidia/version": None}
HEADLESS = {"/usr/src/linux-headers-6.17.0-35-generic/Makefile": None}
INSTALL = 'sudo apt-get update && sudo apt-get install nvidia-driver-580-open "linux-headers-$(uname -r)"\nsudo reboot'


def checks(host: Host, profile: Profile | None = None) -> list[Check]:
    return driver.checks(host, profile or box(), today=TODAY)


def recorded(name: str) -> RecordedHost:
    return RecordedHost(HOSTS / name)


def wrong(found: list[Check]) -> set[str]:
    return {check.name.removeprefix("driver.") for check in found if check.status in ("fail", "warn")}


def with_torch(**facts: Any) -> Changed:
    known = json.loads(owner().run(*PROBE.split()).out)
    return WithCards(commands={PROBE: json.dumps({**known, **facts})})


def test_the_owners_box_passes_everything() -> None:
    found = checks(owner())
    assert {check.status for check in found} == {"pass"}
    assert len(found) == 13
    assert all(check.provenance.where == "recorded" for check in found)


def test_a_driver_that_does_not_know_the_card() -> None:
    found = checks(recorded("driver-560"))
    assert wrong(found) == {
        "loaded", "version", "branch", "module", "cuda", "compute_capability", "kernel", "toolkit",
    }  # fmt: skip
    version = named(found, "driver.version")
    assert (version.status, version.observed) == ("fail", "560.35.03 installed, not running")
    assert "570.133.07" in version.expected
    assert version.fix == f"sudo apt-get purge '*nvidia*-560*'\n{INSTALL}"
    assert version.source.endswith("/570.133.07/README.md")
    assert "does not know this card" in named(found, "driver.loaded").observed
    assert named(found, "driver.toolkit").observed == "12.5"


def test_the_proprietary_module() -> None:
    found = checks(recorded("proprietary-module"))
    assert wrong(found) == {"loaded", "module", "compute_capability", "kernel"}
    module = named(found, "driver.module")
    assert (module.status, module.observed) == ("fail", "runs: proprietary; installed: proprietary, license NVIDIA")
    assert INSTALL in module.fix
    assert "purge" not in module.fix
    assert "modinfo -F license nvidia" in module.fix
    assert "open kernel module only" in named(found, "driver.loaded").observed


def test_the_link_is_no_matter_of_the_driver() -> None:
    assert wrong(checks(recorded("pcie-x8"))) == set()


def test_a_machine_without_the_card_names_every_mismatch() -> None:
    found = checks(plain())
    assert {c.name.removeprefix("driver.") for c in found if c.status == "fail"} >= {
        "loaded", "version", "module", "cuda", "torch_arch", "compute_capability", "kernel", "container_toolkit",
    }  # fmt: skip
    assert "no NVIDIA card on the PCI bus" in named(found, "driver.loaded").observed
    assert "lspci -nn" in named(found, "driver.loaded").fix
    assert all(check.fix for check in found if check.status != "pass")


def test_a_processor_needs_no_driver_but_right_products() -> None:
    answer = '{"torch": "2.13.0+cpu", "isa": "AVX512", "kernels": [%s]}'
    kernel = '{"dtype": "bfloat16", "ratio": %s, "size": 1024, "rate_size": 1024, "gflops": [1]}'
    for ratio, status in (("0.7", "pass"), ("1.3", "fail")):
        host = Changed(commands={"python -m lib.host.torch_probe cpu": answer % (kernel % ratio)})
        *skips, products = checks(host, embedded())
        assert {check.status for check in skips} == {"skip"}
        assert all("embedded" in check.expected for check in skips)
        assert (products.name, products.status) == ("driver.cpu_kernel", status)
        assert "AVX512" in products.observed


@pytest.mark.parametrize(
    ("pci_id", "version", "status"),
    [
        ("10de:2bb1", "570.124.06", "fail"),
        ("10de:2bb1", "570.133.07", "pass"),
        ("10de:2bb4", "570.133.07", "pass"),
        ("10de:2bb5", "570.133.07", "fail"),
        ("10de:2bb5", "575.57.08", "pass"),
        ("10de:2335", "570.10", "pass"),
    ],
)
def test_each_board_has_its_own_first_driver(pci_id: str, version: str, status: str) -> None:
    known = owner().nvml() or {}
    host = WithCards({**known, "driver": version, "cards": [{**known["cards"][0], "pci_id": pci_id}]})
    check = named(checks(host, box(driver__minimum="570")), "driver.version")
    assert check.status == status


def test_the_projects_own_minimum_holds_for_every_board() -> None:
    known = owner().nvml() or {}
    check = named(checks(WithCards({**known, "driver": "575.64.05"})), "driver.version")
    assert check.status == "fail"
    assert "sudo apt-get purge '*nvidia*-575*'" in check.fix


def test_the_board_is_known_from_the_bus_when_no_driver_answers() -> None:
    assert driver.look(recorded("driver-560")).boards == ("10de:2bb1",)


def test_an_update_without_a_reboot() -> None:
    snapshot = {"driver": None, "cuda": None, "error": "Driver/library version mismatch", "cards": []}
    check = named(checks(WithCards(snapshot)), "driver.loaded")
    assert check.status == "fail"
    assert check.fix.startswith("sudo reboot")


def test_the_open_module_on_disk_needs_a_reboot_while_the_old_one_runs() -> None:
    running = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\n"
    check = named(checks(WithCards(files={"/proc/driver/nvidia/version": running})), "driver.module")
    assert (check.status, check.fix.split("  ")[0]) == ("fail", "sudo reboot")


def test_either_module_where_the_profile_takes_any() -> None:
    check = named(checks(recorded("proprietary-module"), box(driver__module="any")), "driver.module")
    assert check.status == "pass"


def test_a_branch_that_ended() -> None:
    known = owner().nvml() or {}
    found = checks(WithCards({**known, "driver": "610.43.02"}))
    check = named(found, "driver.branch")
    assert (check.status, check.observed) == ("warn", "R610, new features, ended in August 2026")
    assert check.fix == f"sudo apt-get purge '*nvidia*-610*'\n{INSTALL}"
    assert named(found, "driver.version").status == "pass"


def test_an_old_cuda_under_a_new_driver_name() -> None:
    known = owner().nvml() or {}
    check = named(checks(WithCards({**known, "cuda": "12.8"})), "driver.cuda")
    assert (check.status, check.observed, check.fix) == ("fail", "12.8", INSTALL)


@pytest.mark.parametrize(
    ("facts", "failed", "word"),
    [
        ({"archs": ["sm_80", "sm_90"]}, {"torch_arch"}, "runbook/locks/cuda.txt"),
        ({"archs": [], "cuda": None}, {"torch_arch"}, "runbook/locks/cuda.txt"),
        ({"capability": "9.0"}, {"compute_capability"}, "CUDA_VISIBLE_DEVICES"),
        (
            {"kernels": [], "failure": "RuntimeError: CUDA error: no kernel image is available"},
            {"kernel"},
            "runbook/locks/cuda.txt",
        ),
        (
            {"kernels": [{"dtype": "float32", "ratio": 3.0, "size": 1024, "rate_size": 8192, "gflops": []}]},
            {"kernel"},
            "bad card",
        ),
    ],
)
def test_torch_on_the_card(facts: dict[str, Any], failed: set[str], word: str) -> None:
    found = checks(with_torch(**facts))
    assert wrong(found) == failed
    assert word in named(found, f"driver.{failed.pop()}").fix


def test_a_probe_that_hangs_fails_the_kernel_check_only_after_its_time() -> None:
    host = Changed(owner(), commands={PROBE: Output(None, reason="timeout")})
    check = named(compute.checks(host, box()), "driver.kernel")
    assert (check.status, check.observed) == ("fail", "no answer within 180 s")


def test_rates_become_measurements_with_an_interval() -> None:
    kernel = {"dtype": "bfloat16", "ratio": 0.5, "size": 1024, "rate_size": 8192}
    (found,) = compute.measurements(with_torch(kernels=[{**kernel, "gflops": [100.0, 110.0, 90.0]}]), box())
    assert (found.value, found.unit, found.n) == (100.0, "GFLOP/s", 3)
    assert found.interval is not None
    # Student's t, two degrees of freedom: 4.303 · 10 / √3
    assert found.interval == (75.2, 124.8)
    assert found.provenance.where == "recorded"
    assert compute.measurements(with_torch(kernels=[{**kernel, "gflops": []}]), box()) == []


@pytest.mark.parametrize(
    ("files", "commands", "name", "status", "word"),
    [
        ({"/proc/modules": "nouveau 1 0 - Live 0x0\n"}, {}, "nouveau", "fail", "blacklist nouveau"),
        ({"/proc/modules": "not_nouveau 1 0 - Live 0x0\n"}, {}, "nouveau", "pass", ""),
        ({}, {"mokutil": "SecureBoot enabled\n"}, "secure_boot", "pass", ""),
        (UNLOADED, {"mokutil": "SecureBoot enabled\n"}, "secure_boot", "fail", "mokutil --import"),
        ({}, {"mokutil": MISSING}, "secure_boot", "pass", ""),
        (UNLOADED, {"mokutil": MISSING}, "secure_boot", "skip", "apt-get install mokutil"),
        (HEADLESS, {}, "headers", "warn", "linux-headers-$(uname -r)"),
        (
            HEADLESS,
            {"modinfo -F filename nvidia": "/lib/modules/6.17.0-35-generic/kernel/nvidia-580-open/nvidia.ko\n"},
            "headers", "pass", "",
        ),
        ({}, {"modinfo": None}, "headers", "skip", "linux-headers-$(uname -r)"),
        ({}, {"nvcc": None}, "toolkit", "skip", "Not needed to serve"),
        ({}, {"nvidia-ctk": None}, "container_toolkit", "fail", "sudo nvidia-ctk runtime configure --runtime=docker"),
    ],
)  # fmt: skip
def test_what_the_module_and_the_tools_need(
    files: dict[str, str | None], commands: dict[str, Output | str | None], name: str, status: str, word: str
) -> None:
    check = named(checks(WithCards(files=files, commands=commands)), f"driver.{name}")
    assert check.status == status
    assert word in check.fix


def test_secure_boot_before_any_driver_is_a_warning() -> None:
    host = Changed(commands={"mokutil": "SecureBoot enabled\n"})
    (check,) = [c for c in modules.checks(host, loaded=False) if c.name == "driver.secure_boot"]
    assert check.status == "warn"


def test_containers_are_not_asked_for_by_every_profile() -> None:
    host = WithCards(commands={"nvidia-ctk": None})
    assert named(checks(host, box(driver__container_toolkit=False)), "driver.container_toolkit").status == "skip"


def test_commands_are_shell_and_packages_are_ubuntus() -> None:
    hosts: list[Host] = [plain(), recorded("driver-560"), recorded("proprietary-module")]
    hosts.append(WithCards(files={"/proc/modules": "nouveau 1 0\n"}, commands={"nvidia-ctk": None, "modinfo": None}))
    packages = {
        "nvidia-driver-580-open",
        "linux-headers-generic-hwe-24.04",
        "cuda-toolkit-13-0",
        "nvidia-container-toolkit",
    }
    for check in [check for host in hosts for check in checks(host) if check.status != "pass"]:
        scripts = [line for line in check.fix.splitlines() if line.startswith(("sudo ", "curl ", "printf "))]
        for script in scripts:
            subprocess.run(["bash", "-n", "-c", script.split("  (")[0]], check=True)
            assert "nvidia-driver-560" not in script
            if "apt-get install" in script:
                assert any(package in script for package in packages | {"linux-headers-$(uname -r)", "mokutil"})


def test_the_probe_runs_once_for_checks_and_measurements() -> None:
    asked: list[tuple[str, ...]] = []

    class Counting(Changed):
        def run(self, *argv: str, timeout: float = 15) -> Output:
            asked.append(argv)
            return super().run(*argv, timeout=timeout)

    host = RecordingHost(Counting(owner()))
    checks(host)
    compute.measurements(host, box())
    assert [argv[0] for argv in asked].count("python") == 1


def test_the_preferred_branches_of_the_profiles_are_alive() -> None:
    assert all(boards.branch_state(branch, TODAY)[0] for branch in box().driver.preferred_branches)
