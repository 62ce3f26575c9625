"""Faults that chapter 11 leaves out when it is short, and the line that the tax is measured on, on real twins."""

import re
import time

import pytest
from scene import Scene
from upstream import MODEL

from lib.core import profile
from lib.core.evidence import Check
from lib.edge import faults
from lib.edge.clients import Way

pytestmark = pytest.mark.lab

WAIT_S = 40.0
SHORT = profile.load("embedded").bastion.faults.kinds
OTHERS = [fault for fault in faults.FAULTS if fault.name not in SHORT]


@pytest.mark.parametrize("fault", OTHERS, ids=[fault.name for fault in OTHERS])
def test_a_fault_ends_by_itself(scene: Scene, fault: faults.Fault) -> None:
    way = Way(f"https://{scene.stage.bastion.hostname}/v1", scene.held.key, MODEL)
    with faults.witnesses(scene.stage, way) as both:
        seen = faults.suffer(scene.stage, fault, both, 100, WAIT_S)
    verdict, *_ = faults.records(seen, WAIT_S)
    assert isinstance(verdict, Check)
    assert verdict.status == "pass", verdict.observed


def round_trip_ms(scene: Scene) -> float:
    told = scene.stage.town.router.run(["ping", "-n", "-c", "5", "-i", "0.2", "203.0.113.50"]).stdout
    found = re.search(r"= [\d.]+/([\d.]+)/", told)
    assert found, told
    return float(found[1])


def test_the_line_is_as_long_and_as_slow_as_it_is_said_to_be(scene: Scene) -> None:
    line, client, router = scene.stage.town.line, scene.stage.client, scene.stage.town.router
    mib = 3
    client.run(["sh", "-c", f"mkdir -p /run/served && head -c {mib << 20} /dev/zero >/run/served/zeros"])
    argv = ["/usr/bin/python3", "-m", "http.server", "8000", "--bind", "203.0.113.50", "--directory", "/run/served"]
    server = client.spawn(argv)
    try:
        fetch = ["curl", "-sf", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-o", "/dev/null"]
        router.run([*fetch, "http://203.0.113.50:8000/"])
        assert round_trip_ms(scene) < 20
        line.shape(40, 30)
        assert 39 < round_trip_ms(scene) < 80
        begun = time.monotonic()
        router.run([*fetch, "http://203.0.113.50:8000/zeros"])
        least = mib * 8 * 1.048576 / 30
        assert least < time.monotonic() - begun < 5 * least
    finally:
        line.restore()
        client.run(["sh", "-c", "pkill -f '^/usr/bin/python3 -m http.server'"], check=False)
        server.wait(10)
    assert round_trip_ms(scene) < 20
