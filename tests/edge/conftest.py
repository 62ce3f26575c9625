"""The bastion on the lab's twins, once for all tests of this folder, before a stand-in of the engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scene import Scene
from upstream import MODEL, Upstream, openapi

from lib.core import profile
from lib.edge import trial
from lib.edge.stage import Engine, Stage
from lib.lab.netns import space


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if lacking := space.missing():
        pytest.skip(lacking)
    folder: Path = tmp_path_factory.mktemp("keys")
    upstream = Upstream()
    held = trial.wallet(folder / "keys.json")
    # Every port takes a minute and is for the chapter; these hold all that is open anywhere on the stage.
    bastion = profile.load("embedded").bastion.model_copy(update={"scan_ports": "1-8100"})
    with Stage(bastion, Engine("127.0.0.1", upstream.port)) as stage:
        stage.use(held.store)
        yield Scene(stage, upstream, held, trial.target(stage, held, MODEL, trial.routes(openapi())))
    upstream.shutdown()
    upstream.server_close()
