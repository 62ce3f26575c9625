"""The comparison as a page: everything that changed is on it, escaped, and nothing is loaded."""

import math
import re
from pathlib import Path

import pytest
from report.compare.compared_runs import HOSTILE, build
from typer.testing import CliRunner

from lib.cli import app
from lib.core.errors import RunbookError
from lib.report.compare import page
from lib.report.compare.differences import Comparison, Run, compare
from lib.report.compare.scale import NARROWEST, WIDEST, Axis


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return build(tmp_path)


@pytest.fixture
def sides(runs: tuple[Path, Path]) -> tuple[Run, Run]:
    return Run.read(runs[0]), Run.read(runs[1])


@pytest.fixture
def rendered(sides: tuple[Run, Run]) -> str:
    return page.render(*sides, compare(*sides))


def test_the_verdict_counts_what_changed(sides: tuple[Run, Run]) -> None:
    assert page.verdict(compare(*sides)) == (
        "1 regression, 2 improvements and 1 other change among 6 measurements of both runs. "
        "1 fact, 2 checks and 1 decision changed."
    )


def test_of_the_same_run_twice_it_says_that_nothing_changed(sides: tuple[Run, Run]) -> None:
    found = compare(sides[0], sides[0])
    told = "No difference shows in 7 measurements of both runs. Facts, checks and decisions are the same."
    assert page.verdict(found) == told
    assert page.render(sides[0], sides[0], found).count("<p>The same.</p>") == 3


def test_runs_with_nothing_in_common() -> None:
    assert page.verdict(Comparison([], [], [], [], [], [])).startswith("The runs have no measurement in common.")


def test_facts_checks_and_decisions_stand_side_by_side(rendered: str) -> None:
    assert re.search(r'<th scope="row">vllm</th><td>vllm 0.32.0</td><td>vllm 0.33.0</td>', rendered)
    smoke = re.search(r'<th scope="row">serving.smoke</th>(.*?)</tr>', rendered)
    assert smoke
    assert "rb-pass" in smoke[1]
    assert "rb-fail" in smoke[1]
    assert rendered.index("serving.smoke") < rendered.index("new.one"), "the worst stands first"
    assert "not recorded" in rendered


def test_measurements_are_told_with_both_intervals_and_how_far_apart_they_are(rendered: str) -> None:
    row = re.search(r"<tr><td>TTFT, median.*?</tr>", rendered, re.S)
    assert row
    for told in ("concurrency 32", "qwen3-30b-a3b", "76 … 84", "100 … 108", "× 1.3", "batching.median_ttft_ms"):
        assert told in row[0], told
    assert 'aria-label="1.3 times, 1.19 to 1.421"' in row[0]
    assert "Regressions: 1</h3>" in rendered
    assert "Only in A: 1" in rendered
    assert "old.latency" in rendered
    assert "new.latency" in rendered


def test_what_is_not_comparable_has_no_bar_and_no_ratio(rendered: str) -> None:
    row = re.search(r"<tr><td>fits.plain.*?</tr>", rendered, re.S)
    assert row
    assert "svg" not in row[0]
    assert "×" not in row[0]


def test_a_bar_that_leaves_the_axis_says_so(rendered: str) -> None:
    row = re.search(r"<tr><td>swap.extreme.*?</tr>", rendered, re.S)
    assert row
    assert "beyond the axis" in row[0]


def test_it_is_one_file_that_loads_and_runs_nothing(rendered: str) -> None:
    assert HOSTILE not in rendered
    assert "&lt;script&gt;" in rendered
    assert "<script" not in rendered
    assert not re.search(r"\b(?:src|href)=\"(?!#)", rendered)
    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in rendered
    assert len(rendered) < 100_000


def test_the_command_writes_it_beside_the_lines(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "pages" / "compared.html"
    result = CliRunner().invoke(app, ["compare", str(runs[0]), str(runs[1]), "--html", str(out)])
    assert result.exit_code == 0
    assert "regression   batching.median_ttft_ms" in result.output
    assert result.output.splitlines()[-1] == str(out)
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_a_runs_folder_is_sealed_and_takes_no_page(runs: tuple[Path, Path]) -> None:
    with pytest.raises(RunbookError, match="sealed"):
        page.refuse_inside(runs[1] / "artifacts" / "x.html", *runs)
    page.refuse_inside(runs[1].parent / "x.html", *runs)


def test_a_file_that_cannot_be_written_is_an_error(sides: tuple[Run, Run], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunbookError, match="cannot write"):
        page.write(*sides, compare(*sides), tmp_path / "file" / "x.html")


def test_on_the_axis_twice_and_half_are_equally_far_from_the_middle() -> None:
    axis = Axis.of([(0.5, 1.0), (1.1, 1.9)])
    assert axis.limit == pytest.approx(2)
    assert axis.ends == ("× 0.5", "× 2")
    assert axis.bar((0.5, 2), 1) == (0, 50, 100, False)
    assert axis.bar((0.1, 2), math.sqrt(2)) == (0, 75, 100, True)


def test_the_axis_has_bounds() -> None:
    assert Axis.of([]).limit == NARROWEST
    assert Axis.of([(0.999, 1.001)]).limit == NARROWEST
    assert Axis.of([(1, 1000)]).limit == WIDEST
