"""A package index on loopback with wheels of a few bytes, and a copy of the set-up that installs from it."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lib.core import paths
from scripts import venv

TORCH = "torch==2.13.0+cpu"
# Stands in for `python -m lib models fetch`: tells how it was called, and with which alpha, and leaves a model.
FETCH = """\
import alpha, pathlib, sys
print("called:", *sys.argv[1:], "with alpha", alpha.VERSION)
model = pathlib.Path(".cache/models/small/model.safetensors")
model.parent.mkdir(parents=True, exist_ok=True)
model.write_text("weights")
"""


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    """Write a wheel with these files and the metadata that pip wants; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for file, data in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in files.items():
            archive.writestr(file, data)
        archive.writestr(f"{about}/RECORD", f"{record}{about}/RECORD,,\n")
    return path


def module(folder: Path, name: str, version: str) -> Path:
    """Write a wheel that holds one module, named as the package."""
    return wheel(folder, name, version, {f"{name}.py": f"VERSION = {version!r}\n".encode()})


def pinned(path: Path) -> str:
    name, version = path.name.split("-")[:2]
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Index:
    """A package index on loopback: a page for each folder of `root`. It can be told to hold its breath."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked: list[str] = []
        outer = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if self.path.endswith(".whl"):
                    outer.go_on.wait(30)
                super().do_GET()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(root)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, path: Path) -> Path:
        name = path.name.split("-")[0]
        (self.root / name).mkdir(exist_ok=True)
        shutil.copy(path, self.root / name)
        return path

    def close(self) -> None:
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()


class Project:
    """A copy of the set-up beside small locks: alpha and beta, with torch kept apart as in the real one."""

    def __init__(self, folder: Path, index: Index, own_pip: Path) -> None:
        self.folder, self.index = folder, index
        shutil.copytree(paths.ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(paths.ROOT / "Makefile", folder)
        (folder / "runbook" / "locks").mkdir(parents=True)
        (folder / "lib").mkdir()
        (folder / "lib" / "__main__.py").write_text(FETCH)
        (folder / "runbook" / "profiles").mkdir()
        for name in ("models.yml", "profiles/embedded.yml"):
            (folder / "runbook" / name).write_text("# small\n")
        (folder / "runbook" / "system-packages.txt").write_text("# none\n")
        self.torch_index(index.address)
        self.wheels = folder / "made"
        pins = [pinned(index.add(path)) for path in (own_pip, self.make("alpha", "1.0"), self.make("beta", "2.0"))]
        self.lock("cpu", "".join(pins))
        self.lock("cpu-torch", f"{TORCH}\n")
        self.wheel_folder = folder.parent / "wheel-folder"  # pip takes a space for the next folder
        module(self.wheel_folder, "torch", "2.13.0+cpu")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PIP_") and key != "PYTHON"},
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index.address,
            "PIP_FIND_LINKS": str(self.wheel_folder),
            "HARDWARE": "cpu",
            "PYTHON": sys.executable,
        }

    def make(self, name: str, version: str) -> Path:
        return module(self.wheels, name, version)

    def lock(self, name: str, text: str) -> None:
        (self.folder / "runbook" / "locks" / f"{name}.txt").write_text(f"# Download: 1 MB.\n{text}")

    def torch_index(self, address: str) -> None:
        text = f'[[tool.uv.index]]\nname = "pytorch-cpu"\nurl = "{address}"\n'
        (self.folder / "pyproject.toml").write_text(text)

    @property
    def command(self) -> list[str]:
        return ["sh", str(self.folder / "scripts" / "setup.sh")]

    def setup(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    def installed(self) -> dict[str, str]:
        return {
            name: version for name, version in venv.Venv(self.folder / ".venv").installed().items() if name != "pip"
        }
