"""This run beside other machines: what shares a row, what is marked as other settings, what is not claimed."""

import shutil
from pathlib import Path

import pytest
from report import sample_reference

from lib.core import evidence
from lib.core.evidence import Measurement, Provenance
from lib.core.state import read_state
from lib.report import beside, beside_figure, published, reference
from lib.report.beside import Beside, Group
from lib.report.published import Figure, Published, Source
from lib.report.render import render

THROUGHPUT = "batching.output_throughput"
QWEN = {"title": "Qwen3-30B-A3B", "model": "qwen3-30b-a3b", "stack": "vLLM", "hardware": "Sample", "source": "one"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_reference.bundles(tmp_path_factory.mktemp("bundles"))


def laid(run: Path, bundles: Path, figures: Published | None = None) -> Beside:
    read, problems = reference.load_all(bundles)
    return beside.compare(
        read_state(run), evidence.read(run / "evidence.jsonl"), read, figures or published.load(), problems
    )


def named(groups: list[Group], title: str) -> Group:
    return next(group for group in groups if group.title == title)


def cited(**fields: object) -> Published:
    figure = Figure.model_validate({"quantity": THROUGHPUT, "value": 1000, "unit": "tok/s", **QWEN, **fields})
    return Published(
        read="2026-11-23", sources={"one": Source(title="One", url="https://example.org")}, figures=[figure]
    )


def test_the_same_setting_shares_a_row_and_another_has_its_own(tmp_path: Path, bundles: Path) -> None:
    run = sample_reference.run(tmp_path / "run", points=((64, 1500.0), (128, 1800.0)))
    group = named(laid(run, bundles).both, "Output throughput, Qwen3-30B-A3B")
    values = {
        row.conditions["concurrency"]: (row.here and row.here.value, row.there[0] and row.there[0].value)
        for row in group.rows
    }
    assert values == {1: (None, 224.0), 64: (1500.0, 2915.0), 128: (1800.0, None), 256: (None, 5725.0)}
    assert [row.shared for row in group.rows] == [False, True, False, False]


def test_other_lengths_are_other_rows(tmp_path: Path, bundles: Path) -> None:
    run = sample_reference.run(tmp_path / "run", lengths=(1024, 128))
    group = named(laid(run, bundles).both, "Output throughput, Qwen3-30B-A3B")
    assert len(group.rows) == 6
    assert not any(row.shared for row in group.rows)


def test_another_model_shares_nothing_but_the_machine(tmp_path: Path, bundles: Path) -> None:
    found = laid(sample_reference.run(tmp_path / "run", "qwen3-32b"), bundles)
    assert [group.title for group, _ in found.shared] == ["Memory bandwidth, read"]
    assert "Output throughput, gpt-oss-120b" in [group.title for group in found.there]


def test_models_of_one_architecture_stand_in_one_table_but_not_in_one_row(tmp_path: Path, bundles: Path) -> None:
    found = laid(sample_reference.run(tmp_path / "run", "qwen3-coder-30b-a3b"), bundles)
    group = named(found.both, "Output throughput, Qwen3-30B-A3B")
    assert group.models == ["qwen3-30b-a3b", "qwen3-coder-30b-a3b"]
    assert not any(row.shared for row in group.rows)


def test_published_figures_of_the_architecture_are_marked_as_other_settings(tmp_path: Path, bundles: Path) -> None:
    group = named(laid(sample_reference.run(tmp_path / "run"), bundles).both, "Output throughput, Qwen3-30B-A3B")
    assert [figure.value for figure in group.others] == [9938, 3621, 1914, 374, 4218]
    assert beside.settings(group.others[0]) == (
        "Qwen3-30B-A3B FP4, TensorRT-LLM, RTX PRO 6000 Server, 1000 in, 1000 out, maximum load"
    )


def test_machines_share_a_row_whatever_they_are_and_whatever_was_found(tmp_path: Path, bundles: Path) -> None:
    run = sample_reference.run(tmp_path / "run", gpus="Sample RTX")
    row = named(laid(run, bundles).both, "Memory bandwidth, read").rows[0]
    assert row.shared
    assert row.conditions == {"kind": "read"}
    assert [beside.found(m) for m in (row.here, *row.there) if m] == ["Sample RTX", "Sample H999"]
    gain = Measurement(
        name="tuner.gain",
        value=1.2,
        unit="×",
        conditions={"concurrency": 64, "configuration": "a", "verdict": "faster"},
        provenance=Provenance(model="qwen3-30b-a3b", weights="random", engine="vllm 0.26.0"),
    )
    assert beside.found(gain) == "a, faster, vllm 0.26.0, random weights"


SAME = {"format": "bfloat16", "concurrency": 64, "input_tokens": 512, "output_tokens": 128}


@pytest.mark.parametrize(
    "different",
    [
        {"format": "FP8"},
        {"concurrency": 32},
        {"input_tokens": 1000},
        {"output_tokens": None},
        {"setting": "peak"},
        {"power_w": 300},
        {"kind": "specification"},
        {"model": "qwen3-coder-30b-a3b"},
    ],
)
def test_a_published_figure_shares_a_row_only_if_every_setting_is_the_same(
    tmp_path: Path, bundles: Path, different: dict[str, object]
) -> None:
    run = sample_reference.run(tmp_path / "run")
    same = named(laid(run, bundles, cited(**SAME)).both, "Output throughput, Qwen3-30B-A3B")
    assert [len(row.published) for row in same.rows] == [0, 1, 0]
    assert same.others == []
    other = named(laid(run, bundles, cited(**SAME | different)).both, "Output throughput, Qwen3-30B-A3B")
    assert [len(row.published) for row in other.rows] == [0, 0, 0]
    assert len(other.others) == 1


def test_every_published_figure_is_shown_once(tmp_path: Path, bundles: Path) -> None:
    for folder in (bundles, tmp_path / "none"):
        found = laid(sample_reference.run(tmp_path / folder.name), folder)
        shown = [f for group in [*found.both, *found.there] for f in group.others] + found.rest
        assert sorted(map(id, shown)) == sorted(map(id, found.published.figures if found.published else []))


def test_the_last_of_several_measurements_of_one_setting_holds(tmp_path: Path, bundles: Path) -> None:
    run = sample_reference.run(tmp_path / "run")
    again = Measurement(
        name="roofline.bandwidth",
        title="Memory bandwidth, read",
        value=1,
        unit="GB/s",
        conditions={"kind": "read", "device": "Sample H999"},
        provenance=Provenance(chapter="06", host="0123456789ab"),
    )
    other = again.model_copy(update={"value": 2, "provenance": again.provenance.model_copy(update={"where": "cited"})})
    evidence.append(run / "evidence.jsonl", [again, other])
    row = named(laid(run, bundles).both, "Memory bandwidth, read").rows[0]
    assert row.here
    assert row.here.value == 1


def test_the_figure_has_the_references_this_host_and_published_points(tmp_path: Path, bundles: Path) -> None:
    drawn = beside_figure.throughput(laid(sample_reference.run(tmp_path / "run"), bundles), 7)
    assert drawn
    assert drawn.number == 7
    assert drawn.heads == [
        "requests at a time",
        "Qwen3-30B-A3B 512/128, Sample H999",
        "gpt-oss-120b 512/128, Sample H999",
        "Qwen3-30B-A3B 512/128, this host",
        "Qwen3-Coder-30B-A3B AWQ, RTX PRO 6000, published",
        "gpt-oss-120b MXFP4, RTX PRO 6000, published",
    ]
    assert [row[0] for row in drawn.rows] == ["1", "4", "64", "256", "400"]
    assert "other settings" in drawn.caption


def test_without_bundles_there_is_no_figure(tmp_path: Path) -> None:
    assert beside_figure.throughput(laid(sample_reference.run(tmp_path / "run"), tmp_path / "none"), 1) is None


def test_many_series_are_cut_and_nothing_measured_is_no_point(tmp_path: Path) -> None:
    runs = [
        sample_reference.run(tmp_path / str(n), hour=n, lengths=(n, 1), points=((1, 5.0), (2, 0.0)))
        for n in range(1, 9)
    ]
    sample_reference.bundle.write(runs, "many", tmp_path / "out")
    drawn = beside_figure.throughput(laid(runs[0], tmp_path / "out", cited()), 1)
    assert drawn
    assert "the 6 series with the most points, 2 more are in the tables" in drawn.caption
    assert [row[0] for row in drawn.rows] == ["1"]


def test_bundles_of_the_same_card_are_told_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        sample_reference.bundle.write([sample_reference.run(tmp_path / name)], name, tmp_path / "out")
    found = laid(tmp_path / "one", tmp_path / "out")
    assert found.heads == ["Sample H999 (one)", "Sample H999 (two)"]
    drawn = beside_figure.throughput(found, 1)
    assert drawn
    assert drawn.heads[1:3] == ["Qwen3-30B-A3B 512/128, one", "Qwen3-30B-A3B 512/128, two"]


def shown(run: Path, bundles: Path) -> str:
    return render(run, run / "out.html", bundles).read_text()


def test_the_document_says_that_a_processor_is_not_comparable(sample: Path, tmp_path: Path, bundles: Path) -> None:
    page = render(sample, tmp_path / "x.html", bundles).read_text()
    assert "its speeds are not comparable with those of a graphics card" in page
    assert 'id="beside-front"' not in page
    for told in ("Measured only there", "Sample H999", "random weights", "NVIDIA driver", "580.159.04", "9 938 tok/s"):
        assert told in page.replace("\u2009", " ").replace("\u202f", " ").replace("\u00a0", " "), told


def test_the_front_page_has_the_rows_in_common(tmp_path: Path, bundles: Path) -> None:
    page = shown(sample_reference.run(tmp_path / "run", gpus="Sample RTX"), bundles)
    front = page.partition('id="beside-front"')[2].partition("</section>")[0]
    assert "not comparable" not in page.partition('id="beside"')[2]
    assert front.count("<tr>") == 6
    assert front.count("random weights") == 8


def test_without_bundles_the_published_figures_stand_alone(sample: Path, tmp_path: Path) -> None:
    page = render(sample, tmp_path / "x.html", tmp_path / "none").read_text()
    assert "only published figures are shown" in page
    assert "https://nvidia.github.io/TensorRT-LLM/developer-guide/perf-overview.html" in page
    assert "read on 2026-11-23" in page


def test_what_cannot_be_read_is_told_and_the_document_is_written(
    sample: Path, tmp_path: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = Path(shutil.copytree(bundles, tmp_path / "bundles"))
    (damaged / sample_reference.NAME / "host.json").write_text("{}")
    monkeypatch.setattr(published.load, "__defaults__", (tmp_path / "none.yml",))
    page = render(sample, tmp_path / "x.html", damaged).read_text()
    assert "Left out: damaged host.json" in page
    assert "Left out: there is no file of published figures" in page


def test_text_of_a_bundle_is_escaped(sample: Path, tmp_path: Path) -> None:
    run = sample_reference.run(tmp_path / "run", gpus="<script>alert(1)</script>")
    sample_reference.bundle.write([run], "one", tmp_path / "out")
    page = render(sample, tmp_path / "x.html", tmp_path / "out").read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
