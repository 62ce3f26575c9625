"""The owner's computers: what is made for one, who may read it, that it opens the tunnel, and that it ends."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from scene import Scene
from typer.testing import CliRunner

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.edge import computers
from lib.edge.cli import app
from lib.gateway import keys

KEY = "A" * 43 + "="
GATES = {"vps": KEY, "vps2": "B" * 43 + "="}

needs = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("wg", "wg-quick", "qrencode")), reason="wireguard-tools and qrencode"
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "gateway" / "keys.json"


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profiles.load("rtx-pro-6000")


@needs
class TestMade:
    def test_everything_is_there_and_only_the_owner_reads_it(self, profile: Profile, store: Path) -> None:
        made = computers.add(profile, store, "pc", GATES)
        place = computers.folder(store, "pc")
        secret = [path for path in place.iterdir() if path.is_file()]
        assert {path.name for path in secret} == {
            "inference.conf", "inference.png", "inference.env", "vps.join.sh", "vps2.join.sh"
        }  # fmt: skip
        assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
        assert place.stat().st_mode & 0o777 == 0o700
        assert made.tunnel == "10.66.0.100", "as the profile keeps it"
        settings = "".join(path.read_text() for path in (place / computers.SETTINGS).rglob("*") if path.is_file())
        assert f"https://{profile.bastion.hostname}/v1" in settings
        told = (place / computers.ENVIRONMENT_FILE).read_text()
        assert f"OPENAI_BASE_URL=https://{profile.bastion.hostname}/v1\n" in told
        key = told.split("OPENAI_API_KEY=")[1].split()[0]
        found = keys.Store(store).check(key)
        assert found is not None
        assert found.id == made.key_id
        assert key not in settings
        assert key not in store.with_name(computers.REGISTRY).read_text()

    def test_the_tunnels_file_is_what_wg_quick_takes(self, profile: Profile, store: Path) -> None:
        computers.add(profile, store, "pc", GATES)
        path = computers.folder(store, "pc") / computers.TUNNEL_FILE
        done = subprocess.run(["wg-quick", "strip", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("[Peer]") == 2
        assert "Address" not in done.stdout, "taken out, as only wg-quick knows it"
        for gate in profile.bastion.gates:
            assert f"AllowedIPs = {gate.tunnel}/32" in done.stdout
            assert f"Endpoint = {gate.address}:{profile.bastion.wireguard_port}" in done.stdout

    @pytest.mark.skipif(shutil.which("zbarimg") is None, reason="apt-get install zbar-tools")
    def test_the_picture_says_the_same(self, profile: Profile, store: Path) -> None:
        computers.add(profile, store, "pc", GATES)
        place = computers.folder(store, "pc")
        argv = ["zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", str(place / computers.PICTURE_FILE)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert done.stdout.rstrip("\n") == (place / computers.TUNNEL_FILE).read_text().rstrip("\n")

    def test_two_computers_share_nothing(self, profile: Profile, store: Path) -> None:
        first = computers.add(profile, store, "laptop", GATES)
        # What was said of the VPS once is remembered.
        second = computers.add(profile, store, "phone", {})
        assert second.tunnel not in {first.tunnel, *(one.tunnel for one in profile.bastion.clients)}
        assert first.key_id != second.key_id
        texts = [(computers.folder(store, one) / computers.TUNNEL_FILE).read_text() for one in ("laptop", "phone")]
        words = [{line for line in text.splitlines() if "Key = " in line} for text in texts]
        assert words[0] & words[1] == {f"PublicKey = {key}" for key in GATES.values()}

    def test_one_that_is_revoked_is_forgotten(self, profile: Profile, store: Path) -> None:
        made = computers.add(profile, store, "pc", GATES)
        computers.revoke(profile, store, "pc")
        assert sorted(path.name for path in computers.folder(store, "pc").iterdir()) == [
            "vps.leave.sh", "vps2.leave.sh"
        ]  # fmt: skip
        assert [key.state() for key in keys.load(store)] == ["revoked"]
        with pytest.raises(RunbookError, match="no computer 'pc'"):
            computers.revoke(profile, store, "pc")
        again = computers.add(profile, store, "pc", {})
        assert (again.tunnel, again.public_key == made.public_key) == (made.tunnel, False)
        assert not list(computers.folder(store, "pc").glob("*.leave.sh"))

    def test_nothing_is_left_where_a_file_cannot_be_written(
        self, profile: Profile, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(text: str) -> bytes:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(computers, "picture", full)
        with pytest.raises(OSError, match="No space"):
            computers.add(profile, store, "pc", GATES)
        assert computers.load(store).computers == []
        assert not computers.folder(store, "pc").exists()
        assert [key.state() for key in keys.load(store)] == ["revoked"]

    def test_a_vps_that_is_not_known_is_asked_for(self, profile: Profile, store: Path) -> None:
        with pytest.raises(RunbookError, match="the public key of vps2 is not known"):
            computers.add(profile, store, "pc", {"vps": KEY})
        with pytest.raises(RunbookError, match="no VPS 'vsp'") as told:
            computers.add(profile, store, "pc", {"vsp": KEY})
        assert "vps" in str(told.value)
        with pytest.raises(RunbookError, match="that is no public key of vps"):
            computers.add(profile, store, "pc", {"vps": "short"})
        assert not store.exists()

    def test_by_command(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keys, "place", lambda told: store)
        run = CliRunner().invoke
        done = run(app, ["client", "add", "pc", *(f"--vps={name}={key}" for name, key in GATES.items())])
        assert done.exit_code == 0, done.output
        assert "ssh root@203.0.113.10 sh -s" in done.output
        tunnel = (computers.folder(store, "pc") / computers.TUNNEL_FILE).read_text()
        private = tunnel.split("PrivateKey = ")[1].split()[0]
        assert private not in done.output
        assert "rb_" not in done.output
        assert "10.66.0.100" in run(app, ["client", "list"]).output
        assert run(app, ["client", "revoke", "pc"]).exit_code == 0
        assert "revoked" in run(app, ["client", "list"]).output
        assert isinstance(run(app, ["client", "add", "x", "--vps", "vps"]).exception, RunbookError)


def test_a_damaged_list_is_an_error(store: Path) -> None:
    store.parent.mkdir()
    store.with_name(computers.REGISTRY).write_text("{")
    with pytest.raises(RunbookError, match="not a list of computers"):
        computers.load(store)


@needs
@pytest.mark.lab
def test_a_computer_comes_in_with_its_file_and_no_longer_when_it_is_revoked(
    scene: Scene, profile: Profile, store: Path
) -> None:
    stage, bastion = scene.stage, scene.stage.bastion
    public = {gate.name: stage.public_keys[gate.name] for gate in bastion.gates}
    chosen = profile.model_copy(update={"bastion": bastion})
    computers.add(chosen, store, "pc", public)
    place = computers.folder(store, "pc")
    stage.client.write("/etc/wireguard/inference.conf", (place / computers.TUNNEL_FILE).read_text(), 0o600)
    for gate in bastion.gates:
        stage.twin(gate).run(["sh", "-s"], feed=(place / f"{gate.name}.join.sh").read_text())
    stage.client.run(["wg-quick", "up", "inference"])
    try:
        for gate in bastion.gates:
            assert answers(scene, gate.tunnel), gate.name
        # What is on the disk of the VPS lets it in again after a restart.
        stage.gate.run(["wg-quick", "down", "wg0"])
        stage.gate.run(["wg-quick", "up", "wg0"])
        # A session of before is noticed late; a new one is what a computer begins that was asleep.
        stage.client.run(["sh", "-c", "wg-quick down inference && wg-quick up inference"])
        assert answers(scene, bastion.gates[0].tunnel)
        assert not answers(scene, bastion.homes[0].tunnel), "a computer reaches no server at home"
        mode = stage.gate.run(["stat", "-c", "%a", "/etc/wireguard/clients/pc.conf"]).stdout.strip()
        assert mode == "600"
        computers.revoke(chosen, store, "pc")
        for gate in bastion.gates:
            stage.twin(gate).run(["sh", "-s"], feed=(place / f"{gate.name}.leave.sh").read_text())
            assert not answers(scene, gate.tunnel), gate.name
    finally:
        stage.client.run(["wg-quick", "down", "inference"])


def answers(scene: Scene, address: str) -> bool:
    return not scene.stage.client.run(["ping", "-n", "-c", "1", "-W", "2", address], check=False).returncode
