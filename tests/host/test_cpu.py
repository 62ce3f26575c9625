"""The processor: read from lscpu in both its JSON shapes, held against the profile."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import FORBIDDEN, Changed, box, embedded, fuzz, named, owner

from lib.host import cpu
from lib.host.probe import Output

NESTED = {
    "lscpu": [
        {"field": "Architecture:", "data": "x86_64", "children": [{"field": "Byte Order:", "data": "Little Endian"}]},
        {"field": "CPU(s):", "data": "8"},
        {
            "field": "Vendor ID:",
            "data": "GenuineIntel",
            "children": [
                {
                    "field": "Model name:",
                    "data": "Some CPU",
                    "children": [
                        {"field": "Core(s) per socket:", "data": "2"},
                        {"field": "Socket(s):", "data": "2"},
                        {"field": "Flags:", "data": "sse2 avx2"},
                    ],
                }
            ],
        },
        {"field": "NUMA:", "data": None, "children": [{"field": "NUMA node(s):", "data": "2"}]},
    ]
}


def lscpu(**fields: str) -> str:
    """A small lscpu: ``lscpu(Sockets="1")`` is not its spelling, so the fields come as a mapping of their names."""
    return json.dumps({"lscpu": [{"field": f"{name}:", "data": data} for name, data in fields.items()]})


def test_the_owners_processor() -> None:
    found = cpu.look(owner())[0]
    assert found.model == "AMD Ryzen 9 9950X 16-Core Processor"
    assert (found.sockets, found.cores, found.threads, found.numa_nodes) == (1, 16, 32, 1)
    assert {"avx512f", "avx512_bf16"} <= found.flags
    assert not found.hypervisor


def test_nested_json_reads_the_same_as_flat() -> None:
    found = cpu.parse(json.dumps(NESTED))
    assert (found.model, found.sockets, found.cores, found.threads, found.numa_nodes) == ("Some CPU", 2, 4, 8, 2)


def test_the_owner_has_what_the_profile_expects() -> None:
    checks = cpu.checks(owner(), box())
    assert {check.name: check.status for check in checks} == {
        "hardware.cpu.model": "pass",
        "hardware.cpu.topology": "pass",
    }
    assert named(checks, "hardware.cpu.topology").observed == "1 socket, 16 cores, 32 threads, 1 NUMA node"


def test_another_processor_is_a_warning_that_names_the_profile() -> None:
    check = named(cpu.checks(owner(), box(host__cpu__model="7950X")), "hardware.cpu.model")
    assert check.status == "warn"
    assert "--profile" in check.fix


@pytest.mark.parametrize(("field", "value"), [("threads", 16), ("cores", 8), ("sockets", 2), ("numa_nodes", 2)])
def test_a_different_topology_is_a_warning(field: str, value: int) -> None:
    check = named(cpu.checks(owner(), box(**{f"host__cpu__{field}": value})), "hardware.cpu.topology")
    assert check.status == "warn"
    assert "SMT" in check.fix


def test_several_memory_nodes_tell_how_to_bind() -> None:
    host = Changed(commands={"lscpu": json.dumps(NESTED)})
    check = named(cpu.checks(host, embedded()), "hardware.cpu.topology")
    assert check.status == "warn"
    assert "numactl" in check.fix


@pytest.mark.parametrize(
    ("flags", "status"), [("sse2 avx2", "pass"), ("sse2 avx2 avx512f avx512_bf16", "pass"), ("sse2", "warn")]
)
def test_instructions_matter_where_the_engine_computes_on_the_processor(flags: str, status: str) -> None:
    host = Changed(commands={"lscpu": lscpu(**{"Model name": "X", "Flags": flags})})
    assert named(cpu.checks(host, embedded()), "hardware.cpu.instructions").status == status
    assert not [check for check in cpu.checks(host, box()) if check.name == "hardware.cpu.instructions"]


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (Output(None, reason="missing"), "apt-get install util-linux"),
        (FORBIDDEN, "sudo"),
        (Output(None, reason="timeout"), "see where it hangs"),
        (Output(1, "", "lscpu: failed\n"), "run it by hand"),
        (Output(0, "{}"), "run it by hand"),
    ],
)
def test_without_lscpu_there_is_one_skip_that_says_why(said: Output, fix: str) -> None:
    checks = cpu.checks(Changed(commands={"lscpu": said}), box())
    assert [(check.name, check.status) for check in checks] == [("hardware.cpu.model", "skip")]
    assert fix in checks[0].fix


@fuzz
@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    assert cpu.parse(text) == cpu.Processor()


@fuzz
@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_json_never_raises(tree: object) -> None:
    assert cpu.parse(json.dumps({"lscpu": tree})).sockets >= 0
