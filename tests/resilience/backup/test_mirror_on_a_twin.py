"""A leg of a mirror lost, on a twin with the kernel's ZFS: survived, and without the second leg not."""

import os

import pytest

from lib.lab import image, tools, zfs
from lib.resilience.backup.damage import mirror, registry
from lib.resilience.backup.damage.arena import Arena

pytestmark = [
    pytest.mark.twins,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="the image of the twins is built by root"),
    pytest.mark.skipif(any(tools.find(name) is None for name in tools.PROGRAMS), reason="make setup installs QEMU"),
]


@pytest.fixture(autouse=True)
def built() -> None:
    if not zfs.built(image.current()):
        pytest.skip("make drill builds ZFS for the twins' kernel: minutes")


def test_the_other_leg_has_every_block(arena: Arena) -> None:
    outcome = registry.MIRROR.do(arena, True)
    assert outcome.good, outcome.observed
    assert outcome.lost == 0
    assert outcome.seconds > 0
    assert not mirror.PLACE.exists(), "nothing of the twin is left"


def test_without_a_second_leg_all_is_lost(arena: Arena) -> None:
    outcome = registry.MIRROR.do(arena, False)
    assert not outcome.good, outcome.observed
    assert outcome.lost == mirror.FILES
