"""The whole audit, on recorded machines and on this one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import FORBIDDEN, MISSING, Changed, box, embedded, fuzz, named, owner, plain

from lib.core import profile as profiles
from lib.core.sections import Profile
from lib.host import audit
from lib.host.probe import Host, LiveHost, Output, RecordedHost


def counted(host: Host, profile: Profile) -> Counter[str]:
    return Counter(check.status for check in audit.hardware(host, profile))


def test_every_check_says_what_was_expected_and_seen_and_what_to_do() -> None:
    for check in [*audit.hardware(owner(), box()), *audit.hardware(plain(), embedded())]:
        assert check.name.startswith("hardware.")
        assert check.title
        assert check.expected, check.name
        assert check.observed, check.name
        assert check.fix or check.status == "pass", check.name


def test_names_are_unique_and_each_belongs_to_one_group() -> None:
    found = audit.hardware(owner(), box())
    names = [check.name for check in found]
    assert len(names) == len(set(names))
    grouped = [check.name for title in audit.GROUPS for check in audit.group(found, title)]
    assert sorted(grouped) == sorted(names)


def test_the_list_stays_readable() -> None:
    shown = [check for check in audit.hardware(owner(), box()) if not check.name.startswith("hardware.checklist")]
    assert 25 <= len(shown) <= 45
    assert len(audit.hardware(plain(), embedded())) <= 20


def test_a_recorded_machine_is_marked_as_such_and_a_live_one_is_not() -> None:
    assert {check.provenance.where for check in audit.hardware(owner(), box())} == {"recorded"}
    assert {check.provenance.where for check in audit.hardware(LiveHost(), embedded())} == {"host"}


def test_the_owners_box() -> None:
    found = audit.hardware(owner(), box())
    assert named(found, "hardware.memory.speed").status == "warn"
    assert named(found, "hardware.ups.capacity").status == "fail"
    failed = {check.name for check in found if check.status == "fail"}
    assert failed <= {"hardware.ups.capacity"}, "all else is as he describes it"
    assert all(check.status == "warn" for check in audit.group(found, "What software cannot see"))


@pytest.mark.parametrize("host", [plain(), LiveHost()], ids=["plain", "this machine"])
def test_a_strangers_machine_does_not_fail_the_embedded_profile(host: Host) -> None:
    failed = [check for check in audit.hardware(host, embedded()) if check.status == "fail"]
    assert {check.name for check in failed} <= {"hardware.memory.total", "hardware.disk.free"}


def test_a_small_machine_does() -> None:
    small = {"/proc/meminfo": "MemTotal:        4028412 kB\n"}
    full = {"df": "Filesystem Type Avail Mounted on\n/dev/vda ext4 1000000000 /\n"}
    found = audit.hardware(Changed(plain(), commands=full, files=small), embedded())
    failed = {check.name for check in found if check.status == "fail"}
    assert failed == {"hardware.memory.total", "hardware.disk.free"}


@pytest.mark.parametrize("profile", profiles.names())
@pytest.mark.parametrize("host", [Changed(), plain(), owner()], ids=["nothing", "plain", "owner"])
def test_any_profile_on_any_machine_gives_checks(host: Host, profile: str) -> None:
    assert counted(host, profiles.load(profile)).total() >= 8


TOOLS = ("lscpu", "dmidecode", "lspci", "lsblk", "df", "nvme", "smartctl", "upsc", "zpool")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "said", [MISSING, FORBIDDEN, Output(None, reason="timeout"), Output(0, ""), Output(1, "", "?")]
)
def test_no_tool_is_needed(tool: str, said: Output) -> None:
    usual = {check.name: check.status for check in audit.hardware(owner(), box())}
    found = audit.hardware(Changed(owner(), commands={tool: said}), box())
    worse = [check for check in found if check.status == "fail" and usual.get(check.name) != "fail"]
    # Without lsblk no disk is known, so those that the profile expects are not there to be judged.
    assert not [check for check in worse if not check.name.startswith("hardware.gpu")]


def test_each_tool_runs_once() -> None:
    ran: list[tuple[str, ...]] = []

    class Counting(RecordedHost):
        def run(self, *argv: str, timeout: float = 15) -> Output:
            ran.append(argv)
            return super().run(*argv, timeout=timeout)

    audit.hardware(Counting(owner().folder), box())
    assert len(ran) == len(set(ran)) > 5


def test_facts_name_the_parts_and_no_serial_number() -> None:
    facts = audit.facts(owner())
    assert facts["Board"] == "Gigabyte Technology Co., Ltd. X870 EAGLE WIFI7, firmware F8 07/30/2025"
    assert "RTX PRO 6000 Blackwell" in facts["Graphics"]
    assert facts["Memory"] == "125.6 GiB in 4 modules"
    assert set(audit.facts(Changed()).values()) == {"not told", "none on the PCI bus"}


@fuzz
@given(st.dictionaries(st.sampled_from(TOOLS), st.text(max_size=200)))
def test_garbage_from_any_tool_never_raises(said: dict[str, str]) -> None:
    assert audit.hardware(Changed(plain(), commands=dict(said)), box())
