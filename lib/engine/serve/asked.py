"""What a profile asks of the engine in plain flags: whoever names a kernel must get that one."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lib.core.sections import Profile
from lib.engine.models.catalogue import Model

# Short names of flags, as vLLM 0.26 to 0.33 take them (engine/arg_utils.py).
_SHORT = {"sc": "speculative-config", "cc": "compilation-config", "ac": "attention-config"}
# vLLM's levels of optimisation and the CUDA graphs that come with each (config/vllm.py, OPTIMIZATION_LEVEL_00 to _03).
_LEVELS = {"0": "NONE", "1": "PIECEWISE", "2": "FULL_AND_PIECEWISE", "3": "FULL_AND_PIECEWISE"}


class Asked(NamedTuple):
    """What the flags name; empty where vLLM is left to choose."""

    attention: str = ""
    flash_attention: str = ""
    moe: str = ""
    linear: str = ""
    kv_cache: str = "auto"
    eager: bool = False
    graphs: str = ""
    speculation: str = ""
    speculation_tokens: int | None = None


def read(profile: Profile, model: Model) -> Asked:
    """Return what the profile's serving section and the model's own flags ask for."""
    given = options([*model.flags, *profile.serving.extra_args])
    tokens = given.get("spec-tokens") or given.get("speculative-config.num-speculative-tokens") or ""
    return Asked(
        attention=given.get("attention-backend") or given.get("attention-config.backend") or "",
        flash_attention=given.get("attention-config.flash-attn-version") or "",
        moe=_unless_auto(given.get("moe-backend") or given.get("kernel-config.moe-backend") or ""),
        linear=_unless_auto(given.get("linear-backend") or given.get("kernel-config.linear-backend") or ""),
        kv_cache=given.get("kv-cache-dtype") or profile.serving.kv_cache_dtype,
        eager=profile.serving.enforce_eager or "enforce-eager" in given,
        graphs=(given.get("compilation-config.cudagraph-mode") or _LEVELS.get(given.get("optimization-level", ""), ""))
        .upper()
        .removeprefix("CUDAGRAPHMODE."),
        speculation=_speculation(given),
        speculation_tokens=int(tokens) if tokens.isdecimal() else None,
    )


def options(flags: Sequence[str]) -> dict[str, str]:
    """Return flags as names and values: without dashes before, `-` for `_`, and JSON values taken apart with dots."""
    found: dict[str, str] = {}
    for index, word in enumerate(flags):
        if level := re.fullmatch(r"-O=?(\d)", word):
            found["optimization-level"] = level[1]
        if not re.match(r"--?[A-Za-z]", word):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals and index + 1 < len(flags) and not re.match(r"--?[A-Za-z]", flags[index + 1]):
            value = flags[index + 1]
        head, _, rest = name.replace("_", "-").partition(".")
        key = _SHORT.get(head, head) + (f".{rest}" if rest else "")
        found[key] = value
        found |= _parts(key, value)
    return found


def _parts(key: str, value: str) -> dict[str, str]:
    """Return the fields of a JSON object one by one."""
    if not value.startswith("{"):
        return {}
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return {}  # the engine itself says what is wrong with it
    if not isinstance(content, Mapping):
        return {}
    return {f"{key}.{str(name).replace('_', '-')}": str(item) for name, item in content.items() if item is not None}


def _speculation(given: Mapping[str, str]) -> str:
    """Return the method; `any` where only a draft model is named and vLLM finds the method out."""
    method = given.get("spec-method") or given.get("speculative-config.method")
    drafts = given.get("spec-model") or given.get("speculative-config") or given.get("speculative-config.model")
    return method or ("any" if drafts else "")


def _unless_auto(name: str) -> str:
    return "" if name == "auto" else name
