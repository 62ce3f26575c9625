"""The engine as a service: a systemd unit with its environment file, or a compose file, rendered and verified.

Rendering only: nothing here touches a host.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.deploy.template import render

USER = "vllm"
ENGINE = "/opt/inference/.venv/bin"
EXPOSURE_LIMIT = 4.0
INSTALL = {
    "systemd-analyze": "apt-get install systemd",
    "check-jsonschema": "make setup",
}


class Service(NamedTuple):
    """What the templates need to know about one served model."""

    profile: str
    model: str
    user: str
    gpu: bool
    model_folder: str
    arguments: list[str]
    command: str
    environment: dict[str, str]
    environment_file: str
    host: str
    port: int
    open_files: int
    stop_timeout_s: int
    ready_timeout_s: int
    image: str


def service(profile: Profile, model: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Service:
    """Describe the service of one model.

    Parameters
    ----------
    arguments : sequence of str
        Flags of the engine, with the model's folder on the host.
    environment : mapping of str to str
        Variables of the engine; caches are pointed to the unit's own cache folder.
    """
    flags = list(arguments)
    launcher = [f"{ENGINE}/vllm", "serve"] if profile.hardware == "cuda" else [
        f"{ENGINE}/python", "-m", "vllm.entrypoints.openai.api_server"
    ]  # fmt: skip
    caches = {"HF_HOME": f"/var/cache/{USER}/huggingface", "VLLM_CACHE_ROOT": f"/var/cache/{USER}/vllm"}
    return Service(
        profile=profile.name,
        model=model,
        user=USER,
        gpu=profile.hardware == "cuda",
        model_folder=flags[flags.index("--model") + 1],
        arguments=flags,
        command=" \\\n    ".join(_lines([*launcher, *flags])),
        environment={**caches, **environment},
        environment_file=f"/etc/inference/{model}.env",
        host=profile.serving.host,
        port=int(flags[flags.index("--port") + 1]),
        open_files=profile.tuning.open_files,
        stop_timeout_s=round(profile.serving.stop_timeout_s) + 30,
        ready_timeout_s=round(profile.serving.ready_timeout_s),
        image=profile.serving.image,
    )


def unit(described: Service) -> str:
    """Render the systemd unit."""
    return render("systemd/vllm.service.j2", service=described)


def environment_file(described: Service) -> str:
    """Render the unit's environment file."""
    return render("systemd/vllm.env.j2", service=described)


def compose(described: Service) -> str:
    """Render the compose file.

    Inside its container the engine listens on every address, or the published port would lead nowhere; what is
    published, and so who can reach it, is the profile's address.
    """
    inside = list(described.arguments)
    inside[inside.index("--host") + 1] = "0.0.0.0"  # noqa: S104 - the container's own network only
    return render("compose/compose.yml.j2", service=described, arguments=inside)


def verify(described: Service) -> list[Check]:
    """Verify the rendered files with the tools that will read them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        return [
            _verify_unit(described, place),
            _exposure(described, place),
            _verify_compose(described, place),
            _image(described),
        ]


def _verify_unit(described: Service, folder: Path) -> Check:
    """Let systemd read the unit; programs that only the server has are replaced by ones that are here."""
    text = unit(described)
    for program in ("vllm", "python"):
        text = text.replace(f"ExecStart={ENGINE}/{program}", f"ExecStart={sys.executable}")
    path = folder / "vllm.service"
    path.write_text(text)
    # --man=no: a missing manual reader is no fault of the unit.
    argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    code, out = _run(argv)
    faults = [line for line in out.splitlines() if "vllm.service" in line]
    return _check(
        "serving.unit.verify",
        "systemd understands the unit",
        argv,
        code,
        bool(faults) or bool(code and code > 0),
        "no message about the unit",
        "; ".join(faults).replace(f"{folder}/", "") or "no message",
    )


def _exposure(described: Service, folder: Path) -> Check:
    path = folder / "vllm.service"
    path.write_text(unit(described))
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_LIMIT * 10:.0f}", str(path)]
    code, out = _run(argv)
    verdict = next((line for line in reversed(out.splitlines()) if "exposure level" in line), "")
    observed = verdict.partition("vllm.service:")[2].strip() or verdict.strip() or f"exit {code}"
    return _check(
        "serving.unit.exposure",
        "The unit is hardened",
        argv,
        code,
        code != 0,
        f"exposure of at most {EXPOSURE_LIMIT:g} of 10",
        observed.encode("ascii", "ignore").decode().strip(),
    )


def _verify_compose(described: Service, folder: Path) -> Check:
    path = folder / "compose.yml"
    path.write_text(compose(described))
    program = Path(sys.executable).with_name("check-jsonschema")
    argv = [str(program), "--builtin-schema", "vendor.compose-spec", str(path)]
    code, out = _run(argv)
    return _check(
        "serving.compose.schema",
        "The compose file follows the Compose Specification",
        ["check-jsonschema", *argv[1:]],
        code,
        code != 0,
        "no violation of the schema",
        "no violation" if code == 0 else " ".join(out.replace(str(folder), "").split()),
    )


def _image(described: Service) -> Check:
    pinned = "@sha256:" in described.image
    return Check(
        name="serving.compose.image",
        title="The container image is pinned by digest",
        status="pass" if pinned else "warn",
        expected="IMAGE@sha256:…",
        observed=described.image,
        fix=f"docker buildx imagetools inspect {described.image}\nthen set serving.image in the profile to its digest",
    )


def _check(
    name: str, title: str, argv: Sequence[str], code: int | None, failed: bool, expected: str, observed: str
) -> Check:
    tool = Path(argv[0]).name
    if code is None:
        return Check(
            name=name, title=title, status="skip", expected=expected, observed=f"{tool} is missing", fix=INSTALL[tool]
        )
    fix = f"{shlex.join([tool, *argv[1:-1]])} FILE  (FILE is among the raw files of this chapter)"
    return Check(
        name=name, title=title, status="fail" if failed else "pass", expected=expected, observed=observed, fix=fix
    )


def _run(argv: Sequence[str]) -> tuple[int | None, str]:
    program = shutil.which(argv[0])
    if program is None:
        return None, ""
    done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def _lines(words: Sequence[str]) -> list[str]:
    """Group a command into lines: the program first, then one flag with its values a line."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return [" ".join(line) for line in lines]
