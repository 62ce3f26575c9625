"""What the tests of serving share: the small real model, recorded logs, and the type of a fixture."""

from collections.abc import Callable
from pathlib import Path

from lib.engine.serve.server import Server

MODEL = "smollm2-135m"
LOGS = Path(__file__).parent / "logs"
STAND_IN = Path(__file__).with_name("stand_in.py")
MakeServer = Callable[..., Server]
