"""Chapter 11: the way in from outside, set up on the lab's twins before the real engine, attacked, measured, broken."""

import atexit
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from lib.chapters import gate
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Decision, Measurement, Scalar
from lib.core.sections.bastion import Bastion, Gate, Peer
from lib.deploy.bastion import files, search
from lib.deploy.template import purpose
from lib.edge import acme, certificates, faults, inside, searching, tax, trial, trips
from lib.edge.clients import Way
from lib.edge.stage import Engine, Stage
from lib.engine.serve.server import Server
from lib.lab.netns import space

# Public keys are made on the hosts; before there are hosts, the plan shows where they will stand.
UNKNOWN = "(made on the host)"
FAULT_TOKENS = 100
# One answer of a second or two: a renewal takes longer, and one of them is on its way when nginx turns.
RENEWAL_TOKENS = 48


def plan(chapter: Chapter) -> display.Html:
    """Show who is who, and what may reach what."""
    b = chapter.profile.bastion
    api, ssh = f"TCP {b.api_port}", f"TCP {b.ssh_port}"
    rows = [
        {
            "Host": one.name,
            "Public address": one.address,
            "In the tunnel": one.tunnel,
            "Reached from outside on": f"UDP {b.wireguard_port}, TCP 80 and 443",
        }
        for one in b.gates
    ]
    rows += [
        {
            "Host": one.name,
            "Public address": "none: it dials out",
            "In the tunnel": one.tunnel,
            "Reached from outside on": f"{api} by a VPS through the tunnel; {ssh} from the house",
        }
        for one in b.homes
    ]
    rows += [
        {"Host": one.name, "Public address": "any", "In the tunnel": one.tunnel, "Reached from outside on": "nothing"}
        for one in b.clients
    ]
    return display.table(rows, f"The way in to {b.hostname}")


def changes(chapter: Chapter) -> list[Change]:
    """Record every file of a VPS and of a server at home as a planned change; the files are raw files."""
    b = chapter.profile.bastion
    everybody: list[Gate | Peer] = [*b.gates, *b.homes, *b.clients]
    known = {one.name: UNKNOWN for one in everybody}
    found: list[Change] = []
    for side, rendered in (
        ("gate", [*files.gate(b, b.gates[0], known), *search.search(b, b.gates[0])]),
        ("home", files.home(b, b.homes[0], known)),
    ):
        for file in rendered:
            name = Path(file.path).name
            saved = chapter.save(f"{side}/{name}", file.content)
            change = Change(
                name="bastion.file",
                title=f"{'VPS' if side == 'gate' else 'Home'}: {name}",
                status="planned",
                target=file.path,
                before="(not there)",
                after=f"{len(file.content.splitlines())} lines, mode {file.mode:o}",
                reason=purpose(file.content) or name,
                undo="restored from what was found",
            )
            found += chapter.record(change, artifacts=[saved])
    return found


class Ground:
    """The stage of this chapter with the engine behind it; without the lab's tools everything is a visible skip."""

    def __init__(self, chapter: Chapter) -> None:
        self.chapter = chapter
        self.engine: Server | None = None
        self.stage: Stage | None = None
        self.scanned: list[Check] = []
        self._folder = tempfile.TemporaryDirectory(dir=_scratch())
        self.held = trial.wallet(Path(self._folder.name) / "keys.json")
        # However the chapter ends, twins and keys end with it.
        atexit.register(self.close)

    @property
    def bastion(self) -> Bastion:
        """The profile's section."""
        return self.chapter.profile.bastion

    def start(self) -> tuple[Check, ...]:
        """Start the engine and the twins."""
        if lacking := space.missing():
            return self.chapter.record(_no_lab(lacking))
        # Twins, certificates and scans need no engine: they are done while it starts.
        with ThreadPoolExecutor(1) as pool:
            twins = pool.submit(self._twins)
            self.engine = gate.start(self.chapter)
            found = twins.result()
        self.chapter.record(*found)
        if self.engine is None or self.stage is None:
            return tuple(self.chapter.checks("serving."))
        gate.accuracy(self.chapter, self.engine)
        self.stage.serve(Engine(self.chapter.profile.serving.host, self.engine.port))
        return (*self.chapter.checks("serving."), *self.chapter.checks("bastion.file"))

    def _twins(self) -> list[Check | Measurement]:
        """Start the twins, scan them, let each file be judged, and let every VPS obtain its certificate."""
        self.stage = Stage(self.bastion)
        self.stage.__enter__()
        self.stage.use(self.held.store)
        with ThreadPoolExecutor(1) as pool:
            scanning = pool.submit(lambda stage: list(inside.scans(stage)), self.stage)
            found = [*self._verified(), *self._certified(self.stage)]
            self.scanned = scanning.result()
        return found

    @staticmethod
    def _certified(stage: Stage) -> list[Check | Measurement]:
        """Let every VPS obtain its certificate from a real ACME server, and let renewal fail."""
        if lacking := acme.missing():
            return [_no_authority(lacking)]
        server = acme.AcmeServer(stage)
        server.start()
        return [*certificates.obtained(stage, server), *certificates.failures(stage, server)]

    def close(self) -> None:
        """End the twins and forget the keys. Doing it twice does no harm."""
        if self.stage:
            self.stage.stop()
            self.stage = None
        self._folder.cleanup()

    def way(self) -> Way:
        """Return the way of a client on the internet."""
        served = self.chapter.profile.models.served
        return Way(f"https://{self.bastion.hostname}/v1", self.held.key, served)

    def _verified(self) -> list[Check]:
        """Let the program that reads a file judge it, on the host where it lies."""
        if self.stage is None:
            return []
        found = []
        for place in (self.bastion.gates[0], self.bastion.homes[0]):
            for file in self.stage.rendered(place):
                if file.check:
                    found.append(self.stage.judge(place, file))
        return found


def certify(ground: Ground) -> tuple[Check, ...]:
    """Renew a certificate under streams, and show what became of obtaining and of failing while the engine started."""
    stage, chapter = ground.stage, ground.chapter
    if stage is None or ground.engine is None:
        return ()
    if not acme.missing():
        chapter.record(certificates.renewed(stage, ground.way(), RENEWAL_TOKENS), model=ground.engine.model.name)
    return tuple(chapter.checks("bastion.certificate"))


def ask_as_search(ground: Ground) -> tuple[Check, ...]:
    """Make the calls of the AI search from the VPS, through the bastion, to the engine that is served."""
    stage, chapter, told = ground.stage, ground.chapter, ground.bastion.search
    if stage is None or ground.engine is None or not told.chat:
        return ()
    # One engine answers here; embeddings are asked of a gateway that has a model for them.
    model = chapter.profile.models.served
    return chapter.record(*searching.checks(stage, ground.held.key, model), model=ground.engine.model.name)


def probe(ground: Ground) -> tuple[Check, ...]:
    """Try what an attacker would, from the internet and from a VPS that was taken over."""
    stage, chapter = ground.stage, ground.chapter
    if stage is None or ground.engine is None:
        return ()
    openapi = httpx.get(f"{ground.engine.url}/openapi.json", trust_env=False).json()
    routes = trial.routes(openapi)
    aim = trial.target(stage, ground.held, chapter.profile.models.served, routes)
    raw = chapter.save("routes.json", json.dumps(routes))
    found = [*ground.scanned, *inside.logs(stage, aim, ground.held), *inside.engine_routes(stage, aim)]
    found += trial.probe(stage, aim)
    return chapter.record(*found, artifacts=[raw], model=ground.engine.model.name)


def cost(ground: Ground) -> list[Measurement]:
    """Measure the tax at every path delay of the profile."""
    stage, chapter, b = ground.stage, ground.chapter, ground.bastion
    if stage is None or ground.engine is None:
        return []
    model, weights = ground.engine.model.name, gate.weights(chapter)
    found: list[Measurement] = []
    with chapter.engine_time("tax"), tax.pair(stage, ground.held.key, model) as both:
        for delay in b.path_delay_ms:
            mbit = chapter.profile.line.upload_mbit_s if delay else 0.0
            conditions: dict[str, Scalar] = {"path_delay_ms": delay, "line_mbit_s": mbit or None}
            if delay:
                stage.town.line.shape(delay, mbit)
            streams = tax.in_turn(both, b.tax_requests)
            side_by_side = tax.at_once(both, b.tax_streams, b.tax_tokens)
            if not delay:
                told, verdict = trips.measure(both, conditions)
                found += chapter.record(*told, model=model, weights=weights)
                chapter.record(verdict, tax.answered(streams), model=model, weights=weights)
            gap, smooth = tax.gap(side_by_side, conditions)
            load = tax.throughput(both, conditions, b.tax_concurrency, b.tax_tokens)
            added = [tax.first(streams, conditions), tax.each(side_by_side, conditions)]
            found += chapter.record(*added, gap, load, model=model, weights=weights)
            chapter.record(smooth, model=model, weights=weights)
        stage.town.line.restore()
    return found


def suffer(ground: Ground) -> tuple[Check, ...]:
    """Let every fault happen in the middle of a stream."""
    stage, chapter = ground.stage, ground.chapter
    if stage is None or ground.engine is None:
        return ()
    wait = ground.bastion.faults.wait_s
    show = gate.progress(chapter)
    with chapter.engine_time("faults"), faults.witnesses(stage, ground.way()) as both:
        for fault in (one for one in faults.FAULTS if one.name in ground.bastion.faults.kinds):
            show(f"fault: {fault.title}", 0)
            if fault.name == "second_vps":
                stage.names([one.address for one in ground.bastion.gates])
            seen = faults.suffer(stage, fault, both, FAULT_TOKENS, wait)
            chapter.record(*faults.records(seen, wait), model=ground.engine.model.name)
    return tuple(chapter.checks("bastion.fault."))


def stop(ground: Ground) -> tuple[Check, ...]:
    """End the twins and the engine, and check that nothing of them is left."""
    ground.close()
    return gate.stop(ground.chapter, ground.engine)


def decide(chapter: Chapter) -> Decision:
    """Say whether this bastion may stand on the internet."""
    checks = chapter.checks("bastion.")
    failed = [check for check in checks if check.status == "fail"]
    probes = [check for check in checks if check.name.startswith("bastion.probe.")]
    cited = [
        name
        for name in ("bastion.ttft_tax_ms", "bastion.throughput_ratio", "bastion.recovery_seconds")
        if chapter.measurements(name)
    ]
    if not probes:
        return Decision(
            name="bastion.open",
            choice="Nothing is decided",
            reason="Nothing was tried: the lab's twins or the engine were not there.",
            evidence=[check.name for check in chapter.checks() if check.status in ("skip", "fail")],
        )
    if failed:
        return Decision(
            name="bastion.open",
            choice="The bastion does not go onto the internet",
            reason="Failed: " + "; ".join(f"{check.title} ({check.observed})" for check in failed[:5]),
            evidence=[check.name for check in failed],
        )
    return Decision(
        name="bastion.open",
        choice=f"This bastion may stand on the internet, as {chapter.profile.bastion.hostname}",
        reason=f"All {len(probes)} probes saw what they should, an unmodified client streamed through it, and every "
        "fault ended by itself.",
        evidence=["bastion.openai_client", *cited],
        alternatives=[
            "connections kept open between VPS and home: saves one round trip, but hangs on a dead tunnel",
            "the engine's own port behind a key: leaves its metrics and administrative routes open",
        ],
    )


def _scratch() -> Path:
    folder = paths.CACHE / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _no_lab(lacking: str) -> Check:
    return Check(
        name="bastion.lab",
        title="The lab's namespaces can be made",
        status="skip",
        expected="root, namespaces, nginx, nftables, WireGuard",
        observed="not all of it is here",
        fix=lacking,
    )


def _no_authority(lacking: str) -> Check:
    return Check(
        name="bastion.certificate",
        title="Certificates are obtained and renewed by ACME",
        status="skip",
        expected="pebble, the test server of Let's Encrypt, and dehydrated, the client",
        observed="not all of it is here; the twins keep certificates of the lab's own authority",
        fix=lacking,
        provenance=trial.lab(),
    )
