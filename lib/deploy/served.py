"""The engine on a host: a user of its own, one unit a model, its environment file, a timer that asks for its health."""

from collections.abc import Iterator

from lib.deploy import serving
from lib.deploy.resources import Account, File, Folder, Packages, Resource, Unit
from lib.deploy.resources.base import About
from lib.deploy.serving import Service
from lib.deploy.site import Probe, Site
from lib.deploy.template import render

UNITS = "/etc/systemd/system"
TOOLS = "/usr/local/lib/inference"
STORE = "/srv/models"
MEMORY = "/srv/models-in-memory"
MEMORY_UNIT = r"srv-models\x2din\x2dmemory.mount"


def store(site: Site) -> str:
    """Return the folder that the engine reads models from."""
    return MEMORY if site.profile.deploy.model_store == "tmpfs" else STORE


def program(service: Service) -> str:
    """Return the engine's program on the host."""
    return service.command.split(maxsplit=1)[0]


def resources(site: Site) -> list[Resource]:
    """Return what serves the models of a site."""
    if not site.services:
        return []
    return [*_ground(), *_memory(site), *(item for service in site.services for item in _service(site, service))]


def _ground() -> Iterator[Resource]:
    yield Packages(("curl",), about=About("Asks the engine for its health."))
    yield Account(
        serving.USER,
        f"/var/lib/{serving.USER}",
        about=About("The engine runs code of many authors: an account that owns nothing and cannot log in."),
    )
    for place, holds in (("lib", "What the engine keeps."), ("cache", "What the engine compiles and downloads.")):
        # systemd makes them when the unit first starts; declared, they go when the rest is taken back.
        path = f"/var/{place}/{serving.USER}"
        yield Folder(path, owner=serving.USER, group=serving.USER, with_contents=True, about=About(holds))
    yield Folder("/etc/inference", "750", group=serving.USER, about=About("Environment files; the engine reads them."))
    yield Folder(STORE, about=About("Models: the engine reads them and cannot write them."))
    yield Folder("/opt/inference", about=About("The engine's own Python environment, apart from the system's."))
    yield Folder(TOOLS, about=About("Small tools of the services."))
    yield File(
        f"{TOOLS}/health",
        render("serving/health.sh.j2"),
        mode="755",
        about=About(
            "A hung engine still has a process, so systemd alone does not see it; vLLM sends it no sign of life."
        ),
    )


def _memory(site: Site) -> Iterator[Resource]:
    if site.profile.deploy.model_store != "tmpfs":
        return
    yield Folder(MEMORY, about=About("Models copied to memory, for fast swaps."))
    yield File(
        f"{UNITS}/{MEMORY_UNIT}",
        render("serving/memory.mount.j2", place=MEMORY),
        about=About("A file system in memory that only root writes."),
    )
    yield Unit(MEMORY_UNIT, reads=(f"{UNITS}/{MEMORY_UNIT}",), about=About("Mounted at boot."))


def _service(site: Site, service: Service) -> Iterator[Resource]:
    name = f"vllm-{service.model}.service"
    yield File(
        service.environment_file,
        serving.environment_file(service),
        mode="640",
        group=serving.USER,
        about=About("Variables of the engine; no secret is among them."),
    )
    if site.profile.deploy.model_store == "tmpfs":
        copy = f"models-in-memory-{service.model}.service"
        yield File(
            f"{UNITS}/{copy}",
            render(
                "serving/copy.service.j2", service=service, source=STORE, place=MEMORY, mount=MEMORY_UNIT, unit=name
            ),
            about=About("Copies the model to memory before the engine starts."),
        )
        yield Unit(copy, running=None, about=About("At every boot: memory forgets."))
    yield File(
        f"{UNITS}/{name}",
        serving.unit(service),
        about=About("One unit a model: restarted when it fails, stopped cleanly, with nothing that it does not need."),
    )
    yield Unit(
        name,
        reads=(f"{UNITS}/{name}", service.environment_file),
        needs=(program(service), service.model_folder),
        about=About("The engine, at every boot; started as soon as its environment and its model are there."),
    )
    yield from _health(site, service, name)


def _health(site: Site, service: Service, unit: str) -> Iterator[Resource]:
    name = f"vllm-health-{service.model}"
    values = {
        "service": service,
        "unit": unit,
        "tool": f"{TOOLS}/health",
        "every": site.profile.deploy.health_interval_s,
    }
    for kind in ("service", "timer"):
        yield File(
            f"{UNITS}/{name}.{kind}",
            render(f"serving/health.{kind}.j2", **values),
            about=About("Asks the engine, and starts it again after three silent answers in a row."),
        )
    yield Unit(f"{name}.timer", reads=(f"{UNITS}/{name}.timer",), about=About("The clock of the health check."))


def probes(site: Site) -> list[Probe]:
    """Return the questions to a host that serves: systemd reads the units, the engine's account owns nothing."""
    found = []
    for service in site.services:
        unit, where = f"vllm-{service.model}.service", service.model.replace("-", "_").replace(".", "_")
        found += [
            Probe(f"{where}.loaded", f"The unit of {service.model} is read", _property(unit, "LoadState"), "loaded"),
            Probe(f"{where}.user", "The engine is not root", _property(unit, "User"), serving.USER),
            Probe(
                f"{where}.environment",
                "The engine reads its environment file, others do not",
                f"stat -c '%a %U:%G' {service.environment_file}",
                f"640 root:{serving.USER}",
            ),
            Probe(
                f"{where}.exposure",
                "The unit is hardened",
                f"systemd-analyze security --no-pager --threshold={serving.EXPOSURE_LIMIT * 10:.0f} {unit} "
                ">/dev/null 2>&1 && echo hardened",
                "hardened",
            ),
            Probe(
                f"{where}.health",
                "The health timer runs",
                f"systemctl is-active vllm-health-{service.model}.timer",
                "active",
            ),
        ]
        if not site.lab:
            found.append(_runs(where, unit, service))
    if site.services:
        found.append(
            Probe(
                "store",
                "The engine cannot write its models",
                f"runuser -u {serving.USER} -- test -w {STORE} && echo writable || echo read-only",
                "read-only",
            )
        )
    return found


def _runs(where: str, unit: str, service: Service) -> Probe:
    needs = " ".join((program(service), service.model_folder))
    script = f"for n in {needs}; do [ -e $n ] || echo there is no $n; done; systemctl is-active {unit}"
    return Probe(f"{where}.runs", "The engine runs", script, "active")


def _property(unit: str, name: str) -> str:
    return f"systemctl show -p {name} --value {unit}"
