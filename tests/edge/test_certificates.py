"""Certificates by ACME: obtained from a real server, renewed under a running stream, red where renewal fails."""

from collections.abc import Iterator

import pytest
from scene import Scene
from upstream import MODEL

from lib.deploy.bastion import files
from lib.edge import acme, certificates
from lib.edge.acme import AcmeServer
from lib.edge.clients import Way
from lib.edge.stage import CA_FILE

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def authority(scene: Scene) -> Iterator[AcmeServer]:
    if lacking := acme.missing():
        pytest.skip(lacking)
    stage = scene.stage
    kept = {gate: stage.twin(gate).path(files.TLS).read_text() for gate in stage.bastion.gates}
    server = AcmeServer(stage)
    server.start()
    yield server
    server.stop()
    for gate, text in kept.items():
        stage.show(gate, "", text)
    stage.client.write(CA_FILE, stage.authority.certificate)


def test_each_vps_gets_one_also_the_one_that_the_name_does_not_lead_to(scene: Scene, authority: AcmeServer) -> None:
    found = list(certificates.obtained(scene.stage, authority))
    checks = [one for one in found if one.name == "bastion.certificate"]
    assert [(check.status, check.conditions["host"]) for check in checks] == [("pass", "vps"), ("pass", "vps2")], found
    assert all("Pebble Intermediate" in check.observed for check in checks)
    for gate in scene.stage.bastion.gates:
        told = scene.stage.twin(gate).run(["stat", "-c", "%a", files.TLS]).stdout.strip()
        assert told == "600"


def test_renewal_cuts_no_stream(scene: Scene, authority: AcmeServer) -> None:
    way = Way(f"https://{scene.stage.bastion.hostname}/v1", scene.held.key, MODEL)
    check = certificates.renewed(scene.stage, way, 60)
    assert check.status == "pass", check.observed


def test_failures_are_seen(scene: Scene, authority: AcmeServer) -> None:
    found = list(certificates.failures(scene.stage, authority))
    assert [check.name for check in found if check.status == "pass"] == [
        "bastion.certificate.authority_gone", "bastion.certificate.ending", "bastion.certificate.ended"
    ], found  # fmt: skip
    after = certificates.look(scene.stage, scene.stage.bastion.gates[0])
    assert after.days > acme.DAYS - 1


def test_the_second_vps_gets_none_when_the_first_does_not_ask_it(scene: Scene, authority: AcmeServer) -> None:
    stage = scene.stage
    second = stage.bastion.gates[1]
    before = certificates.look(stage, second)
    kept = stage.gate.path(files.NGINX).read_text()
    stage.gate.write(files.NGINX, kept.replace("error_page 404 = @elsewhere;", ""))
    stage.reload(stage.gate)
    try:
        done = certificates.renew(stage, second)
    finally:
        stage.gate.write(files.NGINX, kept)
        stage.reload(stage.gate)
    assert done.returncode == 1
    assert "the authority gave no new one" in done.stderr
    assert certificates.look(stage, second).serial == before.serial


def test_a_vps_without_one_makes_its_first_and_nobody_trusts_it(scene: Scene, authority: AcmeServer) -> None:
    stage, gate = scene.stage, scene.stage.bastion.gates[0]
    kept = stage.gate.path(files.TLS).read_text()
    stage.gate.run(["rm", files.TLS])
    stage.gate.run([files.CERTIFICATE, "first"])
    stage.reload(stage.gate)
    assert "self" in certificates.look(stage, gate).error
    assert stage.gate.run([files.CERTIFICATE, "check"], check=False).returncode == 1
    assert certificates.renew(stage, gate).returncode == 0
    assert not certificates.look(stage, gate).error
    stage.show(gate, "", kept)


def test_what_is_stored_and_not_shown_is_red(scene: Scene) -> None:
    stage, gate = scene.stage, scene.stage.bastion.gates[0]
    kept = stage.gate.path(files.TLS).read_text()
    chain, key = stage.authority.issue(stage.bastion.hostname)
    stage.gate.write(files.TLS, key + chain, 0o600)
    done = stage.gate.run([files.CERTIFICATE, "check"], check=False)
    assert (done.returncode, "nginx does not show" in done.stderr) == (1, True)
    # The next run shows it, without asking anybody.
    assert stage.gate.run([files.CERTIFICATE, "renew"], check=False).returncode == 0
    stage.show(gate, "", kept)


def test_one_renewal_at_a_time(scene: Scene) -> None:
    gate = scene.stage.gate
    held = ["sh", "-c", f"exec 8>/run/inference-certificate.lock; flock 8; {files.CERTIFICATE} renew"]
    done = gate.run(held, check=False)
    assert (done.returncode, "another renewal is at work" in done.stderr) == (1, True)
    assert gate.run([files.CERTIFICATE, "renwe"], check=False).returncode == 2
