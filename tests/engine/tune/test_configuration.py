"""The ready configuration says to vLLM, through its own reader, just what the flags said."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lib.core import profile as profiles
from lib.engine.models import catalogue
from lib.engine.serve import command
from lib.engine.tune import configuration

FLAGS = ["--model", "m", "--max-num-seqs", "8", "--enforce-eager", "--gpu-memory-utilization", "0.9"]


def test_options_are_typed_and_the_last_of_two_holds() -> None:
    told = configuration.options([*FLAGS, "--max-num-seqs", "16", "--dtype=bfloat16", "--load-format", "dummy"])
    assert told == {
        "model": "m",
        "enforce-eager": True,
        "gpu-memory-utilization": 0.9,
        "max-num-seqs": 16,
        "dtype": "bfloat16",
        "load-format": "dummy",
    }


def test_json_stays_text() -> None:
    told = configuration.files(["--speculative-config", '{"method": "ngram"}'], {})
    assert YAML(typ="safe").load(told.config) == {"speculative-config": '{"method": "ngram"}'}


@pytest.mark.engine
@pytest.mark.parametrize("name", profiles.names())
def test_vllm_reads_the_file_as_the_flags(name: str, tmp_path: Path) -> None:
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    profile = profiles.load(name)
    flags = command.arguments(profile, catalogue.get(profile.models.served), tmp_path / "model", 8000)
    made = configuration.files(flags, command.environment(profile))
    path = tmp_path / "vllm.yaml"
    path.write_text(made.config)
    parser = FlexibleArgumentParser()
    seen = parser.load_config_file(str(path))
    assert configuration.options(seen) == configuration.options(flags)
    assert "HF_HUB_OFFLINE=1\n" in made.environment
