"""vLLM's sleep mode over its development routes: to sleep, to wake, and to read weights again after level 2.

Routes as in vLLM 0.26 and 0.32 (`entrypoints/serve/dev/{sleep,rpc,cache}/api_router.py`). They exist only with
`VLLM_SERVER_DEV_MODE=1`, which must never be set on a server that others reach.
"""

import time
from collections.abc import Mapping
from typing import Any

import httpx

from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.engine.serve import client
from lib.engine.serve.variant import Variant

TIMEOUT_S = 600.0
# Sleep mode is for a server that listens to this machine only, and only while it is measured.
LOOPBACK = ("127.0.0.1", "::1", "localhost")
WHERE_IT_IS = "vllm/platforms/interface.py, is_sleep_mode_available: CUDA, ROCm and XPU (vLLM 0.32)"


def variant(profile: Profile, model: str) -> Variant:
    """Return the configuration that can sleep.

    Raises
    ------
    RunbookError
        The profile lets other machines reach the server.
    """
    if profile.serving.host not in LOOPBACK:
        raise RunbookError(
            "sleep mode needs vLLM's development routes, and this server would show them to other machines",
            where="serving.host",
            fix="--set serving.host=127.0.0.1 for this chapter",
        )
    environment = {**profile.serving.environment, "VLLM_SERVER_DEV_MODE": "1"}
    return Variant(f"sleep-{model}", {"environment": environment}, ("--enable-sleep-mode",), model)


def sleep(url: str, level: int) -> float:
    """Put the engine to sleep and return how long that took, s: 1 moves the weights to memory, 2 drops them."""
    begun = time.monotonic()
    _post(url, "/sleep", {"level": str(level)})
    seconds = time.monotonic() - begun
    if not sleeping(url):
        raise _refused("/sleep", "the engine says that it is awake")
    return seconds


def wake(url: str, *, reload: bool = False) -> float:
    """Wake the engine and return how long that took, s.

    Parameters
    ----------
    url : str
        Base address.
    reload : bool
        Read the weights again: needed after level 2, which dropped them. What the prefix cache held was computed
        before, and is forgotten.
    """
    begun = time.monotonic()
    _post(url, "/wake_up")
    if reload:
        _post(url, "/collective_rpc", body={"method": "reload_weights"})
        _post(url, "/reset_prefix_cache")
    seconds = time.monotonic() - begun
    if sleeping(url):
        raise _refused("/wake_up", "the engine says that it still sleeps")
    return seconds


def sleeping(url: str) -> bool:
    """Tell whether the engine says that it sleeps."""
    response = client.http().get(f"{url}/is_sleeping", timeout=TIMEOUT_S)
    if response.status_code != httpx.codes.OK:
        raise _refused("/is_sleeping", client.refusal(response))
    return bool(response.json()["is_sleeping"])


def _post(url: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> None:
    try:
        response = client.http().post(f"{url}{path}", params=query, json=body, timeout=TIMEOUT_S)
    except httpx.TransportError as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    if response.status_code != httpx.codes.OK:
        raise _refused(path, client.refusal(response))


def _refused(path: str, why: str) -> RunbookError:
    return RunbookError(
        f"sleep mode: {path} failed: {why}",
        where=path,
        fix="the server must run with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1; its log has more",
    )
