"""Optional tools around the driver: the CUDA toolkit for kernels built at run time, and the one for containers."""

import re

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host import boards
from lib.host.probe import Host

FIRST_TOOLKIT = {"sm_120": "12.8", "sm_100": "12.8", "sm_90": "11.8"}
TOOLKIT_SOURCE = "https://docs.nvidia.com/cuda/blackwell-compatibility-guide"
CONTAINER_SOURCE = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
KEYRING = "/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg"
CONTAINER_INSTALL = (
    f"curl -fsSL https://nvidia.github.io/libnvidia-container/gpgkey | sudo gpg --dearmor -o {KEYRING}\n"
    "curl -fsSL https://nvidia.github.io/libnvidia-container/stable/deb/nvidia-container-toolkit.list | "
    f"sed 's#deb https://#deb [signed-by={KEYRING}] https://#' | "
    "sudo tee /etc/apt/sources.list.d/nvidia-container-toolkit.list\n"
    "sudo apt-get update && sudo apt-get install nvidia-container-toolkit\n"
    "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
)


def checks(host: Host, profile: Profile) -> list[Check]:
    """Check the toolkit of the compiler and the one of containers."""
    return [_compiler(host, profile), _containers(host, profile)]


def _compiler(host: Host, profile: Profile) -> Check:
    wanted = FIRST_TOOLKIT.get(profile.driver.arch, "11.8")
    output = host.run("nvcc", "--version")
    match = re.search(r"release (\d+\.\d+)", output.out)
    found = boards.version(match.group(1)) if match else None
    good = found is not None and boards.at_least(found, wanted)
    return Check(
        name="driver.toolkit",
        title="CUDA toolkit on the host (optional)",
        status="pass" if good else "warn" if found else "skip",
        expected=f"none, or {wanted} and newer: the first that builds for {profile.driver.arch or 'the card'}",
        observed=match.group(1) if match else "not installed; the engine's wheels bring their own CUDA runtime",
        fix="sudo apt-get install cuda-toolkit-13-0  (from NVIDIA's repository)"
        if found
        else "Not needed to serve. Only for kernels that are compiled at run time or from source: "
        "sudo apt-get install cuda-toolkit-13-0  (from NVIDIA's repository)",
        source=TOOLKIT_SOURCE,
    )


def _containers(host: Host, profile: Profile) -> Check:
    wanted = profile.driver.container_toolkit
    output = host.run("nvidia-ctk", "--version")
    match = re.search(r"version (\d[\w.+~-]*)", output.out)
    return Check(
        name="driver.container_toolkit",
        title="NVIDIA container toolkit",
        status="pass" if match else "fail" if wanted else "skip",
        expected="installed: containers reach the card" if wanted else "not asked for by the profile",
        observed=match.group(1) if match else "not installed",
        fix=CONTAINER_INSTALL if wanted else "nothing to do: the engine is served without containers here",
        source=CONTAINER_SOURCE,
    )
