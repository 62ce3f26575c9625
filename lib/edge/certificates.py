"""Certificates by ACME, tried: obtained for every VPS, renewed under a running answer, and red where renewal fails."""

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from subprocess import CompletedProcess
from typing import Any

from lib.core.evidence import Check, Measurement
from lib.core.sections.bastion import Gate
from lib.deploy.bastion import files
from lib.edge.acme import AcmeServer
from lib.edge.clients import Way
from lib.edge.served import Served
from lib.edge.stage import CA_FILE, Stage
from lib.edge.tax import PROMPT, Client
from lib.edge.trial import lab

RENEW = f"{files.CERTIFICATE} renew; journalctl -u inference-certificate"


def check(gate: Gate, seen: Served, alarm_days: int, **conditions: str) -> Check:
    """Judge what a VPS shows: trusted, for its name, and not about to end."""
    good = not seen.error and seen.days >= alarm_days
    return Check(
        name="bastion.certificate",
        title=f"Certificate of {gate.name}",
        status="pass" if good else "fail",
        expected=f"trusted, for this name, for {alarm_days} days at least",
        observed=seen.told,
        fix=RENEW,
        conditions={"host": gate.name, **conditions},
    )


def obtained(stage: Stage, server: AcmeServer) -> Iterator[Check | Measurement]:
    """Let every VPS ask with the script that its timer runs, and let the client trust the new root only."""
    stage.client.write(CA_FILE, server.root)
    with ThreadPoolExecutor(len(stage.bastion.gates)) as pool:
        done = list(pool.map(lambda gate: _first(stage, gate), stage.bastion.gates))
    for gate, (told, seconds) in zip(stage.bastion.gates, done, strict=True):
        found = check(gate, look(stage, gate), stage.bastion.acme.alarm_days)
        changed = {"observed": f"{found.observed}; {_said(told)}", "status": "fail"} if told.returncode else {}
        yield found.model_copy(update={**changed, "provenance": lab()})
        yield Measurement(
            name="bastion.certificate_seconds",
            title=f"{gate.name}: from asking to nginx showing it",
            value=round(seconds, 2),
            unit="s",
            method="certificate.sh renew on a new VPS, all at once, against an ACME server without waiting times",
            conditions={"host": gate.name},
            provenance=lab(),
        )


def _first(stage: Stage, gate: Gate) -> tuple[CompletedProcess[str], float]:
    """Let a VPS begin as a new one does, and ask; return what was said and the seconds that it took."""
    stage.twin(gate).run(["sh", "-c", f"rm -f {files.TLS}; {files.CERTIFICATE} first"])
    stage.reload(stage.twin(gate))
    begun = time.monotonic()
    return renew(stage, gate), time.monotonic() - begun


def renewed(stage: Stage, way: Way, tokens: int) -> Check:
    """Renew while one stream follows the other: the one on its way when nginx turns to the new one runs to its end."""
    gate = stage.bastion.gates[0]
    before = look(stage, gate)
    streaming = Client(way, stage.client, CA_FILE)
    streams: list[dict[str, Any]] = []
    begun = math.inf
    try:
        with ThreadPoolExecutor(1) as pool:
            renewing = pool.submit(lambda: (renew(stage, gate), time.monotonic()))
            while not renewing.done():
                begun = time.monotonic()
                streams += streaming.ask("stream", tokens=tokens, prompt=PROMPT, times=1, timeout=60)
            done, shown = renewing.result()
        after = look(stage, gate)
    finally:
        streaming.close()
    new = not done.returncode and not after.error and after.serial != before.serial
    broken = [one["error"] or "no end" for one in streams if one["error"] or one["finish"] not in ("stop", "length")]
    found = _check(
        "bastion.certificate.renewed",
        "Renewal cuts no stream that runs",
        new and not broken,
        "another certificate is shown, and the streams before, during and after are whole",
        f"{'another' if new else 'no other'} certificate{'' if new else f' ({_said(done)})'}; "
        + (f"broke: {broken[0]}" if broken else f"{len(streams)} streams one after the other, all whole"),
    )
    # Between two streams nothing was there to be cut.
    return found if begun < shown else found.model_copy(update={"status": "warn"})


def failures(stage: Stage, server: AcmeServer) -> Iterator[Check]:
    """Let the authority be gone, and a certificate come near its end and pass it: each must be seen."""
    gate, twin = stage.bastion.gates[0], stage.gate
    alarm = stage.bastion.acme.alarm_days
    kept = twin.path(files.TLS).read_text()
    before = look(stage, gate)
    with server.gone():
        done = renew(stage, gate)
        after = look(stage, gate)
    yield _check(
        "bastion.certificate.authority_gone",
        "The authority is gone: renewal fails and says so, the old certificate stays",
        done.returncode == 1 and after.serial == before.serial and not after.error,
        "exit status 1, the same certificate",
        f"exit status {done.returncode} ({_said(done)}); {after.told}",
    )
    try:
        for name, title, days in (
            ("ending", "A certificate that ends soon is seen", 2.0),
            ("ended", "A certificate that has ended is seen", -0.01),
        ):
            stage.show(gate, *stage.authority.issue(stage.bastion.hostname, days))
            stage.client.write(CA_FILE, stage.authority.certificate)
            here = twin.run([files.CERTIFICATE, "check"], check=False)
            outside = check(gate, look(stage, gate), alarm)
            yield _check(
                f"bastion.certificate.{name}",
                title,
                here.returncode == 1 and outside.status == "fail",
                "red on the VPS and from outside",
                f"on the VPS: {_said(here)}; from outside: {outside.observed}",
            )
    finally:
        stage.show(gate, "", kept)
        stage.client.write(CA_FILE, server.root)


def renew(stage: Stage, gate: Gate) -> CompletedProcess[str]:
    """Run what the timer runs."""
    return stage.twin(gate).run([files.CERTIFICATE, "renew"], check=False)


def look(stage: Stage, gate: Gate) -> Served:
    """Return what the lab's client is shown."""
    asked = [{"hostname": stage.bastion.hostname, "address": gate.address, "trust": CA_FILE}]
    [told] = json.loads(stage.client.python("lib.edge.served", json.dumps(asked)))
    return Served(*told)


def _said(done: CompletedProcess[str]) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return f"“{lines[-1][:160]}”" if lines else "nothing was said"


def _check(name: str, title: str, good: bool, expected: str, observed: str) -> Check:
    return Check(
        name=name,
        title=title,
        status="pass" if good else "fail",
        expected=expected,
        observed=observed[:300],
        fix=RENEW,
        provenance=lab(),
    )
