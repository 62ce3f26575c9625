"""Convert a GGUF file once to bfloat16 safetensors, in a process of its own so that the caller stays light."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError

CONVERTERS = ("transformers", "torch", "gguf", "safetensors")
TIMEOUT_S = 900


def gguf(source: Path, target: Path) -> dict[str, str]:
    """Convert one GGUF file to a model folder that vLLM loads.

    Parameters
    ----------
    source : Path
        The GGUF file.
    target : Path
        Folder to make; weights, tokenizer, chat template and generation config are written there.

    Returns
    -------
    dict of str to str
        The versions of the packages that converted.

    Raises
    ------
    RunbookError
        The conversion failed, or its result has no usable chat template or stop token.
    """
    # One thread and no network: conversion reads and writes, a model hub has nothing to add.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "lib.engine.models.convert", str(source.absolute()), str(target.absolute())]
    try:
        done = subprocess.run(
            command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RunbookError(f"the conversion took longer than {TIMEOUT_S} s", where=source.name) from error
    if done.returncode != 0:
        raise RunbookError(
            f"the conversion of {source.name} failed: {_reason(done)}",
            where=paths.short(target),
            fix="free memory and disk space, then fetch the model again; nothing half-done is kept",
        )
    return versions()


def versions() -> dict[str, str]:
    """Return the versions of the packages that take part in a conversion."""
    return {name: metadata.version(name) for name in CONVERTERS}


def _reason(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        return f"its process was ended by signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"


def _convert(source: Path, target: Path) -> None:
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    folder, name = str(source.parent), source.name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=name,
        dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )
    _check_tokenizer(tokenizer, model.config.vocab_size)
    # A GGUF file has no generation config: without its stop token vLLM would generate up to the limit.
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _check_saved(target, tokenizer.eos_token_id)


def _check_tokenizer(tokenizer: "object", vocab: int) -> None:
    """Raise ValueError unless the tokenizer renders a chat, ends turns with one token and fits the embedding."""
    from transformers import PreTrainedTokenizerBase

    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise TypeError(f"not a tokenizer: {type(tokenizer).__name__}")
    if len(tokenizer) > vocab:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, the embedding {vocab}")
    if not tokenizer.chat_template:
        raise ValueError("the GGUF file carries no chat template")
    chat = [{"role": "user", "content": "Hello"}]
    text = str(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))
    if "Hello" not in text or tokenizer.eos_token not in text:
        raise ValueError(f"the chat template does not end turns with the stop token {tokenizer.eos_token!r}")
    ids = tokenizer.encode(tokenizer.eos_token, add_special_tokens=False)
    if ids != [tokenizer.eos_token_id]:
        raise ValueError(f"the stop token {tokenizer.eos_token!r} is not one token: {ids}")


def _check_saved(target: Path, eos: int) -> None:
    """Raise ValueError unless what lies on disk names the stop token and weights."""
    saved = json.loads((target / "generation_config.json").read_text(encoding="utf-8"))
    if saved.get("eos_token_id") != eos:
        raise ValueError(f"generation_config.json names stop token {saved.get('eos_token_id')} instead of {eos}")
    if not any(target.glob("*.safetensors")):
        raise ValueError("no safetensors file was written")


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), Path(sys.argv[2]))
