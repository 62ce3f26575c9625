"""Reference bundles: portable, small, the same bytes every time, refused where they would not be honest."""

import json
import re
import shutil
from pathlib import Path

import pytest
from report import sample_reference

from lib import cli
from lib.core import evidence, paths
from lib.core.errors import Exit, RunbookError
from lib.core.evidence import Check
from lib.report import bundle, portable, reference
from lib.report.reference import MAX_BYTES

NAME = sample_reference.NAME


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return sample_reference.bundles(tmp_path) / NAME


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_bundle_has_its_files_and_each_is_small(made: Path) -> None:
    files = content(made)
    assert set(files) == {
        "README.md",
        "evidence.jsonl",
        "host.json",
        *(f"bench/run1-06_batching-load-c{c}.json" for c in (1, 64, 256)),
        *(f"bench/run2-06_batching-load-c{c}.json" for c in (1, 4, 64)),
        "log/run1-05_serving-engine.txt",
    }
    assert max(map(len, files.values())) < MAX_BYTES


def test_nothing_of_the_other_machine_travels(made: Path) -> None:
    for name, data in content(made).items():
        text = data.decode()
        assert sample_reference.HOME not in text, name
        assert not re.search(r"(?<![\w.:/…])/(?:tmp|mnt|root|home|work)/", text), name
        assert str(paths.ROOT) not in text, name
        assert "private" not in text, name
    records = (made / "evidence.jsonl").read_text()
    assert "ready, log in runbook/runs/x/engine.log and …/else.log" in records
    assert '"command": ".venv/bin/python -m vllm --port 8000"' in records


def test_records_keep_their_machine_and_name_only_files_that_are_there(made: Path) -> None:
    records = evidence.read(made / "evidence.jsonl")
    assert {record.provenance.host for record in records} == {"0123456789ab"}
    artifacts = [artifact for record in records for artifact in record.provenance.artifacts]
    assert len(artifacts) == 8
    assert all(evidence.sha256(made / artifact.path) == artifact.sha256 for artifact in artifacts)


def test_results_of_benchmarks_lose_their_lists_of_single_requests(made: Path) -> None:
    result = json.loads((made / "bench" / "run1-06_batching-load-c64.json").read_text())
    assert result["output_throughput"] == 2915.0
    assert result["percentiles"] == [1, 2, 3]
    assert result.keys().isdisjoint({"ttfts", "queue_times", "generated_texts", "new_list_of_a_later_version"})
    assert result["tokenizer_id"] == ".cache/models/qwen"


def test_the_log_keeps_what_decides_and_every_warning_once(made: Path) -> None:
    lines = (made / "log" / "run1-05_serving-engine.txt").read_text().splitlines()
    assert len(lines) == 5
    for kept in ("Resolved architecture", "V1 LLM engine", "FLASH_ATTN", "no file vllm/x.json", "763,040 tokens"):
        assert sum(kept in line for line in lines) == 1


def test_a_log_is_bounded() -> None:
    line = "(EngineCore pid=8) WARNING 11-01 10:00:04 [moe.py:1] shape {} is not tuned"
    told = portable.engine_log("\n".join(line.format(number) for number in range(5000)) + "\n" + "x" * 100)
    assert len(told.splitlines()) == portable.MOST_LINES + 1
    assert told.endswith("4800 more decisive lines are left out\n")
    long = portable.engine_log("INFO:     Application startup complete. " + "x" * 9000)
    assert len(long) < portable.LONGEST_LINE + 10


@pytest.mark.parametrize(
    ("text", "travels"),
    [
        ("/data/models/qwen/config.json", "…/config.json"),
        ("/workspace/x/.venv/bin/python -m y", ".venv/bin/python -m y"),
        ("open('/opt/p/lib/python3.12/site-packages/vllm/a.py')", "open('vllm/a.py')"),
        ("/scratch/p/lib/python3.12/site-packages/vllm/a.py", "vllm/a.py"),
        ("/proc/cpuinfo, /etc/sysctl.d/60.conf, /v1/chat/completions", None),
        ("https://docs.vllm.ai/en/stable/usage/security 1/2/3 tok/s/W", None),
        ("http://127.0.0.1:8000/health", None),
        ("10.1.2.3", "192.0.2.1"),
    ],
)
def test_paths_are_shortened_and_what_every_machine_has_stays(text: str, travels: str | None) -> None:
    assert portable.text(text) == (text if travels is None else travels)


def test_host_json_tells_machine_weights_and_runs(made: Path) -> None:
    machine = reference.load(made).machine
    assert (machine.card, machine.driver, machine.engine) == ("Sample H999", "580.159.04", "vllm 0.26.0")
    assert machine.date == "2026-11-01"
    assert machine.weights == {"gpt-oss-120b": "random", "qwen3-30b-a3b": "random"}
    assert [run.overrides["models.served"] for run in machine.runs] == ["qwen3-30b-a3b", "gpt-oss-120b"]
    readme = (made / "README.md").read_text()
    for told in (
        "Sample H999; driver 580.159.04",
        "qwen3-30b-a3b: random weights",
        "`python -m lib run --profile h200 --only 05,06 --set models.served=gpt-oss-120b",
        "6 results",
        "1 log of",
    ):
        assert told in readme


def test_in_a_container_the_card_is_named_by_the_audit(tmp_path: Path) -> None:
    run = sample_reference.run(tmp_path / "run", gpus="none")
    seen = Check(name="hardware.gpu.present", status="pass", observed="NVIDIA Sample")
    evidence.append(run / "evidence.jsonl", [seen])
    assert reference.load(bundle.write([run], "one", tmp_path / "out")).machine.card == "NVIDIA Sample"


def test_the_same_runs_give_the_same_bytes_in_any_order_and_twice_named(tmp_path: Path) -> None:
    first = sample_reference.bundles(tmp_path) / NAME
    runs = [tmp_path / "runs" / "2", tmp_path / "runs" / "1", tmp_path / "runs" / "2"]
    assert content(bundle.write(runs, NAME, tmp_path / "again")) == content(first)


def test_a_bundle_is_replaced_whole(tmp_path: Path, made: Path) -> None:
    bundle.write([sample_reference.run(tmp_path / "other")], NAME, made.parent)
    assert not list(made.glob("bench/run2-*"))
    assert [path.name for path in made.parent.iterdir()] == [NAME]


def test_what_a_later_run_reused_counts_once(tmp_path: Path) -> None:
    first = sample_reference.run(tmp_path / "1")
    later = Path(shutil.copytree(first, tmp_path / "2"))
    state = json.loads((later / "run.json").read_text())
    state |= {"id": "2026-11-01T11-00-00-h200", "started": "2026-11-01T11:00:00Z"}
    (later / "run.json").write_text(json.dumps(state))
    made = bundle.write([first, later], "both", tmp_path / "out")
    assert len(reference.load(made).records) == 6
    assert len(list(made.glob("bench/*"))) == 3


def test_a_run_that_was_cut_short_gives_what_its_last_chapter_had_recorded(tmp_path: Path) -> None:
    cut = sample_reference.run(tmp_path / "cut", complete=False)
    state = json.loads((cut / "run.json").read_text())
    state["chapters"][-1] |= {"status": "interrupted", "stem": "06_batching"}
    (cut / "run.json").write_text(json.dumps(state))
    lines = (cut / "evidence.jsonl").read_text().splitlines(keepends=True)
    (cut / "chapters").mkdir(exist_ok=True)
    (cut / "chapters" / "06_batching.jsonl").write_text("".join(lines[3:]))
    (cut / "evidence.jsonl").write_text("".join(lines[:3]))
    made = reference.load(bundle.write([cut], NAME, tmp_path / "out", cut_short=True))
    assert len(made.records) == len(lines)
    assert made.machine.runs[0].failed == [state["chapters"][-1]["id"]]


def test_refused(tmp_path: Path) -> None:
    whole = sample_reference.run(tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(RunbookError, match="no run here"):
        bundle.write([tmp_path / "nowhere"], NAME, out)
    with pytest.raises(RunbookError, match="is not complete"):
        bundle.write([sample_reference.run(tmp_path / "cut", hour=11, complete=False)], NAME, out)
    with pytest.raises(RunbookError, match="no name for a bundle"):
        bundle.write([whole], "../elsewhere", out)
    with pytest.raises(RunbookError, match="there is no run"):
        bundle.write([], NAME, out)
    other = sample_reference.run(tmp_path / "other", hour=11, gpus="Sample H998", memory="1 GiB")
    with pytest.raises(RunbookError, match="different machines: gpus, memory differ"):
        bundle.write([whole, other], NAME, out)
    empty = sample_reference.run(tmp_path / "empty")
    (empty / "evidence.jsonl").write_text("")
    with pytest.raises(RunbookError, match="has no evidence"):
        bundle.write([empty], NAME, out)
    assert not out.exists()


def test_a_file_over_the_limit_is_refused_and_leaves_the_old_bundle(tmp_path: Path, made: Path) -> None:
    before = content(made)
    run = sample_reference.run(tmp_path / "big")
    evidence.append(run / "evidence.jsonl", [Check(name="a.b", status="pass", observed="x" * MAX_BYTES)])
    with pytest.raises(RunbookError, match=r"evidence\.jsonl would have 1\.0 MB"):
        bundle.write([run], NAME, made.parent)
    assert content(made) == before


def test_a_secret_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    run = sample_reference.run(tmp_path / "leak")
    evidence.append(run / "evidence.jsonl", [Check(name="a.b", status="pass", observed="hf_" + "a" * 34)])
    with pytest.raises(RunbookError, match=r"evidence\.jsonl would hold a secret \(Hugging Face token\)"):
        bundle.write([run], NAME, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_damaged_bundles_name_the_place_and_the_others_are_read(tmp_path: Path, made: Path) -> None:
    folder = made.parent
    for name in ("moved", "broken", "lines", "bare"):
        shutil.copytree(made, folder / name)
    (folder / "broken" / "host.json").write_text('{"schema": 1}')
    host = (folder / "lines" / "host.json").read_text().replace(NAME, "lines")
    (folder / "lines" / "host.json").write_text(host)
    with (folder / "lines" / "evidence.jsonl").open("a") as file:
        file.write("{}\n")
    (folder / "bare" / "host.json").unlink()
    (folder / "a-file").write_text("")
    bundles, problems = reference.load_all(folder)
    assert [bundle.name for bundle in bundles] == [NAME]
    told = "\n".join(str(problem) for problem in problems)
    for expected in ("calls itself", "broken/host.json, name", "evidence.jsonl, line 13", "a bundle has a host.json"):
        assert expected in told
    assert reference.load_all(tmp_path / "nowhere") == ([], [])


def test_a_real_run_of_chapters_can_be_bundled(sample: Path, tmp_path: Path) -> None:
    made = bundle.write([sample], "sample", tmp_path)
    read = reference.load(made)
    assert len(read.records) > 10
    assert read.machine.weights == {"sample": "random"}
    assert read.machine.runs[0].failed == ["01", "02", "03"]


def test_the_command_writes_a_bundle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def call(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["lib", "reference", *words, "--folder", str(tmp_path / "out")])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    runs = [str(sample_reference.run(tmp_path / str(hour), hour=hour)) for hour in (10, 11)]
    assert call(*runs, NAME) == Exit.GREEN
    assert capsys.readouterr().out.strip().endswith(NAME)
    assert len(reference.load(tmp_path / "out" / NAME).machine.runs) == 2
    assert call(str(tmp_path / "nowhere"), NAME) == Exit.BAD_INPUT
    assert "no run here" in capsys.readouterr().err


def test_committed_bundles_can_be_read_and_are_small() -> None:
    bundles, problems = reference.load_all()
    assert problems == []
    for made in bundles:
        for name, data in content(reference.FOLDER / made.name).items():
            assert len(data) <= MAX_BYTES, name
