"""The engine's alerts against the real engine: overloaded, then halted."""

from pathlib import Path

import pytest

from lib.core import profile
from lib.engine.models import catalogue, fetch
from lib.engine.serve.server import Server
from lib.resilience.monitor import judge, show
from lib.resilience.monitor.scenes.engine import OVERLOAD, Engine, small

pytestmark = [
    pytest.mark.engine,
    pytest.mark.alone,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(judge.missing()), reason="make setup installs Prometheus and its exporters"),
]


def test_an_overloaded_and_a_halted_engine_are_told(tmp_path: Path) -> None:
    embedded = profile.load("embedded")
    model = catalogue.get(embedded.models.served)
    folder = fetch.folder(model.name, embedded.models.store)
    with (
        Server(small(embedded), model, folder, tmp_path / "engine.log") as server,
        show.opened_show(tmp_path / "show", [Engine(server)], wait_s=60) as running,
    ):
        outcomes = {outcome.alert: outcome for outcome in running.play()}
        told = running.stack.query("max_over_time(vllm:num_preemptions_total[5m])")
    # The watching's own drill needs the scene of a host, which is not here.
    seen = [outcomes[name] for name in (*OVERLOAD, "EngineDown")]
    assert [item.alert for item in seen if item.fired_s is None or item.cleared_s is None] == []
    assert float(told[0]["value"][1]) > 0
