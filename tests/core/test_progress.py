"""What the person at the terminal sees, with and without a terminal."""

import pytest
from rich.console import Console

from lib.core.evidence import Check
from lib.core.progress import Progress


def test_without_a_terminal_only_lines_that_stay(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=2)
    progress.begin("05 Serving", expected=70)
    progress.section("Measure")
    progress.end("passed", 65)
    progress.begin("06 Batching", expected=200)
    progress.end("skipped", 0, "needs 05")
    assert capsys.readouterr().out.splitlines() == [
        "[1/2] 05 Serving … expected 70 s",
        "[1/2] 05 Serving passed in 65 s",
        "[2/2] 06 Batching … expected 3 min",
        "[2/2] 06 Batching skipped (needs 05)",
    ]


def test_the_live_line_tells_section_and_time() -> None:
    progress = Progress(total=3)
    progress.begin("05 Serving", expected=70)
    progress.section("Measure")
    console = Console(width=120)
    with console.capture() as shown:
        console.print(progress)
    progress.stop()
    assert "[1/3] 05 Serving · Measure 0 s of about 70 s" in shown.get()


def test_a_failed_check_says_what_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    check = Check(
        name="demo.room", title="There is room", status="fail", expected="6 GB free", observed="[2] GB", fix="make room"
    )
    Progress(total=1).failed(check)
    assert capsys.readouterr().out == "      demo.room: There is room: expected 6 GB free; observed [2] GB\n"
