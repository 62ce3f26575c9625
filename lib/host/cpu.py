"""The processor: model, sockets, cores, NUMA nodes, and the instructions that the CPU engine computes with."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host import tools
from lib.host.probe import Host, Output

COMMAND = ("lscpu", "-J")


@dataclass(frozen=True)
class Processor:
    """What lscpu tells; a number that it does not tell is 0."""

    model: str = ""
    sockets: int = 0
    cores: int = 0
    threads: int = 0
    numa_nodes: int = 0
    hypervisor: str = ""
    flags: frozenset[str] = frozenset()

    @property
    def topology(self) -> str:
        """Sockets, cores, threads and NUMA nodes in words."""
        return (
            f"{plural(self.sockets, 'socket')}, {plural(self.cores, 'core')}, {plural(self.threads, 'thread')}, "
            f"{plural(self.numa_nodes, 'NUMA node')}"
        )


def plural(number: int, noun: str) -> str:
    """Return the number with its noun, in English."""
    return f"{number or 'unknown'} {noun}{'' if number == 1 else 's'}"


def parse(text: str) -> Processor:
    """Read ``lscpu -J``, flat (to a pipe) or nested (to a terminal); anything else gives an empty processor."""
    try:
        tree = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return Processor()
    fields = dict(_fields(tree.get("lscpu") if isinstance(tree, dict) else None))
    sockets = tools.count(fields.get("Socket(s)")) or 0
    return Processor(
        model=fields.get("Model name", ""),
        sockets=sockets,
        cores=sockets * (tools.count(fields.get("Core(s) per socket")) or 0),
        threads=tools.count(fields.get("CPU(s)")) or 0,
        numa_nodes=tools.count(fields.get("NUMA node(s)")) or 0,
        hypervisor=fields.get("Hypervisor vendor", ""),
        flags=frozenset(fields.get("Flags", "").split()),
    )


def _fields(entries: object) -> Iterator[tuple[str, str]]:
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            yield str(entry.get("field", "")).rstrip(":"), str(entry.get("data") or "")
            yield from _fields(entry.get("children"))


def look(host: Host) -> tuple[Processor, Output]:
    """Return the processor and the output that it was read from."""
    output = host.run(*COMMAND)
    return parse(output.out), output


def checks(host: Host, profile: Profile) -> list[Check]:
    """Hold the processor against the profile; the engine's instructions too where it computes on the CPU."""
    found, output = look(host)
    if not found.model:
        return [tools.skip("hardware.cpu.model", "Processor", "lscpu", output, profile.host.cpu.model or "any")]
    parts = [_model(found, profile), _topology(found, profile)]
    return [*parts, _instructions(found)] if profile.hardware == "cpu" else parts


def _model(found: Processor, profile: Profile) -> Check:
    wanted = profile.host.cpu.model
    return Check(
        name="hardware.cpu.model",
        title="Processor",
        status="pass" if wanted.lower() in found.model.lower() else "warn",
        expected=wanted or "any",
        observed=found.model + (f" (virtual machine, {found.hypervisor})" if found.hypervisor else ""),
        fix=f"choose this machine's profile with --profile, or correct host.cpu.model in profile {profile.name}",
    )


def _topology(found: Processor, profile: Profile) -> Check:
    wanted = profile.host.cpu
    expected = Processor("", wanted.sockets, wanted.cores, wanted.threads, wanted.numa_nodes)
    pairs = (
        (wanted.sockets, found.sockets),
        (wanted.cores, found.cores),
        (wanted.threads, found.threads),
        (wanted.numa_nodes, found.numa_nodes),
    )
    split = found.numa_nodes > max(wanted.numa_nodes, 1)
    fix = "look in the firmware: SMT on, all cores enabled, NUMA nodes per socket (NPS) at its default"
    if split:
        fix += (
            "; with more nodes bind the engine to the card's (nvidia-smi topo -m): numactl --cpunodebind=N --membind=N"
        )
    return Check(
        name="hardware.cpu.topology",
        title="Sockets, cores and NUMA nodes",
        status="warn" if split or any(have != want for want, have in pairs if want) else "pass",
        expected=expected.topology if any(want for want, _ in pairs) else "one NUMA node: all memory is equally near",
        observed=found.topology,
        fix=fix,
    )


def _instructions(found: Processor) -> Check:
    has = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in found.flags]
    return Check(
        name="hardware.cpu.instructions",
        title="Instructions that the CPU engine uses",
        status="pass" if "avx2" in has else "warn",
        expected="AVX2 at least; AVX-512 with BF16 computes bfloat16 without conversion",
        observed=", ".join(has) or "none of AVX2, AVX-512, AMX",
        fix="vLLM's CPU build is compiled for AVX2 or AVX-512: use an x86-64 machine that has them",
        source="https://docs.vllm.ai/en/stable/getting_started/installation/cpu/",
    )
