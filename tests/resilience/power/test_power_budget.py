"""The run time that the way down takes, and what the UPS says to it."""

from pathlib import Path

import pytest

from lib.core import profile as profiles
from lib.core.sections import PowerSupply
from lib.deploy.ups import files
from lib.deploy.ups.files import Place
from lib.host.probe import RecordedHost
from lib.resilience.power import budget


def ups(folder: Path, readings: str) -> RecordedHost:
    (folder / "commands").mkdir()
    (folder / "host.json").write_text('{"kind": "constructed"}')
    (folder / "commands/list.txt").write_text("$ upsc -l\nups\n")
    (folder / "commands/ups.txt").write_text(f"$ upsc ups\n{readings}")
    return RecordedHost(folder)


def test_the_whole_way_is_the_sum_of_its_steps() -> None:
    p = PowerSupply(poll_s=1, drain_s=2, stop_s=3, shutdown_s=4, margin_s=5)
    assert budget.need(p) == 15
    assert len(budget.phases(p)) == 5


def test_the_run_time_falls_with_the_load() -> None:
    assert budget.at_load(900, 40, 80) == 450
    assert budget.at_load(900, 0, 80) == 900


@pytest.mark.parametrize(("runtime", "status"), [("2000", "pass"), ("300", "fail")])
def test_what_the_ups_tells_is_taken_to_full_load(tmp_path: Path, runtime: str, status: str) -> None:
    told = f"battery.runtime: {runtime}\nups.load: 30\nups.realpower.nominal: 1000\nups.status: OL\n"
    found = budget.check(ups(tmp_path, told), profiles.load("rtx-pro-6000"))
    # 450 W of the card, 304 W of the other one, 170 W of the processor, of 1000 W.
    assert "at 92 %" in found.observed
    assert found.status == status


def test_without_a_ups_it_is_a_warning_where_one_is_expected(tmp_path: Path) -> None:
    nothing = ups(tmp_path, "")
    assert budget.check(nothing, profiles.load("rtx-pro-6000")).status == "warn"
    assert budget.check(nothing, profiles.load("embedded")).status == "skip"


def test_nut_listens_on_this_host_alone_and_cancels_what_is_over() -> None:
    rendered = files.nut(PowerSupply(), Place(driver="usbhid-ups", port="auto", secret="s3cr3t"))
    assert "LISTEN 127.0.0.1 3493" in rendered["upsd.conf"]
    assert [name for name, text in rendered.items() if "s3cr3t" in text] == ["upsd.users", "upsmon.conf"]
    timers = {line.split()[-2] for line in rendered["upssched.conf"].splitlines() if "START-TIMER" in line}
    cancelled = {line.split()[-1] for line in rendered["upssched.conf"].splitlines() if "CANCEL-TIMER" in line}
    assert timers == cancelled == {"drained", "stable"}
