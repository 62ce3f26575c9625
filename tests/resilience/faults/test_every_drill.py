"""Every drill goes red without its defence: a drill that cannot fail shows nothing.

With it, each is green in chapter 13, which the end-to-end tests run.
"""

import time

import pytest

from lib.resilience.faults import registry
from lib.resilience.faults.drill import Drill, Played
from lib.resilience.faults.ground import Ground

pytestmark = pytest.mark.lab
every_drill = pytest.mark.parametrize("drill", registry.DRILLS, ids=[drill.name for drill in registry.DRILLS])


def undefended(ground: Ground, drill: Drill) -> Played:
    one = registry.play(ground, drill, time.monotonic(), defended=False)
    if one.skipped:
        pytest.skip(one.skipped)
    return one


@every_drill
def test_without_its_defence_it_goes_red(ground: Ground, drill: Drill) -> None:
    one = undefended(ground, drill)
    assert one.outcome is not None
    assert not any("broke off" in word for word in one.outcome.wrong), one.outcome
    assert not one.green, one.outcome
