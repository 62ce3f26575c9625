"""Published figures: typed, each with its source, and a mistake names its place."""

from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.engine.models import catalogue
from lib.report import beside, published

GOOD = """\
read: 2026-11-23
sources:
  one: {title: One, url: https://example.org/one, published: 2026-01-28}
  two: {title: Two, url: https://example.org/two, published: 2026-01}
  old: {title: Old, url: https://example.org/old}
figures:
  - {quantity: batching.output_throughput, hardware: X, value: 1, unit: tok/s, source: one}
  - {quantity: batching.output_throughput, hardware: X, value: 1, unit: tok/s, source: two}
  - {quantity: batching.output_throughput, hardware: X, value: 1, unit: tok/s, source: old}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "published.yml"
    path.write_text(text)
    return path


def test_the_file_of_the_runbook_is_whole() -> None:
    found = published.load()
    assert len(found.figures) > 40
    assert {figure.source for figure in found.figures} == set(found.sources)
    known = catalogue.load()
    assert [figure.model for figure in found.figures if figure.model and figure.model not in known] == []
    assert {figure.quantity for figure in found.figures} <= set(beside.QUANTITIES)
    settings = [(figure.quantity, beside.settings(figure), figure.unit) for figure in found.figures]
    assert len(settings) == len(set(settings)), "two figures for the same settings"


def test_a_date_is_the_sources_own_or_the_day_of_reading(tmp_path: Path) -> None:
    found = published.load(written(tmp_path, GOOD))
    assert [found.date(figure) for figure in found.figures] == ["2026-01-28", "2026-01", "read on 2026-11-23"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("value: 1, unit: tok/s, source: two", "value: fast, unit: tok/s, source: two", r"figure 2 \(batching.*value"),
        ("source: two}", "source: tow}", "unknown source 'tow'"),
        ("source: two}", "source: tow}", r"figure 2 .*, source\n  did you mean: two"),
        ("hardware: X, value: 1, unit: tok/s, source: old", "hardwere: X, value: 1, unit: s, source: old", "hardware"),
        ("hardware: X, value: 1, unit: tok/s, source: one", "hardware: X, concurency: 1, value: 1, source: one",
         "did you mean: concurrency"),
        ("url: https://example.org/one", "url: ftp://example.org/one", r"sources\.one\.url"),
        ("url: https://example.org/one", "link: https://example.org/one", r"sources\.one"),
        ("published: 2026-01}", "published: January}", r"sources\.two\.published"),
        ("figures:", "figures: [", "not valid YAML"),
        ("read: 2026-11-23", "red: 2026-11-23", "did you mean: read"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(RunbookError, match=told):
        published.load(written(tmp_path, GOOD.replace(old, new)))


def test_a_missing_file_and_one_that_is_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no file of published figures"):
        published.load(tmp_path / "none.yml")
    with pytest.raises(RunbookError, match="a published figure is wrong"):
        published.load(written(tmp_path, "[]"))
    with pytest.raises(RunbookError, match="figure 1"):
        published.load(written(tmp_path, "read: 2026-11-23\nsources: {}\nfigures: [a]\n"))
