"""Formulas: arithmetic and named functions, nothing else."""

import pytest

from lib.chapters.claims.formula import Formula, MissingError
from lib.chapters.claims.known import Known, locked, published, reference, target, version
from lib.core import paths
from lib.core.errors import RunbookError


def known(text: str) -> bool:
    return Formula(text, Known().functions).holds()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("1 < 2 < 3", True),
        ("1 < 2 < 2", False),
        ("2 ** 3 == 8 and not 7 % 2 == 0", True),
        ("1 > 2 or -1 < 0", True),
        ("'b' in ['a', 'b']", True),
        ("'c' not in ('a', 'b')", True),
        ("150 * GB <= 96 * GiB", False),
        ("5000 * 2 * MiB / GiB > 9.7", True),
        ("version('12.5') < version('12.8') < version('13.0.3.0')", True),
    ],
)
def test_arithmetic(text: str, holds: bool) -> None:
    assert known(text) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("weights('qwen3-30b-a3b') > 61 * GB", True),
        ("kv('qwen3-30b-a3b') == 98304", True),
        ("2 * kv('qwen3-30b-a3b', 'fp8') == kv('qwen3-30b-a3b', 'float16')", True),
        ("6 * GB < read('qwen3-30b-a3b') < 6.2 * GB", True),
        ("heads('qwen3-30b-a3b') == 32 and kv_heads('qwen3-30b-a3b') == 4", True),
        ("in_catalogue('qwen3-1b')", False),
        ("target('host.gpus.0.memory_mib') == 97887", True),
        ("lock('vllm') == version('0.33.0') and locked('torch', 'cuda')", True),
        ("locked('vllm', 'cpu')", False),
        ("installed('pydantic') > version('2')", True),
    ],
)
def test_functions(text: str, holds: bool) -> None:
    assert known(text) is holds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 <", "no expression"),
        ("1 + 1", "a formula is true or false, this one is 2"),
        ("wieghts('x') > 1", "unknown function 'wieghts'\n.*\n  did you mean: weights"),
        ("1 * Gib > 1", "unknown name 'Gib'\n.*\n  did you mean: GiB"),
        ("().__class__ == 1", "not allowed here"),
        ("[x for x in [1]] == 1", "not allowed here"),
        ("open('/etc/passwd') == 1", "unknown function 'open'"),
        ("__import__('os') == 1", "unknown function"),
        ("(lambda: 1)() == 1", "not allowed here"),
        ("weights('qwen3-31b-a3b') > 1", "qwen3-30b-a3b"),
        ("target('host.gpu') == 1", "did you mean: gpus"),
        ("target('host.gpus.7') == 1", "the profile has no '7'"),
        ("lock('no-such-package') > version('1')", "no no-such-package in the lock"),
        ("published('batching.ttft_ms') > 1", "published figures fit"),
    ],
)
def test_what_is_wrong_is_said(text: str, told: str) -> None:
    with pytest.raises(RunbookError, match=told):
        known(text)


def test_what_is_not_here_is_undecided() -> None:
    with pytest.raises(MissingError, match="no-such-package is not installed here"):
        known("installed('no-such-package') > version('1')")
    with pytest.raises(MissingError, match="no reference machine measured"):
        reference("batching.ttft_ms", concurrency=-1)


def test_it_tells_what_it_looked_at() -> None:
    formula = Formula("kv('qwen3-30b-a3b') > 1 and weights('gpt-oss-120b') > GiB", Known().functions)
    assert formula.holds()
    assert formula.used == ["kv", "weights"]
    assert formula.values == ["kv('qwen3-30b-a3b') = 98,304", "weights('gpt-oss-120b') = 60.8 GiB"]


def test_helpers_read_real_files() -> None:
    assert version("2.13.0+cpu") == (2, 13, 0)
    assert locked(paths.LOCKS / "cuda.txt")["vllm"] == "0.33.0"
    assert target("driver.minimum") == "580"
    assert 0 < reference("spec.speedup", configuration="ngram-al3", concurrency=128) < 1
    assert published("batching.ttft_ms", title="gpt-oss-20b", setting="context of 1K") == 35
