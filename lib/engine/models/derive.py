"""Make a model from another one of the catalogue: its first layers as a draft, or its weights in fewer bits.

Rounding is to the nearest value, without calibration: the plainest form of each format, in the layout of
compressed-tensors that vLLM loads. Work is done in a process of its own, so that the caller stays light.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.models import manifest, sizes, store
from lib.engine.models.catalogue import Derived, Model

if TYPE_CHECKING:
    from torch import Tensor

CONVERTERS = ("torch", "safetensors")
WEIGHTS = "model.safetensors"
TIMEOUT_S = 900
MARGIN = 64 << 20
# What a quantised weight is rounded to: bits, and how many weights of a row share a scale (0: all of the row).
ROUNDING = {"int8": (8, 0), "int4": (4, sizes.INT4_GROUP)}
SCHEMES: dict[str, dict[str, object]] = {
    "int8": {
        "format": "int-quantized",
        "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False},
        "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True},
    },
    "int4": {
        "format": "pack-quantized",
        "weights": {
            "num_bits": 4,
            "type": "int",
            "strategy": "group",
            "group_size": sizes.INT4_GROUP,
            "symmetric": True,
            "dynamic": False,
        },
        "input_activations": None,
    },
}


def bring(model: Model, source: Derived, base: Path, work: Path, report: store.Report) -> Path:
    """Make the model's folder inside `work` and return it, its manifest written.

    Parameters
    ----------
    model : Model
        The model to make.
    source : Derived
        From which model, and how.
    base : Path
        The folder of that model, whole.
    work : Path
        Scratch folder; what an interrupted attempt left there is thrown away.
    report : callable
        Receives one line of text before the long step.

    Raises
    ------
    RunbookError
        No space, or the work failed.
    """
    known = manifest.read(base)
    if known is None:
        raise RunbookError(f"{source.derive} is not in the store", where=paths.short(base))
    shutil.rmtree(work, ignore_errors=True)
    store.need_space(work.parent, sizes.weight_bytes(model) + MARGIN, model.name)
    made = work / "model"
    try:
        report(f"{model.name}: made from {source.derive} ({source.method}), about 10 s")
        made.mkdir(parents=True)
        _run(model, source, base, made)
        origin = {**known.origin, **recipe(source, known)}
        manifest.write(
            made,
            manifest.Manifest(
                model=model.name,
                origin=origin,
                verified=known.verified,
                converter={name: metadata.version(name) for name in CONVERTERS},
                files=manifest.describe(made, {}),
            ),
        )
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return made


def recipe(source: Derived, base: manifest.Manifest) -> dict[str, str]:
    """Return what a derived model's manifest says of its making; another recipe means that it must be made again."""
    layers = {"layers": str(source.layers)} if source.method == "front" else {}
    weights = {name: entry.sha256 for name, entry in base.files.items() if name.endswith(".safetensors")}
    digest = "+".join(weights[name] for name in sorted(weights))
    return {"derived from": source.derive, "method": source.method, **layers, "weights of the base": digest}


def current(source: Derived, known: manifest.Manifest, base: manifest.Manifest | None) -> bool:
    """Tell whether a derived model in the store is what the catalogue now says, made from the base that is there."""
    return base is None or recipe(source, base).items() <= known.origin.items()


def _run(model: Model, source: Derived, base: Path, made: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lib.engine.models.derive", source.model_dump_json(), str(base), str(made)]
    try:
        done = subprocess.run(
            command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RunbookError(f"making {model.name} took longer than {TIMEOUT_S} s", where=paths.short(made)) from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise RunbookError(
            f"making {model.name} from {source.derive} failed: {(lines or [f'exit status {done.returncode}'])[-1]}",
            where=paths.short(made),
            fix=f"free memory and disk space; if {source.derive} is damaged: python -m lib models fetch "
            f"{source.derive}; nothing half-done is kept",
        )


def _make(source: Derived, base: Path, made: Path) -> None:
    """Write weights and config of the derived model; tokenizer and templates are the base's own."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in manifest.files(base):
        name = path.relative_to(base)
        if path.suffix != ".safetensors" and not path.name.endswith(".safetensors.index.json"):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, made / name)
    tensors: dict[str, Tensor] = {}
    for shard in sorted(base.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            tensors |= {name: part for name in file.keys() for part in [file.get_tensor(name)]}  # noqa: SIM118
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    changed = front(tensors, source.layers) if source.method == "front" else quantised(tensors, source.method)
    if source.method == "front":
        config["num_hidden_layers"] = source.layers
    else:
        config["quantization_config"] = quantization_config(source.method)
    save_file(changed, made / WEIGHTS, metadata={"format": "pt"})
    (made / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def quantization_config(method: str) -> dict[str, object]:
    """Return the part of config.json that tells vLLM how the weights are stored."""
    scheme = SCHEMES[method]
    group = {"targets": ["Linear"], **{key: value for key, value in scheme.items() if key != "format"}}
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": scheme["format"],
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }


def front(tensors: "dict[str, Tensor]", layers: int) -> "dict[str, Tensor]":
    """Return the tensors of the first layers, with embedding, final norm and head as they are.

    Raises
    ------
    ValueError
        The model has no more layers than that.
    """
    numbers = {name: int(name.split(".layers.")[1].split(".")[0]) for name in tensors if ".layers." in name}
    there = max(numbers.values(), default=-1) + 1
    if layers >= there:
        raise ValueError(f"the first {layers} layers were asked for, and the model has {there}")
    return {name: part for name, part in tensors.items() if numbers.get(name, 0) < layers}


def quantised(tensors: "dict[str, Tensor]", method: str) -> "dict[str, Tensor]":
    """Return the tensors with the matrices of every layer rounded to few bits; the rest stays as it is."""
    result: dict[str, Tensor] = {}
    for name, part in tensors.items():
        if ".layers." not in name or part.ndim != 2:
            result[name] = part
            continue
        values, scale = rounded(part, *ROUNDING[method])
        stem = name.removesuffix(".weight")
        result[f"{stem}.weight_scale"] = scale
        if method == "int8":
            result[f"{stem}.weight"] = values
        else:
            result[f"{stem}.weight_packed"] = packed(values)
            result[f"{stem}.weight_shape"] = _shape(part)
    return result


def rounded(weight: "Tensor", bits: int, group: int) -> "tuple[Tensor, Tensor]":
    """Round a matrix to the nearest of a row's (or a group's) evenly spaced values around zero.

    Parameters
    ----------
    weight : Tensor
        Rows are output channels.
    bits : int
        Bits a weight.
    group : int
        So many neighbours in a row share a scale; 0: the whole row.

    Returns
    -------
    values, scale : Tensor
        int8 of the same shape, and bfloat16 with one column a group; value × scale is near the weight.
    """
    import torch

    rows, columns = weight.shape
    width = group or columns
    if columns % width:
        raise ValueError(f"{columns} columns are no whole number of groups of {width}")
    grouped = weight.float().reshape(rows, columns // width, width)
    # The usual symmetric rule: half of the range over the largest magnitude. Rounded to bfloat16 before it is used,
    # so that what is divided by is exactly what will be multiplied by.
    limit = 2 ** (bits - 1)
    scale = (grouped.abs().amax(dim=2, keepdim=True) / (limit - 0.5)).clamp(min=1e-8).bfloat16()
    values = (grouped / scale.float()).round().clamp(-limit, limit - 1)
    return values.to(torch.int8).reshape(rows, columns), scale.squeeze(2)


def packed(values: "Tensor") -> "Tensor":
    """Pack eight 4-bit values of a row into an int32, the first in the lowest bits, shifted to 0…15."""
    import torch

    rows, columns = values.shape
    nibbles = (values.to(torch.int64) + 8).reshape(rows, columns // 8, 8)
    shifts = torch.arange(8, dtype=torch.int64) * 4
    word = (nibbles << shifts).sum(dim=2)
    return torch.where(word >= 1 << 31, word - (1 << 32), word).to(torch.int32)


def _shape(weight: "Tensor") -> "Tensor":
    import torch

    return torch.tensor(list(weight.shape), dtype=torch.int64)


if __name__ == "__main__":
    _make(Derived.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
