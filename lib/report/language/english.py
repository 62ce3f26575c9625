"""What is an English sentence, and what is data that stands in every language as it is."""

import errno
import os
import re

from lib.report.language.message import CODE, PLACE, TAG

# Names that are written in small letters, and words of the field that Russian takes as they are.
NAMES = frozenset(
    {"vllm", "torch", "triton", "marlin", "cutlass", "flashinfer", "llama", "nginx", "systemd", "docker", "python"}
    | {"pip", "git", "sudo", "nvcc", "nftables", "wireguard", "restic", "rclone", "chroma", "sqlite", "root", "ext4"}
    | {"zfs", "btrfs", "xfs", "nvme", "ssh", "http", "https", "json", "yaml", "bfloat16", "main", "plan", "apply"}
    | {"rehearse", "lab", "tok", "decode", "prefill", "goodput", "batch", "embed", "rerank", "chat", "draft"}
    | {"ngram", "eagle", "capability", "transformers", "gguf", "safetensors"}
)
_QUOTED = re.compile(r"(?<!\w)'[^']+'(?!\w)|\"[^\"]*\"|“[^”]*”|«[^»]*»")
_PROGRAMS = (
    "python .venv/bin/python git ssh curl systemctl journalctl docker make bash sh env grep sed tee awk head ls ln dd",
    "nvidia-smi nvcc numactl lspci lsblk dmesg dmidecode smartctl sensors sysctl modprobe mount findmnt mdadm zpool",
    "apt apt-get zfs ubuntu-drivers ip nft wg ss tc ping dig iperf3 fio perf stress-ng prlimit ulimit taskset",
    "python3 apt-cache swapon swapoff chmod chown openssl nginx restic rclone promtool prometheus amtool upsc upsd hf",
)
_COMMAND = re.compile(
    rf"^(?:sudo |[A-Z_]+=\S+ )*(?:{'|'.join(map(re.escape, ' '.join(_PROGRAMS).split()))}|vllm (?:serve|bench)) "
    r"|^--?[a-z]|^/?\w+/\w+\S*$|^\w+\(|^\[|^\{(?!\d+[|}])|^sudo "
)
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
# The system's own words for what went wrong.
_SYSTEM = tuple({os.strerror(number) for number in errno.errorcode})
# Words that no command holds: with one of them it is a sentence that begins with a program's name.
_PROSE = re.compile(r"[ (](?:the|then|from|of|is|are|and|it|not|nothing|after|before|which|its|no|has|did|was) ")
# A program's own words, told with the kind of its error.
_RAISED = re.compile(r"^[\w.]*(?:Error|Exception|Warning)\b: ")
_WORD = re.compile(r"(?<![\w/.@:=_-])[A-Za-z]+(?:'[a-z]+)?(?![\w/@=_]|[.:-]\w)")


def words(text: str) -> list[str]:
    """Return the English words of a text: not code, quotations, identifiers, names or numbers with their units."""
    own = _QUOTED.sub(" ", PLACE.sub(" ", TAG.sub("", CODE.sub(" ", text))))
    return [word for word in _WORD.findall(own) if len(word) > 1 and word.lower() not in NAMES and _plain(word)]


def is_command(text: str) -> bool:
    """Tell whether a text is typed into a shell, or names options, a path, data."""
    return bool(_COMMAND.search(text.strip())) and not _PROSE.search(text)


def is_name(text: str) -> bool:
    """Tell whether a text is the name of a record or a setting: `memory.switch`."""
    return bool(_IDENTIFIER.fullmatch(text))


def is_raised(text: str) -> bool:
    """Tell whether a text is an error in a program's own words."""
    return bool(_RAISED.match(text))


def is_systems(text: str) -> bool:
    """Tell whether a text ends in the system's own words for what went wrong."""
    return text.endswith(_SYSTEM)


def is_sentence(text: str) -> bool:
    """Tell whether a text says something in English: two words or more, one of them in small letters."""
    if is_command(text) or is_raised(text) or is_systems(text):
        return False
    found = words(text)
    return len(found) > 1 and any(word.islower() for word in found)


def _plain(word: str) -> bool:
    return word.islower() or word.istitle()
