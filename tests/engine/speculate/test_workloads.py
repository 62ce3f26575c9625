"""The workloads are there, readable by vLLM's client, and fit the small model's context."""

import json
from pathlib import Path

import pytest

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.engine.speculate import workloads


def test_three_workloads_each_with_enough_prompts() -> None:
    assert workloads.names() == ["chat", "code", "repetition"]
    assert set(workloads.TITLES) == set(workloads.names())
    for name in workloads.names():
        prompts = workloads.prompts(name)
        assert 12 <= len(prompts) == len(set(prompts)) <= 16
        assert max(len(prompt) for prompt in prompts) < 1500, "a token is a character at worst"


def test_lines_are_what_vllms_client_reads() -> None:
    for name in workloads.names():
        for line in workloads.path(name).read_text().splitlines():
            assert set(json.loads(line)) == {"prompt"}


@pytest.mark.parametrize("profile", profiles.names())
def test_the_profiles_name_known_workloads(profile: str) -> None:
    assert [workloads.path(name) for name in profiles.load(profile).speculation.workloads]


def test_an_unknown_workload_names_the_nearest() -> None:
    with pytest.raises(RunbookError) as caught:
        workloads.path("cod")
    assert caught.value.nearest == "code"


@pytest.mark.parametrize("line", ["", "{}", '{"prompt": 3}', '{"prompt": "  "}', "[1]", '{"prompt": "a"'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "mine.jsonl").write_text(f'{{"prompt": "good"}}\n{line}\n')
    with pytest.raises(RunbookError) as caught:
        workloads.prompts("mine", tmp_path)
    assert caught.value.where.endswith("mine.jsonl, line 2")
